/**
 * What must have come out of a log: one pass over it, one record at a time, with the feature kernel and nothing of the
 * runtime.
 */
import { createHmac } from 'node:crypto'
import { readFileSync } from 'node:fs'
import type { XdmEvent } from '../../processors/app/event.ts'
import { loadApplication } from '../../processors/app/load.ts'
import type { Application } from '../../processors/app/schema.ts'
import { type EpochMs, epochMs } from '../../processors/app/units.ts'
import type { LogRecord } from '../../processors/engine/ports.ts'
import { createExpressions } from '../../processors/expressions/index.ts'
import { createFeatureSet } from '../../processors/features/index.ts'
import type { EntityKernel, FeatureSet, KeyState, Vector } from '../../processors/features/types.ts'
import { unframe } from '../../processors/outputs/index.ts'
import { composeSchema, type XdmSchema } from '../../processors/xdm/index.ts'
import type { RawEvent } from './load.ts'
import type { Partitions } from './read.ts'

export interface Compiled {
  readonly app: Application
  readonly schema: XdmSchema
  readonly featureSet: FeatureSet
}

/** The application's rules, compiled anew: its kernels are touched by nobody else. */
export function compile(file: string): Compiled {
  const { app } = loadApplication(readFileSync(file, 'utf8'), { file, env: () => undefined })
  const featureSet = createFeatureSet(app, createExpressions({ replayable: true }))
  return { app, schema: composeSchema(app.schema), featureSet }
}

export interface Row {
  readonly event: XdmEvent
  readonly record: LogRecord
  readonly vector: Vector
}

export interface Expected {
  /** Raw records by event id, in the order of each partition: a repeated one is there twice. */
  readonly raw: ReadonlyMap<string, readonly { event: RawEvent; record: LogRecord }[]>
  readonly deadRaw: readonly LogRecord[]
  /** Events that were applied, by id. */
  readonly rows: ReadonlyMap<string, Row>
  readonly late: readonly LogRecord[]
  /** `<item> <event id>` of each record that the item stage must have got. */
  readonly cells: ReadonlySet<string>
  /** By partition: packed states by key. */
  readonly profiles: readonly ReadonlyMap<string, Buffer>[]
  readonly items: readonly ReadonlyMap<string, Buffer>[]
}

export interface Logs {
  readonly raw: Partitions
  readonly events: Partitions
  readonly item: Partitions
}

export function expectedOf({ app, schema, featureSet }: Compiled, logs: Logs): Expected {
  const raw = new Map<string, { event: RawEvent; record: LogRecord }[]>()
  const deadRaw: LogRecord[] = []
  for (const record of logs.raw.flat()) {
    const event = parse(record)
    if (!event) deadRaw.push(record)
    else raw.set(event.id, [...(raw.get(event.id) ?? []), { event, record }])
  }

  const decode = (record: LogRecord) => schema.decode(unframe(record.value!)!.payload)
  const profile = featureSet.entities.get('profile')!
  const item = featureSet.entities.get('item')!
  const rows = new Map<string, Row>()
  const late: LogRecord[] = []
  const cells = new Set<string>()
  const profiles = logs.events.map((records) => {
    const states = new Map<string, { pseudonym: Buffer; features: KeyState }>()
    for (const record of records) {
      const event = decode(record)
      const before = states.get(event.key)
      const state =
        before && !isOver(profile, before.features, event)
          ? before
          : { pseudonym: pseudonymOf(app, event), features: profile.empty() }
      const updated = profile.update(state.features, event)
      if (updated === 'late') late.push(record)
      if (updated !== 'applied') continue
      states.set(event.key, state)
      const vector = featureSet.newVector()
      const at = epochMs(state.features.time)
      featureSet.vector(
        { event, states: new Map([['profile', state.features]]), lookups: { get: () => undefined }, at },
        vector,
      )
      rows.set(event.id, { event, record, vector })
      for (const key of item.keys(event)) cells.add(`${key} ${event.id}`)
    }
    return packed(states, ({ pseudonym, features }) => Buffer.concat([pseudonym, profile.encode(features)]))
  })
  const items = logs.item.map((records) => {
    const states = new Map<string, KeyState>()
    for (const record of records) {
      const event = decode(record)
      const key = record.key!.toString()
      const before = states.get(key)
      const state = before && !isOver(item, before, event) ? before : item.empty()
      if (item.update(state, event) === 'applied') states.set(key, state)
    }
    return packed(states, (state) => item.encode(state))
  })
  return { raw, deadRaw, rows, late, cells, profiles, items }
}

function parse({ value }: LogRecord): RawEvent | undefined {
  try {
    return JSON.parse(value!.toString()) as RawEvent
  } catch {
    return undefined
  }
}

const isOver = (kernel: EntityKernel, state: KeyState, event: XdmEvent) =>
  kernel.isExpired(state, Math.max(event.ts, state.time) as EpochMs)

const packed = <S>(states: ReadonlyMap<string, S>, pack: (state: S) => Buffer) =>
  new Map([...states].map(([key, state]) => [key, pack(state)]))

/** A function of the first event of a profile and of the application's name, which is its key when no other is set. */
const pseudonymOf = (app: Application, event: XdmEvent) =>
  createHmac('sha256', app.name).update(`${event.key}\0${event.id}`).digest().subarray(0, 8)
