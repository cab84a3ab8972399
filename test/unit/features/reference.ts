/**
 * The slow and obvious feature kernel that the real one is compared with. It keeps every accepted event of every key and
 * computes each value anew from them, by the formula: with T = latest event time of the key and at = max(T, time of the
 * event), an event counts when floor((at − W) / h) · h ≤ ts ≤ at. No panes, no packed state, no incremental anything.
 * Shared with the kernel: the expressions, the schema's types, the two hash functions, and the resolved windows.
 */
import type { XdmEvent } from '../../../processors/app/event.ts'
import type { Application, FeatureDefinition } from '../../../processors/app/schema.ts'
import { createExpressions, type Expressions } from '../../../processors/expressions/index.ts'
import type { Expression } from '../../../processors/expressions/types.ts'
import { hash48, murmur3, SEED } from '../../../processors/features/hash.ts'
import type { FeatureAge, Lookups, Updated, Vector } from '../../../processors/features/types.ts'
import { resolveWindow, type Window } from '../../../processors/features/windows.ts'

export interface ReferenceResult {
  /** What became of the event in its profile. */
  readonly updated: Updated
  /** The vector right after it; for a refused event, the vector that it would be scored with. */
  readonly vector: Vector
  readonly ages: readonly FeatureAge[]
}

export interface ReferenceOptions {
  /** Default: `createExpressions({ replayable: true })`. */
  readonly expressions?: Expressions
  readonly lookups?: Lookups
  /** Vectors are computed this long after the event; default 0. */
  readonly delayMs?: number
}

type Features = Pick<Application, 'features' | 'entities' | 'events'>

/** Vectors of all events, which are given in log order. Time and memory grow with the square of a key's events. */
export function referenceVectors(
  app: Features,
  events: readonly XdmEvent[],
  options: ReferenceOptions = {},
): ReferenceResult[] {
  const reference = new Reference(app, options)
  return events.map((event) => reference.next(event))
}

/** An accepted event, with everything that was ever evaluated over it. */
interface Entry {
  readonly ts: number
  readonly tie: number
  readonly event: XdmEvent
  readonly values: Map<string, unknown>
}

interface KeyLog {
  time: number
  entries: Entry[]
  /** Remembered ids, in order of arrival. */
  ring: { id: string; step: number }[]
}

const emptyLog = (): KeyLog => ({ time: Number.NEGATIVE_INFINITY, entries: [], ring: [] })

class Reference {
  readonly #app: Features
  readonly #options: ReferenceOptions
  readonly #expressions: Expressions
  readonly #compiled = new Map<string, Expression>()
  readonly #logs = new Map<string, Map<string, KeyLog>>()

  constructor(app: Features, options: ReferenceOptions) {
    this.#app = app
    this.#options = options
    this.#expressions = options.expressions ?? createExpressions({ replayable: true })
  }

  next(event: XdmEvent): ReferenceResult {
    const updated = this.#update('profile', event.key, event)
    for (const entity of Object.keys(this.#app.entities)) {
      for (const key of this.#keys(entity, event)) this.#update(entity, key, event)
    }
    return { updated, ...this.#read(event) }
  }

  #ttl(entity: string): number {
    return entity === 'profile' ? this.#app.events.ttl : this.#app.entities[entity]!.ttl
  }

  #update(entity: string, key: string, event: XdmEvent): Updated {
    const { lateness, dedup } = this.#app.events
    const logs = this.#logs.get(entity) ?? new Map<string, KeyLog>()
    this.#logs.set(entity, logs)
    const log = logs.get(key) ?? emptyLog()
    logs.set(key, log)
    if (log.ring.some(({ id }) => id === event.id)) return 'duplicate'
    if (event.ts < log.time - lateness) return 'late'
    if (event.ts - log.time > this.#ttl(entity)) Object.assign(log, emptyLog())
    log.time = Math.max(log.time, event.ts)
    const stepLength = Math.max(1, Math.ceil(dedup.window / 120))
    log.ring.push({ id: event.id, step: Math.floor(event.ts / stepLength) })
    const oldest = Math.floor((log.time - dedup.window) / stepLength)
    log.ring = log.ring.filter(({ step }) => step >= oldest)
    log.ring = dedup.ids === 0 ? [] : log.ring.slice(-dedup.ids)
    const tie = Math.floor(hash48(event.id, SEED.id) / 2 ** 32)
    log.entries.push({ ts: event.ts, tie, event, values: new Map() })
    return 'applied'
  }

  #keys(entity: string, event: XdmEvent): string[] {
    const { key } = this.#app.entities[entity]!
    const parts = Array.isArray(key) ? key : [key]
    const lists = parts.map((part) => {
      const compiled = this.#compile(part, ['profile'])
      return listOf(compiled.evaluate(event.xdm, { profile: event.key }))
        .map(fullTextOf)
        .filter(isText)
    })
    const join = (lists: string[][]): string[][] =>
      lists.length === 0 ? [[]] : lists[0]!.flatMap((head) => join(lists.slice(1)).map((tail) => [head, ...tail]))
    const escapePart = (part: string): string => part.replaceAll('\\', '\\\\').replaceAll('|', '\\|')
    return [...new Set(join(lists).map((it) => (it.length === 1 ? it[0]! : it.map(escapePart).join('|'))))]
  }

  #compile(source: string, variables: readonly string[] = []): Expression {
    const name = `${variables} ${source}`
    const compiled = this.#compiled.get(name) ?? this.#expressions.compile(source, { variables })
    this.#compiled.set(name, compiled)
    return compiled
  }

