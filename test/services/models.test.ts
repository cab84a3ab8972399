/** The registry of models on Kafka: what one process publishes, another serves; of two changes at once one counts. */
import { describe, expect, it } from 'vitest'
import type { RtmlError } from '../../processors/app/errors.ts'
import { systemClock } from '../../processors/app/system-clock.ts'
import { kafkaConfig } from '../../processors/engine/kafka/config.ts'
import { openKafka } from '../../processors/engine/kafka/engine.ts'
import { decodeScores } from '../../processors/outputs/index.ts'
import { promoteModel, pushModel, rollbackModel } from '../../processors/runtime/gallery/operations.ts'
import { openRegistry, type RunningApplication } from '../../processors/topology.ts'
import { eventually } from '../engine/contract/conditions.ts'
import { environment, services, unavailable } from './harness.ts'
import { lumaEvents, runLuma, scoresOf } from './luma.ts'

const PATIENCE = { deadlineMs: 120_000, testMs: 240_000 }
const EVENTS = 120

describe.skipIf(await unavailable())('models on Kafka', () => {
  it('are published by one process, served by another, and by the next that starts', {
    timeout: PATIENCE.testMs,
  }, async () => {
    const prefix = `models${process.pid}.`
    const config = kafkaConfig(environment(await services()))
    await using engine = await openKafka(config)
    await using elsewhere = await openKafka(config)
    const first = await runLuma(engine, prefix)
    const { plan } = first
    const [model] = plan.models
    const name = model!.name
    // A clock of its own: the application's stands still.
    const operator = () => openRegistry(plan, { engine: elsewhere, clock: systemClock })
    const operations = async () => ({
      registry: await operator(),
      expressions: plan.expressions,
      check: (it: Parameters<typeof first.scorer.check>[0]) => first.scorer.check(it),
      now: () => new Date().toISOString(),
    })
    const events = lumaEvents(plan.topics.raw('web'), EVENTS)
    const scored = (running: RunningApplication, count: number) =>
      eventually(`${count} events are scored`, PATIENCE, async () => (await scoresOf(running)).size === count)
    const serves = (running: RunningApplication, version: string) =>
      eventually(`version ${version} serves`, PATIENCE, () =>
        running.scorer.serving().some((it) => it.version === version && it.role === 'champion'),
      )

    await engine.log.append(events.slice(0, 40))
    await scored(first, 40)
    const ann = await operations()
    await pushModel(ann, { name, version: 'next', bytes: model!.bytes, by: 'ann', origin: 'push' })
    const published = performance.now()
    const bob = await operations()
    // Both have seen the same; one of them is told that the other was faster.
    const both = await Promise.allSettled([
      promoteModel(ann, { name, version: 'next', share: 1, by: 'ann' }),
      promoteModel(bob, { name, version: 'next', share: 1, by: 'bob' }),
    ])
    expect(both.map(({ status }) => status).sort()).toEqual(['fulfilled', 'rejected'])
    // Refused by the log, or, when the other's record had come by then, because there is nothing left to promote.
    const refusal = both.find((it) => it.status === 'rejected')!.reason as RtmlError
    expect(['MODEL_CONFLICT', 'MODEL_ROUTING']).toContain(refusal.code)
    await serves(first, 'next')
    expect(performance.now() - published).toBeLessThan(10_000)
    await engine.log.append(events.slice(40, 80))
    await scored(first, 80)
    const versions = await versionsOf(first)
    expect(versions.get(model!.version)).toBe(40)
    expect(versions.get('next')).toBe(40)
    await first[Symbol.asyncDispose]()

    await using second = await runLuma(elsewhere, prefix)
    expect(second.scorer.serving().map(({ version }) => version)).toContain('next')
    await rollbackModel(await operations(), { name, by: 'ann' })
    await serves(second, model!.version)
    await engine.log.append(events.slice(80))
    await scored(second, EVENTS)
    expect((await versionsOf(second)).get(model!.version)).toBe(80)
  })
})

/** Scores by the version that gave them; each event has one. */
async function versionsOf({ plan, engine }: RunningApplication): Promise<Map<string, number>> {
  const counts = new Map<string, number>()
  for (const bounds of await engine.log.bounds(plan.topics.scores)) {
    if (bounds.start >= bounds.end) continue
    for await (const run of engine.log.read(bounds, bounds.start, { until: bounds.end })) {
      for (const { value } of run.records) {
        const scores = decodeScores(value!).scores.filter(({ model }) => model === plan.models[0]!.name)
        expect(scores).toHaveLength(1)
        counts.set(scores[0]!.version, (counts.get(scores[0]!.version) ?? 0) + 1)
      }
    }
  }
  return counts
}
