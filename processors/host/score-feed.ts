import { offset } from '../app/units.ts'
import type { Engine, PartitionBounds, RecordRun } from '../engine/ports.ts'
import { type ProfileScores, scoresReader } from '../outputs/index.ts'

export interface FeedOptions {
  /** `now` (default): only what is scored from here on. `start`: first all that the topic has. */
  readonly from?: 'now' | 'start'
  /** Ends the iteration. */
  readonly signal?: AbortSignal
}

/**
 * Follows a topic of scores; `now` is the moment in which the promise resolves. A profile's scores come in order; different partitions are mixed as they come. Holds at most
 * one run of records a partition, so a slow consumer slows the reading and not the memory.
 * @throws RtmlError LOG_DOWN, LOG_TRUNCATED when the consumer fell behind the topic's retention
 */
export async function followScores(
  engine: Engine,
  topic: string,
  options: FeedOptions = {},
): Promise<AsyncGenerator<ProfileScores>> {
  return merged(engine, await engine.log.bounds(topic), options)
}

async function* merged(
  engine: Engine,
  all: readonly PartitionBounds[],
  options: FeedOptions,
): AsyncGenerator<ProfileScores> {
  const stop = new AbortController()
  const signal = options.signal ? AbortSignal.any([stop.signal, options.signal]) : stop.signal
  const read = scoresReader((id) => engine.registry.schema(id))
  const waiting: { run: RecordRun; taken: () => void }[] = []
  let wake = Promise.withResolvers<void>()
  let open = all.length
  let failure: unknown
  const readers = all.map(async (bounds) => {
    const from = options.from === 'start' ? bounds.start : bounds.end
    try {
      for await (const run of engine.log.read(bounds, offset(from), { signal })) {
        if (run.records.length === 0) continue
        await new Promise<void>((taken) => {
          waiting.push({ run, taken })
          wake.resolve()
        })
      }
    } catch (error) {
      failure ??= error
    } finally {
      open--
      wake.resolve()
    }
  })
  try {
    while (true) {
      const next = waiting.shift()
      if (next) {
        try {
          for (const { value } of next.run.records) if (value) yield await read(value)
        } finally {
          // Also when the consumer leaves in the middle: the reader must end.
          next.taken()
        }
      } else if (failure !== undefined) throw failure
      else if (open === 0 || signal.aborted) return
      else {
        await wake.promise
        wake = Promise.withResolvers()
      }
    }
  } finally {
    stop.abort()
    for (const { taken } of waiting) taken()
    await Promise.all(readers)
  }
}
