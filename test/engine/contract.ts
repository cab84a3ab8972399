/**
 * One contract suite that every engine passes: call these from a `*.test.ts` with a function that opens a fixture, and
 * with larger waits for an engine that talks to servers.
 */
export type { Patience } from './contract/conditions.ts'
export { describeEngine } from './contract/end-to-end.ts'
export { describeLog } from './contract/log.ts'
export { describeRegistry } from './contract/registry.ts'
export { describeStore } from './contract/store.ts'
