/** Events of a history, put in order of time: from a file of raw events, or from the log. */
import type { XdmEvent } from '../app/event.ts'
import { systemClock } from '../app/system-clock.ts'
import { epochMs, type Offset } from '../app/units.ts'
import type { Log } from '../engine/ports.ts'
import { Heap } from '../learner/heap.ts'
import type { Mapper } from '../mapper/index.ts'
import type { RawRecord } from '../mapper/types.ts'
import { readNext } from '../runtime/learning/read-examples.ts'
import { openRawFile, records } from './raw-file.ts'

/** Events that wait to be put in order of time: what is out of order by no more than this comes out in order. */
const REORDER_EVENTS = 100_000

export interface HistoryCounts {
  read: number
  events: number
  rejected: number
  skipped: number
}

export const newCounts = (): HistoryCounts => ({ read: 0, events: 0, rejected: 0, skipped: 0 })

export interface HistoryOptions {
  readonly mapper: Mapper
  readonly counts: HistoryCounts
  /** Events at most. */
  readonly limit?: number | undefined
  /** The first refusal of each kind. */
  readonly onRejected: (text: string) => void
}

/** Records of a file, `-` for standard input. One time for all: events without a time of their own stay in their order. */
export async function* fileRecords(path: string, format: string): AsyncGenerator<RawRecord> {
  const timestamp = epochMs(systemClock.now())
  for await (const { value, place } of records(openRawFile(path), path, format)) {
    yield { key: null, value, headers: {}, timestamp, place }
  }
}

/** Records that a topic holds now, in the order in which they were appended. @throws RtmlError LOG_DOWN */
export async function* logRecords(log: Log, topic: string, signal: AbortSignal): AsyncGenerator<RawRecord> {
  const ends = new Map((await log.bounds(topic)).map(({ partition, end }) => [partition, end]))
  const positions = new Map<number, Offset>()
  const hasMore = () => [...ends].some(([partition, end]) => (positions.get(partition) ?? 0) < end)
  while (hasMore() && !signal.aborted) {
    const positionOf = (partition: number) => positions.get(partition)
    const merged = await readNext({ log, topic, positionOf, most: 2_000, signal })
    if (!merged) return
    for (const [partition, at] of merged.positions) positions.set(partition, at)
    for (const { key, value, headers, timestamp, partition, offset } of merged.records) {
      if (offset < (ends.get(partition) ?? 0)) {
        yield { key, value, headers, timestamp, place: `${topic}[${partition}]@${offset}` }
      }
    }
  }
}

/** Maps records to events and gives those in order of time. */
export async function* eventsInOrder(
  source: AsyncIterable<RawRecord>,
  { mapper, counts, limit = Number.POSITIVE_INFINITY, onRejected }: HistoryOptions,
): AsyncGenerator<XdmEvent> {
  let number = 0
  const waiting = new Heap<{ event: XdmEvent; number: number }>(
    (a, b) => a.event.ts < b.event.ts || (a.event.ts === b.event.ts && a.number < b.number),
  )
  const complaints = new Map<string, number>()
  reading: for await (const record of source) {
    await mapper.prepare([record])
    const { events, rejected, skipped } = mapper.map(record)
    counts.read++
    counts.rejected += rejected.length
    counts.skipped += skipped
    for (const { code, path, message } of rejected) {
      const kind = `${code} ${path.replaceAll(/\[\d+\]/g, '[]')}`
      const seen = (complaints.get(kind) ?? 0) + 1
      if (seen === 1 && complaints.size < 10) onRejected(`${record.place}: ${code} ${path}: ${message}`)
      if (complaints.size < 1_000 || seen > 1) complaints.set(kind, seen)
    }
    for (const event of events) {
      if (counts.events >= limit) break reading
      counts.events++
      waiting.push({ event, number: number++ })
      if (waiting.size > REORDER_EVENTS) yield waiting.pop().event
    }
  }
  while (waiting.size > 0) yield waiting.pop().event
}
