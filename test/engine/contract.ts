/**
 * One contract suite that every engine passes: call these from a `*.test.ts` with a function that opens a fixture, and
 * with larger waits for an engine that talks to servers.
 */
export { PATIENCE, type Patience } from './contract/conditions.ts'
export { describeEngine, type EngineFixture } from './contract/end-to-end.ts'
export { describeLog, type LogFixture } from './contract/log.ts'
export { describeRegistry, type RegistryFixture } from './contract/registry.ts'
export { describeStore, type StoreFixture } from './contract/store.ts'
