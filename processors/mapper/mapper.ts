/** One source's raw records → XDM events: decode, map, identify, filter, protect, conform. Whatever fails is a rejection. */
import { hash } from 'node:crypto'
import type { Rejection } from '../app/errors.ts'
import type { Xdm, XdmEvent } from '../app/event.ts'
import type { Application, MappingDefinition, SourceDefinition } from '../app/schema.ts'
import { epochMs } from '../app/units.ts'
import type { Expression } from '../expressions/types.ts'
import { type ConformLimits, parseRfc3339, unprefix, type XdmSchema } from '../xdm/index.ts'
import { type CompiledMapping, compileMapping } from './compile.ts'
import { collectConsent } from './consent.ts'
import { createSchemaCache } from './decode/confluent.ts'
import { createDecoder, textHeaders } from './decode/index.ts'
import { isObject, nameOf } from './decode/types.ts'
import { identify } from './identity.ts'
import { compilePrivacy } from './privacy.ts'
import type { Mapper, MapResult, RawRecord } from './types.ts'
import type { Scope } from './value.ts'

export interface MapperOptions {
  /** Name of the source in the application file. */
  readonly name: string
  readonly source: SourceDefinition
  /** Loaded, with `extends` resolved: see `loadMapping`. */
  readonly mapping: MappingDefinition
  readonly app: Application
  readonly schema: XdmSchema
  readonly expressions: { compile(source: string, options: { variables: readonly string[] }): Expression }
  /** Writer schemas of Avro ids. */
  readonly schemaById?: (id: number) => Promise<object>
  /** Value of an environment variable: keys of `privacy.hash`. */
  readonly secrets: (env: string) => string | undefined
}

/** @throws RtmlError CONFIG when the mapping doesn't compile against the application's schema */
export function createMapper(options: MapperOptions): Mapper {
  const { app, mapping, schema, source, name } = options
  const schemas = createSchemaCache(options.schemaById, app.limits)
  const format = source.format ?? mapping.format
  const decode = createDecoder(format, mapping, schemas, app.limits)
  const compiled = compileMapping(mapping, {
    schema,
    tenant: app.schema.tenant,
    compile: (text, context) => options.expressions.compile(text, context),
    adapt: { timeUnit: source.timeUnit, timeZone: source.timeZone },
    place: typeof source.mapping === 'string' ? source.mapping : `sources.${name}.mapping`,
  })
  const finish = createFinish(options, compiled)
  const usesAvro = format === 'avro' || format === 'cloudevents'

  return {
    source: name,
    async prepare(records) {
      if (usesAvro) await schemas.prepare(valuesOf(records))
    },
    map(record) {
      const result = new Result()
      try {
        mapRecord(record, result)
      } catch (error) {
        // a defect of ours must not stop the stream: the record goes to the dead letters and says so
        result.reject('POISON', '', `mapping failed unexpectedly: ${(error as Error).message}`)
      }
      return result
    },
  }

  function mapRecord(record: RawRecord, result: Result): void {
    const decoded = decode(record)
    if (!decoded.ok) {
      result.add(decoded.rejection)
      return
    }
    if (decoded.elements.length === 0) result.skipped++
    const raw = compiled.usesRaw ? rawOf(name, record, compiled) : undefined
    const ids = new IdSeed(name, record)
    for (let i = 0; i < decoded.elements.length; i++) {
      const element = decoded.elements[i] as (typeof decoded.elements)[number]
      if (!element.ok) {
        result.add(element.rejection)
        continue
      }
      const value = compiled.copiesEvents && isPrefixed(element.value) ? unprefix(element.value) : element.value
      const scope: Scope = { root: value, vars: { record: value, raw } }
      const where = decoded.batch ? `[${i}]` : ''
      if (compiled.each) mapEach(scope, record, where, ids, result)
      else mapOne(scope, record, where, ids, result)
    }
  }

  function mapEach(scope: Scope, record: RawRecord, where: string, ids: IdSeed, result: Result): void {
    let list: unknown
    result.start(where)
    try {
      list = compiled.each?.(scope)
    } catch (error) {
      result.reject('MAP_EXPRESSION', '', `each: ${(error as Error).message}`)
      return
    }
    if (!Array.isArray(list)) {
      result.reject('MAP_REQUIRED', '', `each: expected the list of events, got ${nameOf(list)}`)
      return
    }
    if (list.length > app.limits.eventsPerRecord) {
      result.reject(
        'LIMIT',
        '',
        `${list.length} events in one record; limits.eventsPerRecord is ${app.limits.eventsPerRecord}`,
      )
      return
    }
    if (list.length === 0) result.skipped++
    for (let i = 0; i < list.length; i++) {
      const item: unknown = list[i]
      const at = `${where}[${i}]`
      if (!isObject(item)) {
        result.start(at)
        result.reject('DECODE', '', `expected an object, got ${nameOf(item)}`)
        continue
      }
      mapOne({ root: scope.root, vars: { ...scope.vars, item, index: i } }, record, at, ids, result)
    }
  }

  function mapOne(scope: Scope, record: RawRecord, where: string, ids: IdSeed, result: Result): void {
    result.start(where)
    try {
      compiled.assign(scope, result)
      if (compiled.when && !compiled.when(scope)) {
        result.skipped++
        return
      }
      const built = compiled.build(scope, result)
      if (result.refused) return
      finish(built, record, where, ids, result)
    } catch (error) {
      result.reject('POISON', '', `mapping failed unexpectedly: ${(error as Error).message}`)
    }
  }
}

