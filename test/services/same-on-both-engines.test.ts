/** One application file, the same events, both engines: the scores that outsiders read are the same bytes. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { systemClock } from '../../processors/app/system-clock.ts'
import { openEmbedded } from '../../processors/engine/embedded/engine.ts'
import { kafkaConfig } from '../../processors/engine/kafka/config.ts'
import { openKafka } from '../../processors/engine/kafka/engine.ts'
import type { Engine } from '../../processors/engine/ports.ts'
import { healthOf } from '../../processors/runtime/service.ts'
import { eventually } from '../engine/contract/conditions.ts'
import { environment, localProcessesUnavailable, services, unavailable } from './harness.ts'
import { lumaEvents, type Outcome, outcomeOf, runLuma, scoresOf } from './luma.ts'
import { startKafka } from './processes/kafka.ts'
import { startRedis } from './processes/redis.ts'
import { startRegistry } from './processes/registry.ts'

const EVENTS = 1_500
const CHUNK = 50
const PATIENCE = { deadlineMs: 120_000, testMs: 240_000 }

describe.skipIf(await unavailable())('one application file on both engines', () => {
  it('gives the same scores and the same states, byte for byte', { timeout: PATIENCE.testMs }, async () => {
    const prefix = `both${process.pid}.`
    const embedded = await onEmbedded(prefix)
    const kafka = await outcomeOn(await openKafka(kafkaConfig(environment(await services()))), prefix)
    expect(embedded.scores.size).toBe(EVENTS)
    expect(kafka.scores).toEqual(embedded.scores)
    expect(kafka.states.size).toBe(embedded.states.size)
    expect(kafka.states).toEqual(embedded.states)
  })
})

describe.skipIf(localProcessesUnavailable())('an application whose services are killed one by one', () => {
  it('waits, says so, loses nothing and ends with what no outage would have given', {
    timeout: PATIENCE.testMs,
  }, async () => {
    await using broker = await startKafka()
    await using redis = await startRedis()
    await using registry = await startRegistry()
    const env = { KAFKA_BROKERS: broker.brokers, REDIS_URL: redis.url, SCHEMA_REGISTRY_URL: registry.url }
    await using engine = await openKafka(kafkaConfig(env))
    await using running = await runLuma(engine, 'outage.')
    const events = lumaEvents(running.plan.topics.raw('web'), EVENTS)
    const health = () => healthOf(running.service, engine.down(), systemClock.now())
    const feed = async (from: number, to: number) => {
      for (let at = from; at < to; at += CHUNK) await engine.log.append(events.slice(at, Math.min(to, at + CHUNK)))
    }
    const scored = (count: number) =>
      eventually(`${count} events are scored`, PATIENCE, async () => (await scoresOf(running)).size === count)

    await feed(0, 300)
    await redis.kill()
    await feed(300, 600)
    await eventually('health names Redis', PATIENCE, () =>
      health().reasons.some((reason) => reason.startsWith('redis')),
    )
    expect(health()).toMatchObject({ isLive: true, isReady: false })
    await redis.start()
    await scored(600)

    await feed(600, 800)
    await broker.kill()
    await eventually('health names Kafka', PATIENCE, () =>
      health().reasons.some((reason) => reason.startsWith('kafka')),
    )
    expect(health()).toMatchObject({ isLive: true, isReady: false })
    await broker.start()
    await eventually('events are taken again', PATIENCE, () =>
      feed(800, 1_000).then(
        () => true,
        () => false,
      ),
    )

    await registry.kill()
    await feed(1_000, 1_200)
    await scored(1_200)
    await registry.start()
    await feed(1_200, EVENTS)
    await scored(EVENTS)
    await eventually('all is well again', PATIENCE, () => health().isReady)

    const plain = await onEmbedded('outage.')
    const outcome = await outcomeOf(running)
    expect(outcome.scores).toEqual(plain.scores)
    expect(outcome.states).toEqual(plain.states)
  })
})

async function onEmbedded(prefix: string): Promise<Outcome> {
  const dir = await mkdtemp(join(tmpdir(), 'rtml-both-'))
  try {
    return await outcomeOn(await openEmbedded({ dir, clock: systemClock, upkeep: 'off' }), prefix)
  } finally {
    await rm(dir, { recursive: true, force: true })
  }
}

async function outcomeOn(engine: Engine, prefix: string): Promise<Outcome> {
  await using _closed = engine
  await using running = await runLuma(engine, prefix)
  const events = lumaEvents(running.plan.topics.raw('web'), EVENTS)
  for (let at = 0; at < events.length; at += 250) await engine.log.append(events.slice(at, at + 250))
  await eventually('all events are scored', PATIENCE, async () => (await scoresOf(running)).size === EVENTS)
  return await outcomeOf(running)
}
