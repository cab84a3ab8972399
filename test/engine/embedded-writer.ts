/**
 * A process that writes to an embedded engine without end, for the test that kills it: `node embedded-writer.ts DIR`.
 * Prints a line of JSON for each acknowledged write. Several writes are under way at any time.
 */

import { systemClock } from '../../processors/app/system-clock.ts'
import { offset } from '../../processors/app/units.ts'
import { openEmbedded } from '../../processors/engine/embedded/engine.ts'
import type { NewRecord, Shard } from '../../processors/engine/ports.ts'
import { GROUP, inputShard, KEYS, OUTPUTS_PER_PUBLISH, PUBLISHED, SHARDS, stateAt, TOPICS } from './writer-plan.ts'

const { log, store } = await openEmbedded({ dir: process.argv[2]!, clock: systemClock })
const acknowledge = (what: object) => void process.stdout.write(`${JSON.stringify(what)}\n`)

async function appendForEver(): Promise<never> {
  const [bounds] = await log.bounds(TOPICS.plain)
  for (let next: number = bounds!.end; ; ) {
    const count = 1 + (next % 97)
    await log.append(numbered(TOPICS.plain, 0, next, next + count))
    next += count
    acknowledge({ appended: next })
  }
}

async function applyForEver(shard: Shard): Promise<void> {
  const { epoch, position } = await store.own(shard)
  for (let from: number = position ?? 0; ; ) {
    const to = from + 1 + (from % 13)
    const applied = await store.apply(shard, epoch, {
      from: offset(from),
      to: offset(to),
      states: new Map(KEYS.map((key) => [key, stateAt(to)])),
      outputs: numbered(TOPICS.applied, shard.partition, from, to),
    })
    if (applied.kind !== 'applied') return acknowledge({ partition: shard.partition, refused: applied.kind })
    from = to
    acknowledge({ partition: shard.partition, applied: to })
  }
}

async function publishForEver(): Promise<never> {
  const publisher = await log.publisher('writer')
  const source = { topic: TOPICS.input, partition: PUBLISHED }
  for (let at: number = (await log.committed(GROUP, source)) ?? 0; ; ) {
    const records = numbered(TOPICS.published, 0, at * OUTPUTS_PER_PUBLISH, ++at * OUTPUTS_PER_PUBLISH)
    await publisher.publish(records, { group: GROUP, ...source, position: offset(at) })
    acknowledge({ published: at })
  }
}

const numbered = (topic: string, partition: number, from: number, to: number): NewRecord[] =>
  Array.from({ length: to - from }, (_, i) => ({
    topic,
    partition,
    key: Buffer.from(`k${(from + i) % 7}`),
    value: Buffer.from(String(from + i)),
  }))

const shards = Array.from({ length: SHARDS }, (_, partition) => inputShard(partition))
await Promise.all([appendForEver(), ...shards.map(applyForEver), publishForEver()])
