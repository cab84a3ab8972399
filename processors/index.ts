/**
 * rtml inside a TypeScript program: `loadApp` reads an application file, `run` runs it in this process.
 *
 *     await using shop = await run(loadApp('rtml.yaml'), { dataDir: '.rtml' })
 *     const scores = await shop.scores()
 *     await shop.send('web', [{ value: { id: 'e1', time: '2026-01-01T10:00:00Z', customer: 'c1' } }])
 *     for await (const record of scores) console.log(record.profile.id, record.scores)
 *
 * docs/embedding.md has the whole of it. Everything else in the package is private and may change.
 */

export type { Code, Rejection } from './app/errors.ts'
export { CODES, RtmlError } from './app/errors.ts'
export type { XdmEvent } from './app/event.ts'
export type { Application } from './app/schema.ts'
export { systemClock } from './app/system-clock.ts'
export type { Clock, Epoch, EpochMs, Ms, Offset, Random } from './app/units.ts'
export { openEmbedded } from './engine/embedded/engine.ts'
export type * from './engine/ports.ts'
export type { OpenedApplication } from './host/application-file.ts'
export {
  type EmbeddedApplication,
  type LoadOptions,
  loadApp,
  type RawEvent,
  type RunOptions,
  run,
} from './host/embed.ts'
export type { FeatureValue, ProfileView } from './host/profile-view.ts'
export type { FeedOptions } from './host/score-feed.ts'
export type { Health } from './runtime/service.ts'
export type { Logger } from './runtime/telemetry.ts'
export type { Plan } from './topology.ts'