type Finish = (built: Record<string, unknown>, record: RawRecord, where: string, ids: IdSeed, result: Result) => void

/** What every event passes through, whatever its mapping. */
function createFinish({ app, schema, secrets, source }: MapperOptions, compiled: CompiledMapping): Finish {
  const protect = compilePrivacy(app.privacy, schema, secrets)
  const acceptsUndecided = app.consent.collect.undecided === 'accept'
  const limits: ConformLimits = {
    depth: app.limits.depth,
    stringLength: app.limits.stringLength,
    elements: app.limits.eventsPerRecord,
    identities: app.identity.max,
  }

  return (built, record, where, ids, result) => {
    const consent = collectConsent(built)
    if (consent === 'refused' || (consent === 'undecided' && !acceptsUndecided)) {
      result.skipped++
      return
    }
    const identified = identify(built.identityMap, app.identity)
    if (!identified.ok) {
      result.reject('IDENTITY', identified.path, identified.message)
      return
    }
    for (const namespace of identified.lost) result.lose(`identityMap.${namespace}`)
    built.identityMap = identified.identityMap

    const ts = typeof built.timestamp === 'string' ? parseRfc3339(built.timestamp) : Number.NaN
    if (Number.isNaN(ts)) {
      result.reject('MAP_REQUIRED', 'timestamp', `expected a time, got ${nameOf(built.timestamp)}`)
      return
    }
    if (ts > record.timestamp + source.maxFutureSkew) {
      const aheadS = Math.round((ts - record.timestamp) / 1_000)
      result.reject(
        'FUTURE',
        'timestamp',
        `${built.timestamp} is ${aheadS} s after the record; maxFutureSkew is ${source.maxFutureSkew / 1_000} s`,
      )
      return
    }
    if (built._id === undefined || built._id === '') built._id = ids.of(where, ts)

    const { xdm, problems, dropped } = schema.conform(protect(built), limits)
    for (const path of dropped) result.drop(path.replace(/\[\d+\]/g, '[]'))
    for (const problem of problems) settle(problem, xdm, compiled, result)
    if (result.refused) return
    const { namespace, index } = identified.primary
    const primary = xdm.identityMap?.[namespace]?.[index]
    if (!primary) {
      result.reject('IDENTITY', `identityMap.${namespace}`, 'the primary identity is dropped by privacy.drop')
      return
    }
    result.events.push({ id: xdm._id, ts: epochMs(ts), key: `${namespace}:${primary.id}`, xdm })
  }
}

