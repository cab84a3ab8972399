import { createHmac } from 'node:crypto'
import type { Code } from '../../processors/app/errors.ts'
import type { XdmEvent } from '../../processors/app/event.ts'
import { type EpochMs, epochMs } from '../../processors/app/units.ts'
import type { LogRecord } from '../../processors/engine/ports.ts'
import type { EntityKernel, FeatureSet, KeyState, Vector } from '../../processors/features/types.ts'
import { unframe } from '../../processors/outputs/index.ts'
import { controlKind } from '../../processors/runtime/stages/control-records.ts'
import type { Plan } from '../../processors/topology.ts'
import { isPoison } from './worker-plan.ts'

/** What must have come out of a log, found by the simplest means: one pass, one record at a time, nothing kept but maps. */
export interface Reference {
  readonly mapped: readonly { key: string; event: XdmEvent; raw: LogRecord }[]
  /** By event id. More than one only where the profile was forgotten between two deliveries of an event. */
  readonly rows: ReadonlyMap<string, readonly ReferenceRow[]>
  /** Partition → key → packed state. */
  readonly profiles: readonly ReadonlyMap<string, Buffer>[]
  readonly items: readonly ReadonlyMap<string, Buffer>[]
  readonly deadRaw: readonly Dead[]
  readonly deadXdm: readonly Dead[]
  /** Orders to forget a profile. */
  readonly erased: readonly LogRecord[]
}

interface ReferenceRow {
  readonly event: XdmEvent
  readonly record: LogRecord
  readonly vector: Vector
}

export interface Dead {
  readonly record: LogRecord
  readonly code: Code
}

export interface Logs {
  readonly raw: readonly (readonly LogRecord[])[]
  readonly events: readonly (readonly LogRecord[])[]
  readonly item: readonly (readonly LogRecord[])[]
}

/** @param featureSet the features that are compared; its kernels are touched by nobody else */
export function referenceOf(plan: Plan, featureSet: FeatureSet, isFused: boolean, logs: Logs): Reference {
  const erased: LogRecord[] = []
  const deadRaw: Dead[] = []
  const deadXdm: Dead[] = []
  const mapped: { key: string; event: XdmEvent; raw: LogRecord }[] = []
  const mapper = plan.mappers.get('web')!
  const map = (record: LogRecord): readonly XdmEvent[] => {
    const place = `${record.topic}[${record.partition}]@${record.offset}`
    const { events, rejected } = mapper.map({ ...record, place })
    for (const { code } of rejected) deadRaw.push({ record, code })
    for (const event of events) mapped.push({ key: event.key, event, raw: record })
    return events
  }
  const decode = (record: LogRecord): readonly XdmEvent[] => {
    const framed = record.value && unframe(record.value)
    if (framed && framed.schemaId !== 999) return [plan.schema.decode(framed.payload)]
    deadXdm.push({ record, code: framed ? 'SCHEMA_ID' : 'DECODE' })
    return []
  }

  const rows = new Map<string, ReferenceRow[]>()
  const profile = featureSet.entities.get('profile')!
  if (!isFused) logs.raw.flat().forEach(map)
  const profiles = (isFused ? logs.raw : logs.events).map((records) => {
    const states = new Map<string, { pseudonym: Buffer; features: KeyState }>()
    for (const record of records) {
      if (controlKind(record) === 'erase') {
        states.delete(record.key!.toString())
        erased.push(record)
        continue
      }
      for (const event of isFused ? map(record) : decode(record)) {
        if (isFused && record.key?.toString() !== event.key) {
          deadXdm.push({ record, code: 'IDENTITY' })
          continue
        }
        if (isPoison('profile', event.id)) {
          ;(isFused ? deadRaw : deadXdm).push({ record, code: 'POISON' })
          continue
        }
        const before = states.get(event.key)
        const state =
          before && !isOver(profile, before.features, event)
            ? before
            : { pseudonym: pseudonymOf(plan, event), features: profile.empty() }
        const updated = profile.update(state.features, event)
        if (updated === 'late') deadXdm.push({ record, code: 'LATE' })
        if (updated !== 'applied') continue
        states.set(event.key, state)
        const vector = featureSet.newVector()
        featureSet.vector(
          {
            event,
            states: new Map([['profile', state.features]]),
            lookups: { get: () => undefined },
            at: epochMs(state.features.time),
          },
          vector,
        )
        rows.set(event.id, [...(rows.get(event.id) ?? []), { event, record, vector }])
      }
    }
    return packed(states, ({ pseudonym, features }) => Buffer.concat([pseudonym, profile.encode(features)]))
  })

  const item = featureSet.entities.get('item')!
  const items = logs.item.map((records) => {
    const states = new Map<string, KeyState>()
    for (const record of records) {
      if (controlKind(record) === 'erase') {
        states.delete(record.key!.toString())
        continue
      }
      const event = plan.schema.decode(unframe(record.value!)!.payload)
      if (isPoison('item', event.id)) {
        deadXdm.push({ record, code: 'POISON' })
        continue
      }
      const key = record.key!.toString()
      const before = states.get(key)
      const state = before && !isOver(item, before, event) ? before : item.empty()
      if (item.update(state, event) === 'applied') states.set(key, state)
    }
    return packed(states, (state) => item.encode(state))
  })
  return { mapped, rows, profiles, items, deadRaw, deadXdm, erased }
}

const isOver = (kernel: EntityKernel, state: KeyState, event: XdmEvent) =>
  kernel.isExpired(state, Math.max(event.ts, state.time) as EpochMs)

const packed = <S>(states: ReadonlyMap<string, S>, pack: (state: S) => Buffer) =>
  new Map([...states].map(([key, state]) => [key, pack(state)]))

const pseudonymOf = (plan: Plan, event: XdmEvent) =>
  createHmac('sha256', plan.app.name).update(`${event.key}\0${event.id}`).digest().subarray(0, 8)
