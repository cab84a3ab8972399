import { RtmlError } from '../app/errors.ts'
import type { Engine } from '../engine/ports.ts'
import { type ScanOptions, scanTopics } from './scan.ts'

/**
 * Takes a person's records out of the log for good, orders and tombstones left: replays need them.
 * @returns records by topic
 * @throws RtmlError CONFIG when the log can't
 */
export async function purge(options: ScanOptions & { readonly engine: Engine }): Promise<ReadonlyMap<string, number>> {
  const { log } = options.engine
  if (!log.purge) {
    throw new RtmlError(
      'CONFIG',
      "this log deletes by age and can't take single records out. Leave --purge-log away: the report says until when they live.",
      { place: options.engine.name },
    )
  }
  const purged = new Map<string, number>()
  for (const { topic, matches } of await scanTopics(options)) {
    const byPartition = new Map<number, Set<number>>()
    for (const { partition, offset, isTombstone } of matches) {
      if (isTombstone) continue
      byPartition.set(partition, (byPartition.get(partition) ?? new Set()).add(offset))
    }
    let records = 0
    for (const [partition, offsets] of byPartition) records += await log.purge({ topic, partition }, offsets)
    if (records > 0) purged.set(topic, records)
  }
  return purged
}