/** A value that doesn't conform: the policy of the rule that made it decides. */
function settle(problem: Rejection, xdm: Xdm, compiled: CompiledMapping, result: Result): void {
  const path = problem.path.replace(/\[\d+\]/g, '[]')
  const { policy, default: fallback } = compiled.policyAt(path)
  if (policy === 'reject' || problem.code === 'LIMIT' || problem.code === 'IDENTITY') {
    result.reject(problem.code, problem.path, problem.message)
    return
  }
  result.lose(path)
  if (policy === 'default' && fallback !== undefined) setDefault(xdm, problem.path, fallback)
}

/** Puts a rule's default where a value was refused; a parent that is gone stays gone. */
function setDefault(xdm: Xdm, path: string, value: unknown): void {
  const steps = path.split(/[.[\]]+/).filter((step) => step !== '')
  const last = steps.pop()
  let at: unknown = xdm
  for (const step of steps)
    at = typeof at === 'object' && at !== null ? (at as Record<string, unknown>)[step] : undefined
  if (last !== undefined && typeof at === 'object' && at !== null) (at as Record<string, unknown>)[last] = value
}

/** Ids of events that bring none: the same bytes of the same source give the same id, wherever they are read. */
class IdSeed {
  private readonly source: string
  private readonly record: RawRecord
  private digest: string | undefined
  constructor(source: string, record: RawRecord) {
    this.source = source
    this.record = record
  }
  /**
   * @param where index inside the record, '' for a single event
   * An event without a time of its own takes the record's; then equal bytes are equal clicks at other times, not
   * repetitions, so the place in the log is part of the id.
   */
  of(where: string, ts: number): string {
    this.digest ??= hash('sha256', this.record.value ?? '', 'base64url').slice(0, 27)
    const place = ts === this.record.timestamp ? `@${this.record.place}` : ''
    return `${this.source}:${this.digest}${where}${place}`
  }
}

const NOTHING: ReadonlyMap<string, number> = new Map()

function counted(counts: ReadonlyMap<string, number>, path: string): ReadonlyMap<string, number> {
  const own = counts === NOTHING ? new Map<string, number>() : (counts as Map<string, number>)
  return own.set(path, (own.get(path) ?? 0) + 1)
}

class Result implements MapResult {
  readonly events: XdmEvent[] = []
  readonly rejected: Rejection[] = []
  skipped = 0
  /** Made when there is something to count: two maps for every record were a twentieth of all garbage. */
  nulled = NOTHING
  dropped = NOTHING
  /** The event at hand has been refused. */
  refused = false
  private where = ''

  start(where: string): void {
    this.where = where
    this.refused = false
  }
  lose(path: string): void {
    this.nulled = counted(this.nulled, path)
  }
  drop(path: string): void {
    this.dropped = counted(this.dropped, path)
  }
  add(rejection: Rejection): void {
    this.rejected.push(rejection)
  }
  /** The first reason wins: later ones of the same event are mostly its consequences. */
  reject(code: Rejection['code'], path: string, message: string): void {
    if (this.refused) return
    this.refused = true
    const dot = this.where === '' || path === '' ? '' : '.'
    this.rejected.push({ code, path: `${this.where}${dot}${path}`, message })
  }
}

/** `raw` of expressions: what the record carries besides its value. */
function rawOf(source: string, record: RawRecord, { usesHeaders }: CompiledMapping): Record<string, unknown> {
  return {
    source,
    key: record.key === null ? null : record.key.toString('utf8'),
    headers: usesHeaders ? { ...textHeaders(record) } : undefined,
    time: record.timestamp,
    place: record.place,
  }
}

/** XDM with the names of its public schemas; one look at the first level tells. */
const isPrefixed = (value: Record<string, unknown>): boolean => {
  for (const name in value) if (name.startsWith('xdm:') || name === '@id') return true
  return false
}

function* valuesOf(records: readonly RawRecord[]): Iterable<Buffer | null> {
  for (const record of records) yield record.value
}