  #evaluate(source: string, entry: Pick<Entry, 'event' | 'values'>): unknown {
    if (!entry.values.has(source)) {
      let value: unknown = null
      try {
        value = this.#compile(source).evaluate(entry.event.xdm)
      } catch {
        // a value that can't be computed is missing
      }
      entry.values.set(source, value)
    }
    return entry.values.get(source)
  }

  #read(event: XdmEvent): Pick<ReferenceResult, 'vector' | 'ages'> {
    const floats: number[] = []
    const strings: string[] = []
    const ages: FeatureAge[] = []
    const now = Math.max(event.ts, this.#logs.get('profile')?.get(event.key)?.time ?? event.ts)
    const at = now + (this.#options.delayMs ?? 0)
    for (const [feature, definition] of Object.entries(this.#app.features)) {
      const reflected: number[] = []
      for (const value of this.#columns(feature, definition, event, at, reflected)) {
        if (typeof value === 'string') strings.push(value)
        else floats.push(value)
      }
      const newest = greatest(reflected)
      ages.push({ feature, ageMs: reflected.length === 0 ? undefined : Math.max(0, at - newest) })
    }
    return { vector: { floats: Float32Array.from(floats), strings }, ages }
  }

  /** The key's accepted events that the definition's filter lets through, and the instant of evaluation. */
  #matching(definition: FeatureDefinition, event: XdmEvent, at: number): { entries: Entry[]; at: number } {
    if (definition.kind === 'event' || definition.kind === 'lookup') return { entries: [], at }
    const { entity, where } = definition
    const key = entity === 'profile' ? event.key : this.#keys(entity, event)[0]
    const log = key === undefined ? undefined : this.#logs.get(entity)?.get(key)
    if (log === undefined || at - log.time > this.#ttl(entity)) return { entries: [], at }
    const entries = log.entries.filter((entry) => where === undefined || this.#evaluate(where, entry) === true)
    return { entries, at: Math.max(at, log.time) }
  }

  /**
   * Numbers and texts of a feature, in the order of its columns.
   * @param reflected times of the events that the value reflects are added to it
   */
  #columns(
    name: string,
    definition: FeatureDefinition,
    event: XdmEvent,
    profileAt: number,
    reflected: number[],
  ): (number | string)[] {
    const { entries: matching, at } = this.#matching(definition, event, profileAt)
    const window =
      'window' in definition
        ? resolveWindow(definition.window, this.#app.events, name)
        : definition.kind === 'session'
          ? ({ type: 'session', length: 0, hop: 0, gap: definition.gap } as const)
          : LIFETIME
    /** Usable values inside the window, each with its event. */
    const read = <T>(source: string, convert: (value: unknown) => T | undefined): { value: T; entry: Entry }[] => {
      const usable = matching.flatMap((entry) => {
        const value = convert(this.#evaluate(source, entry))
        return value === undefined ? [] : [{ value, entry }]
      })
      const inside = new Set(
        within(
          window,
          usable.map(({ entry }) => entry),
          at,
        ),
      )
      const values = usable.filter(({ entry }) => inside.has(entry))
      if (definition.kind !== 'first')
        addAll(
          reflected,
          values.map(({ entry }) => entry.ts),
        )
      return values
    }
    const current = { event, values: new Map<string, unknown>() }
    switch (definition.kind) {
      case 'count': {
        const events = within(window, matching, at)
        addAll(
          reflected,
          events.map(({ ts }) => ts),
        )
        return [events.length === 0 ? definition.default : events.length]
      }
      case 'sum': {
        const values = read(definition.value, numberOf).map(({ value }) => value)
        return [values.length === 0 ? definition.default : exactSum(values, definition.unit)]
      }
      case 'mean': {
        const values = read(definition.value, numberOf).map(({ value }) => value)
        if (values.length === 0) return [definition.default ?? Number.NaN]
        return [exactSum(values, definition.unit) / values.length]
      }
      case 'variance': {
        const values = read(definition.value, numberOf).map(({ value }) => value)
        return [values.length === 0 ? (definition.default ?? Number.NaN) : exactVariance(values, definition.unit)]
      }
      case 'min':
      case 'max': {
        const values = read(definition.value, numberOf).map(({ value }) => value)
        return [
          values.length === 0
            ? (definition.default ?? Number.NaN)
            : values.reduce((a, b) => Math[definition.kind](a, b)),
        ]
      }
      case 'distinct': {
        const lists = read(definition.value, (value) =>
          some(listOf(value).filter((it) => fullTextOf(it) !== undefined)),
        )
        const n = hyperLogLog(
          lists.flatMap(({ value }) => value),
          definition.precision,
        )
        return [n === 0 ? definition.default : n]
      }
      case 'first':
      case 'last':
      case 'lastN': {
        const convert = definition.encode === undefined && isNumeric(definition) ? numberOf : textOf
        const sorted = read<number | string>(definition.value, convert).sort(
          (a, b) => a.entry.ts - b.entry.ts || a.entry.tie - b.entry.tie,
        )
        if (definition.kind !== 'first') sorted.reverse()
        else
          addAll(
            reflected,
            sorted.slice(0, 1).map(({ entry }) => entry.ts),
          )
        const n = definition.kind === 'lastN' ? definition.n : 1
        return Array.from({ length: n }, (_, i) => shown(definition, sorted[i]?.value)).flat()
      }
      case 'topK': {
        const lists = read(definition.value, (value) => some(listOf(value).map(textOf).filter(isDefined)))
        const weights = weigh(
          window,
          definition.capacity,
          lists.map(({ value, entry }) => ({ texts: value, weight: 1n, ts: entry.ts })),
        )
        const sorted = [...weights].sort(([a, x], [b, y]) => (x === y ? (a < b ? -1 : 1) : x > y ? -1 : 1))
        return Array.from({ length: definition.k }, (_, i) => {
          const text = sorted[i]?.[0]
          return shown(
            definition,
            text !== undefined && isNumeric(definition) ? (text === '' ? undefined : parse(text)) : text,
          )
        }).flat()
      }
      case 'ratio': {
        const truth = (value: unknown): number | undefined => (value === false ? undefined : numberOf(value))
        const total = (source: string): number =>
          exactSum(
            read(source, truth).map(({ value }) => value),
            1e-6,
          )
        const d = total(definition.denominator) + (definition.prior?.denominator ?? 0)
        const n = total(definition.numerator) + (definition.prior?.numerator ?? 0)
        return [d === 0 ? (definition.default ?? Number.NaN) : n / d]
      }
      case 'decayedCount':
      case 'decayedSum': {
        const terms =
          definition.kind === 'decayedSum'
            ? read(definition.value, numberOf)
            : matching.map((entry) => ({ value: 1, entry }))
        addAll(
          reflected,
          terms.map(({ entry }) => entry.ts),
        )
        if (terms.length === 0) return [definition.default]
        return [terms.reduce((sum, { value, entry }) => sum + value * 2 ** ((entry.ts - at) / definition.halfLife), 0)]
      }
      case 'recency':
        addAll(
          reflected,
          matching.map(({ ts }) => ts),
        )
        if (matching.length === 0) return [definition.default ?? Number.NaN]
        return [(at - greatest(matching.map(({ ts }) => ts))) / 1_000]
      case 'session': {
        if (definition.measure === 'sum') {
          const values = read(definition.value!, numberOf).map(({ value }) => value)
          return [values.length === 0 ? definition.default : exactSum(values, 1e-6)]
        }
        const times = within(window, matching, at).map(({ ts }) => ts)
        addAll(reflected, times)
        if (times.length === 0) return [definition.default]
        return [
          definition.measure === 'count' ? times.length : (greatest(times) + greatest(times.map((ts) => -ts))) / 1_000,
        ]
      }
      case 'buckets': {
        const { by, value, keys = [], read: reads, capacity } = definition
        const scale = value === undefined ? 1 : 1e6
        const convert = (it: unknown): string[] | undefined =>
          some(
            listOf(it)
              .map(textOf)
              .filter(isDefined)
              .filter((text) => reads !== undefined || keys.includes(text)),
          )
        // An event without a usable amount doesn't match, so it must not lengthen a session either.
        const amountOf = (entry: Entry): number | undefined =>
          value === undefined ? 1 : numberOf(this.#evaluate(value, entry))
        const usable = matching.filter((entry) => amountOf(entry) !== undefined && convert(this.#evaluate(by, entry)))
        const lists = within(window, usable, at).map((entry) => ({
          texts: convert(this.#evaluate(by, entry))!,
          weight: BigInt(Math.round(amountOf(entry)! * scale)),
          ts: entry.ts,
        }))
        addAll(
          reflected,
          lists.map(({ ts }) => ts),
        )
        const weights = weigh(window, reads === undefined ? keys.length : capacity, lists)
        const weightOf = (text: string | undefined): number =>
          text === undefined || !weights.has(text) ? definition.default : Number(weights.get(text)) / scale
        const columns = keys.map(weightOf)
        return reads === undefined ? columns : [...columns, weightOf(textOf(this.#evaluate(reads, current)))]
      }
      case 'event': {
        const value = convertScalar(definition, this.#evaluate(definition.value, current))
        if (value !== undefined) reflected.push(event.ts)
        return shown(definition, value)
      }
      case 'lookup': {
        const key = fullTextOf(this.#evaluate(definition.key, current))
        const row = key === undefined ? undefined : this.#options.lookups?.get(definition.table, key)
        return shown(definition, convertScalar(definition, row?.[definition.field]))
      }
    }
  }
}

const LIFETIME: Window = { type: 'lifetime', length: 0, hop: 0, gap: 0 }

// Not `push(...)` and `Math.max(...)`: arguments are limited, and a key may have more events than that.
function addAll(list: number[], more: readonly number[]): void {
  for (const it of more) list.push(it)
}

function greatest(list: readonly number[]): number {
  return list.reduce((a, b) => Math.max(a, b), Number.NEGATIVE_INFINITY)
}

/** Entries that a window ending at `at` reads. */
function within(window: Window, entries: readonly Entry[], at: number): Entry[] {
  switch (window.type) {
    case 'lifetime':
      return [...entries]
    case 'sliding': {
      const start = Math.floor((at - window.length) / window.hop) * window.hop
      return entries.filter(({ ts }) => start <= ts && ts <= at)
    }
    case 'tumbling': {
      const start = Math.floor(at / window.length) * window.length
      return entries.filter(({ ts }) => start <= ts && ts <= at)
    }
    case 'session': {
      const sorted = [...entries].sort((a, b) => a.ts - b.ts)
      const session = new Set<Entry>()
      let next = at
      for (const entry of sorted.reverse()) {
        if (next - entry.ts > window.gap) break
        session.add(entry)
        next = entry.ts
      }
      return entries.filter((entry) => session.has(entry))
    }
  }
}

interface Weighed {
  readonly texts: readonly string[]
  readonly weight: bigint
  readonly ts: number
}

/** Weight by text. Beyond the capacity of a pane its least text goes, in the order of the log: see docs/features.md. */
function weigh(window: Window, capacity: number, lists: readonly Weighed[]): Map<string, bigint> {
  const panes = new Map<number, Map<string, bigint>>()
  for (const { texts, weight, ts } of lists) {
    const number = window.hop === 0 ? 0 : Math.floor(ts / window.hop)
    const pane = panes.get(number) ?? new Map<string, bigint>()
    panes.set(number, pane)
    for (const text of texts) {
      if (!pane.has(text) && pane.size === capacity) pane.delete(least(pane))
      pane.set(text, (pane.get(text) ?? 0n) + weight)
    }
  }
  const sum = new Map<string, bigint>()
  for (const pane of panes.values()) for (const [text, weight] of pane) sum.set(text, (sum.get(text) ?? 0n) + weight)
  return sum
}

function least(pane: ReadonlyMap<string, bigint>): string {
  const size = (weight: bigint): bigint => (weight < 0n ? -weight : weight)
  return [...pane].sort(([a, x], [b, y]) => Number(size(x) - size(y)) || (a > b ? -1 : 1))[0]![0]
}

/** Units in 1, without the noise of the division: 1e-6 → 1000000. */
const scaleOf = (unit: number): number => Number((1 / unit).toPrecision(15))

/** A sum of values that were each rounded to a multiple of the unit, without any rounding of its own. */
function exactSum(values: readonly number[], unit: number): number {
  const scale = scaleOf(unit)
  return Number(values.reduce((sum, value) => sum + BigInt(Math.round(value * scale)), 0n)) / scale
}

/** (n·Σx² − (Σx)²) / n², in integers up to the division. */
function exactVariance(values: readonly number[], unit: number): number {
  const scale = scaleOf(unit)
  const units = values.map((value) => BigInt(Math.round(value * scale)))
  const sum = units.reduce((a, b) => a + b, 0n)
  const squares = units.reduce((a, b) => a + b * b, 0n)
  const n = units.length
  return Number(BigInt(n) * squares - sum * sum) / n / n / scale / scale
}

/** Estimate from registers that are computed over all values at once. Ertl 2017, algorithm 6; linear counting up to 2m. */
function hyperLogLog(values: readonly unknown[], precision: number): number {
  const m = 2 ** precision
  const q = 48 - precision
  const registers = new Map<number, number>()
  for (const value of values) {
    const seed = typeof value === 'string' ? SEED.text : typeof value === 'boolean' ? SEED.boolean : SEED.number
    const bits = hash48(fullTextOf(value)!, seed).toString(2).padStart(48, '0')
    const index = Number.parseInt(bits.slice(-precision), 2)
    const rest = bits.slice(0, -precision)
    const rank = rest.includes('1') ? rest.length - rest.lastIndexOf('1') : rest.length + 1
    registers.set(index, Math.max(registers.get(index) ?? 0, rank))
  }
  const empty = m - registers.size
  if (empty > m * Math.exp(-2)) return Math.round(m * Math.log(m / empty))
  const share = (rank: number): number => [...registers.values()].filter((it) => it === rank).length / m
  if (share(q + 1) > 0) throw new Error('a saturated register: its term is left out here, being so unlikely')
  let z = 0
  for (let rank = q; rank >= 1; rank--) z = (z + share(rank)) / 2
  let power = empty / m
  let sigma = power
  for (let y = 1; power > 0; y *= 2) {
    power *= power
    sigma += power * y
  }
  return m / (2 * Math.LN2) / (z + sigma)
}

function numberOf(value: unknown): number | undefined {
  if (typeof value === 'boolean') return value ? 1 : 0
  return typeof value === 'number' && Math.abs(value) <= 3.4028234663852886e38 ? value : undefined
}

/** A text as states keep it. */
function textOf(value: unknown): string | undefined {
  const text = fullTextOf(value)
  return text === undefined ? undefined : cut(text.toWellFormed())
}

function fullTextOf(value: unknown): string | undefined {
  if (typeof value === 'string') return value
  if (typeof value === 'boolean' || (typeof value === 'number' && Number.isFinite(value))) return String(value)
  return undefined
}

/** At most 256 bytes of UTF-8, whole code points. */
function cut(text: string): string {
  return Buffer.byteLength(text) <= 256 ? text : cut([...text].slice(0, -1).join(''))
}

function parse(text: string): number | undefined {
  return Number.isNaN(Number(text)) ? undefined : Number(text)
}

const listOf = (value: unknown): unknown[] => (Array.isArray(value) ? value.slice(0, 100) : [value])
const some = <T>(list: T[]): T[] | undefined => (list.length === 0 ? undefined : list)
const isDefined = <T>(value: T | undefined): value is T => value !== undefined
const isText = (value: string | undefined): value is string => value !== undefined && value !== ''

type Scalar = Extract<FeatureDefinition, { encode?: unknown }>

function isNumeric(definition: Scalar): boolean {
  if (definition.type !== undefined) return definition.type === 'number'
  return definition.encode === undefined && typeof definition.default !== 'string'
}

function convertScalar(definition: Scalar, value: unknown): number | string | undefined {
  return isNumeric(definition) ? numberOf(value) : textOf(value)
}

/** Columns of one value, or of a missing one. */
function shown(definition: Scalar, value: number | string | undefined): (number | string)[] {
  const { encode } = definition
  const fallback = typeof definition.default === 'boolean' ? Number(definition.default) : definition.default
  const found = value ?? fallback
  if (encode === undefined) return [found ?? (isNumeric(definition) ? Number.NaN : '')]
  if ('onehot' in encode) return encode.onehot.map((word) => (word === found ? 1 : 0))
  if (typeof found === 'number') return [found]
  if ('vocabulary' in encode) return [found === null ? 0 : encode.vocabulary.indexOf(found) + 1]
  return [found === null ? Number.NaN : murmur3(found) % encode.hash]
}
