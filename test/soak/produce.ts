import type { Log, NewRecord } from '../../processors/engine/ports.ts'
import { generate, RAW_TOPIC, type RawRecord } from '../chaos/load.ts'
import { pause } from '../chaos/workers.ts'

const BATCH = 500
const TICK_MS = 20
/** A backlog's partitions are read at different speeds: all of it must lie within the application's lateness. */
const STEP_MS = 15
/** Events that a pause of the machine may leave to be caught up with at once. */
const BEHIND_MAX_MS = 1_000

const newRecord = ({ key, value }: RawRecord): NewRecord => ({
  topic: RAW_TOPIC,
  key: Buffer.from(key),
  value: Buffer.from(value),
})

/** Appends `events` records as fast as the log takes them. */
export async function fill(log: Log, { events, seed }: { events: number; seed: number }): Promise<void> {
  const records = generate(seed, { stepMs: STEP_MS })
  for (let left = events; left > 0; left -= BATCH) {
    const count = Math.min(BATCH, left)
    await log.append(Array.from({ length: count }, () => newRecord(records.next().value as RawRecord)))
  }
}

/** Appends records, from event number `first` on, at a pace until `signal` aborts. @throws what the log throws */
export async function paced(
  log: Log,
  { perSecond, seed, first, signal }: { perSecond: number; seed: number; first: number; signal: AbortSignal },
): Promise<void> {
  const records = generate(seed, { first, stepMs: STEP_MS })
  let due = performance.now()
  while (!signal.aborted) {
    const now = performance.now()
    due = Math.max(due, now - BEHIND_MAX_MS)
    const count = Math.floor(((now - due) / 1_000) * perSecond)
    if (count > 0) {
      due += (count / perSecond) * 1_000
      await log.append(Array.from({ length: count }, () => newRecord(records.next().value as RawRecord)))
    }
    await pause(TICK_MS)
  }
}
