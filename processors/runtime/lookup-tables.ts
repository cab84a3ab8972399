import type { Application } from '../app/schema.ts'
import { offset } from '../app/units.ts'
import type { Log, LogRecord, PartitionBounds } from '../engine/ports.ts'
import type { Lookups } from '../features/types.ts'
import { type RetryContext, retry, Stopped } from './retry.ts'

type Row = Readonly<Record<string, unknown>>

/**
 * Whole tables of compacted topics in memory: key text → JSON object. Complete up to the end of the log when `open`
 * returns, then followed. A value is what it is at the moment of the read; what a model saw is in the samples.
 */
export class LookupTables implements Lookups, AsyncDisposable {
  readonly #tables = new Map<string, Map<string, Row>>()
  readonly #stop = new AbortController()
  readonly #followers: Promise<void>[] = []

  private constructor() {}

  /** @throws RtmlError LOG_DOWN */
  static async open(
    lookups: Application['lookups'],
    log: Log,
    topicName: (topic: string) => string,
    context: RetryContext,
  ): Promise<LookupTables> {
    const tables = new LookupTables()
    for (const [name, { topic, maxEntries }] of Object.entries(lookups)) {
      const table = new Map<string, Row>()
      tables.#tables.set(name, table)
      for (const bounds of await log.bounds(topicName(topic))) {
        const put = (record: LogRecord) =>
          putRow(table, record, maxEntries, (reason) =>
            context.logger.warn({ table: name, offset: record.offset, reason }, 'lookup row ignored'),
          )
        if (bounds.start < bounds.end) {
          for await (const run of log.read(bounds, bounds.start, { until: bounds.end })) run.records.forEach(put)
        }
        tables.#followers.push(tables.#follow(log, bounds, put, context))
      }
    }
    return tables
  }

  get(table: string, key: string): Row | undefined {
    return this.#tables.get(table)?.get(key)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort()
    await Promise.all(this.#followers)
  }

  async #follow(
    log: Log,
    bounds: PartitionBounds,
    put: (record: LogRecord) => void,
    context: RetryContext,
  ): Promise<void> {
    let position = bounds.end
    const signal = this.#stop.signal
    try {
      await retry(context, signal, async () => {
        for await (const run of log.read(bounds, position, { signal })) {
          run.records.forEach(put)
          position = offset(run.to)
        }
      })
    } catch (error) {
      if (!(error instanceof Stopped))
        context.logger.error({ topic: bounds.topic, error: String(error) }, 'lookup table is no longer followed')
    }
  }
}

function putRow(
  table: Map<string, Row>,
  record: LogRecord,
  maxEntries: number,
  ignored: (reason: string) => void,
): void {
  const key = record.key?.toString()
  if (key === undefined) return ignored('no key')
  if (record.value === null) {
    table.delete(key)
    return
  }
  if (table.size >= maxEntries && !table.has(key)) return ignored(`the table is full: maxEntries is ${maxEntries}`)
  try {
    const row: unknown = JSON.parse(record.value.toString())
    if (typeof row === 'object' && row !== null && !Array.isArray(row)) table.set(key, row as Row)
    else ignored('not a JSON object')
  } catch {
    ignored('not JSON')
  }
}
