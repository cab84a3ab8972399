/**
 * Brings an object from outside into the composed schema in one pass. Each type is compiled once to a function
 * `(value, run) → value`; `undefined` means "leave it out" (the function has reported why). A value that needs no change
 * is returned as it is, so a well-formed event costs no allocation: 1.5 µs for 33 leaves of one shape, 2.6 µs for 35 of mixed shapes.
 */
import type { Code, Rejection } from '../app/errors.ts'
import type { Xdm } from '../app/event.ts'
import { FORMATS } from './formats.ts'
import { formatDate, formatTime, isEpochMs, parseDate, parseRfc3339, show } from './time.ts'
import { MAX_WHOLE, MIN_WHOLE, type RecordType, type XdmType } from './types.ts'

export interface ConformLimits {
  /** Nesting of objects and arrays. */
  readonly depth: number
  /** UTF-16 units of one text. */
  readonly stringLength: number
  /** Elements of one array, entries of one map. */
  readonly elements: number
  /** Identities of an event, over all namespaces. */
  readonly identities: number
}

/** The defaults of `limits` and `identity` in the application file. */
export const DEFAULT_LIMITS: ConformLimits = { depth: 64, stringLength: 65_536, elements: 1_000, identities: 20 }

export interface Conformed {
  /** What conforms. Without its `_id` or `timestamp` when `problems` says so; valid in all other respects. Shares unchanged parts with the input. */
  readonly xdm: Xdm
  /** At most 100. Empty = `xdm` is a valid event. */
  readonly problems: Rejection[]
  /** Paths of fields that the schema doesn't know, at most 100. */
  readonly dropped: string[]
}

const MAX_REPORTS = 100
const MAX_NAME = 128

type Check = (value: unknown, run: Run) => unknown

/** State of one pass. `names[0..depth)` is the path of the value at hand; a number is an index of an array. */
class Run {
  limits: ConformLimits = DEFAULT_LIMITS
  depth = 0
  readonly names: (string | number)[] = new Array(64).fill('')
  problems: Rejection[] = []
  dropped: string[] = []
  primaries = 0
  identities = 0

  reject(code: Code, message: string): undefined {
    if (this.problems.length < MAX_REPORTS) this.problems.push({ code, path: this.path(), message })
    return undefined
  }

  drop(name: string): void {
    if (this.dropped.length >= MAX_REPORTS) return
    const path = this.path()
    this.dropped.push(path === '' ? escapeName(name) : `${path}.${escapeName(name)}`)
  }

  path(): string {
    let text = ''
    for (let i = 0; i < this.depth; i++) {
      const name = this.names[i]!
      text += typeof name === 'number' ? `[${name}]` : text === '' ? escapeName(name) : `.${escapeName(name)}`
    }
    return text
  }
}

function escapeName(name: string): string {
  return (name.length > MAX_NAME ? `${name.slice(0, MAX_NAME)}…` : name).replace(/[.[\]\\]/g, '\\$&')
}

/** Compiles the pass of a schema. The function never throws on JSON-like input. */
export function compileConform(root: RecordType): (input: object, limits?: ConformLimits) => Conformed {
  const check = compileRecord(root, new Map())
  const run = new Run()
  return (input, limits = DEFAULT_LIMITS) => {
    run.limits = limits
    run.depth = 0
    run.primaries = 0
    run.identities = 0
    const problems: Rejection[] = []
    const dropped: string[] = []
    run.problems = problems
    run.dropped = dropped
    const found = check(input, run) as Xdm | undefined
    return { xdm: found ?? ({} as Xdm), problems, dropped }
  }
}

function compile(type: XdmType, records: Map<string, Check>): Check {
  switch (type.kind) {
    case 'string':
      return compileString(type)
    case 'integer':
      return compileNumber(type, true)
    case 'number':
      return compileNumber(type, false)
    case 'boolean':
      return checkBoolean
    case 'date-time':
      return checkTime
    case 'date':
      return checkDate
    case 'array':
      return compileArray(type, records)
    case 'map':
      return compileMap(type, records)
    case 'record': {
      const known = records.get(type.name)
      if (known) return known
      const check =
        type.name === 'Identity' ? countIdentity(compileRecord(type, records)) : compileRecord(type, records)
      records.set(type.name, check)
      return check
    }
  }
}

const misfit = (run: Run, expected: string, value: unknown): undefined =>
  run.reject('MAP_TYPE', `expected ${expected}, got ${show(value)}`)

function compileString(type: XdmType & { kind: 'string' }): Check {
  const allowed = type.enum && new Set<unknown>(type.enum)
  const pattern = type.pattern === undefined ? undefined : new RegExp(type.pattern, 'u')
  const format = type.format === undefined || type.format === 'uri-reference' ? undefined : FORMATS[type.format]
  const { minLength = 0, maxLength = Number.POSITIVE_INFINITY } = type
  const plain = !allowed && !pattern && !format && minLength === 0 && maxLength === Number.POSITIVE_INFINITY

  const checkText: Check = (value, run) => {
    if (typeof value !== 'string') return misfit(run, type.enum ? `one of ${type.enum.join(', ')}` : 'text', value)
    if (value.length > run.limits.stringLength) {
      return run.reject(
        'LIMIT',
        `${value.length} characters; the limit is ${run.limits.stringLength} (limits.stringLength)`,
      )
    }
    // A lone surrogate has no UTF-8 form: the log would keep another text than the one that was checked.
    return value.isWellFormed() ? value : run.reject('XDM_INVALID', 'the text has half a surrogate pair')
  }
  if (plain) return checkText
  return (value, run) => {
    const text = checkText(value, run)
    if (typeof text !== 'string') return undefined
    if (allowed && !allowed.has(text))
      return run.reject('XDM_INVALID', `expected one of ${type.enum!.join(', ')}, got ${show(text)}`)
    if (format && !format(text)) return run.reject('XDM_INVALID', `expected ${type.format}, got ${show(text)}`)
    if (pattern && !pattern.test(text)) return run.reject('XDM_INVALID', `${show(text)} does not match ${type.pattern}`)
    if ((minLength > 0 || maxLength < text.length) && !lengthFits(text, minLength, maxLength)) {
      const bounds = maxLength === Number.POSITIVE_INFINITY ? `at least ${minLength}` : `${minLength} to ${maxLength}`
      return run.reject('XDM_INVALID', `${show(text)} has another length than ${bounds} characters`)
    }
    return text
  }
}

/** JSON Schema counts code points, not UTF-16 units. */
function lengthFits(text: string, min: number, max: number): boolean {
  if (text.length >= min * 2 && text.length <= max) return true
  let length = 0
  for (const _ of text) length++
  return length >= min && length <= max
}

function compileNumber(type: XdmType & { kind: 'integer' | 'number' }, whole: boolean): Check {
  const min = type.minimum ?? Number.NEGATIVE_INFINITY
  const max = type.maximum ?? Number.POSITIVE_INFINITY
  const above = ('exclusiveMinimum' in type ? type.exclusiveMinimum : undefined) ?? Number.NEGATIVE_INFINITY
  const expected = whole ? 'a whole number' : 'a number'
  return (value, run) => {
    let number: number
    if (typeof value === 'number') number = value
    else if (typeof value === 'bigint' && BigInt(Number(value)) === value) number = Number(value)
    else return misfit(run, expected, value)
    if (!Number.isFinite(number)) return misfit(run, expected, value)
    if (whole) {
      if (!(Number.isInteger(number) && number >= MIN_WHOLE && number <= MAX_WHOLE)) {
        return Number.isInteger(number)
          ? run.reject(
              'MAP_TYPE',
              `${show(value)} is outside −2^52 to 2^53, where readers lose digits. Map it to a text field`,
            )
          : misfit(run, expected, value)
      }
      number += 0 // -0 has no integer form on the wire
    }
    if (number < min || number > max || number <= above) {
      const bounds = [
        above > Number.NEGATIVE_INFINITY ? `above ${above}` : '',
        min > Number.NEGATIVE_INFINITY ? `at least ${min}` : '',
        max < Number.POSITIVE_INFINITY ? `at most ${max}` : '',
      ]
      return run.reject('XDM_INVALID', `expected ${bounds.filter(Boolean).join(' and ')}, got ${number}`)
    }
    return number
  }
}

const checkBoolean: Check = (value, run) => {
  if (typeof value === 'boolean') return value
  if (value === 'true') return true
  return value === 'false' ? false : misfit(run, 'true or false', value)
}

const checkTime: Check = (value, run) => {
  if (typeof value === 'string') {
    const ms = parseRfc3339(value)
    if (Number.isNaN(ms))
      return run.reject('MAP_TYPE', `expected a date-time such as 2026-01-31T09:05:00Z, got ${show(value)}`)
    // Comparing costs as much as formatting: a text that is already normal keeps its identity, so its record isn't copied.
    const text = formatTime(ms)
    return text === value ? value : text
  }
  if (value instanceof Date && isEpochMs(value.getTime())) return formatTime(value.getTime())
  return misfit(run, 'a date-time', value)
}

const checkDate: Check = (value, run) => {
  if (typeof value === 'string' && !Number.isNaN(parseDate(value))) return value
  if (value instanceof Date && isEpochMs(value.getTime())) return formatDate(Math.floor(value.getTime() / 86_400_000))
  return misfit(run, 'a date such as 2026-01-31', value)
}

/** Goes one level down. @returns false (reported) where the limit is reached */
function enter(run: Run): boolean {
  if (run.depth >= run.limits.depth || run.depth >= run.names.length) {
    run.reject('LIMIT', `nested deeper than ${run.limits.depth} (limits.depth)`)
    return false
  }
  run.depth++
  return true
}

function compileArray(type: XdmType & { kind: 'array' }, records: Map<string, Check>): Check {
  const check = compile(type.items, records)
  const { minItems = 0, maxItems = Number.POSITIVE_INFINITY } = type
  return (value, run) => {
    if (!Array.isArray(value)) return misfit(run, 'an array', value)
    const length = value.length
    if (length > run.limits.elements)
      return run.reject('LIMIT', `${length} elements; the limit is ${run.limits.elements}`)
    if (!enter(run)) return undefined
    const level = run.depth - 1
    let copy: unknown[] | undefined
    for (let i = 0; i < length; i++) {
      run.names[level] = i
      const item: unknown = value[i]
      const kept = check(item, run)
      if (kept === undefined || !Object.is(kept, item)) copy ??= value.slice(0, i)
      if (copy && kept !== undefined) copy.push(kept)
    }
    run.depth = level
    const items = copy ?? value
    if (items.length < minItems || items.length > maxItems) {
      return run.reject('XDM_INVALID', `expected ${minItems} to ${maxItems} elements, got ${items.length}`)
    }
    return items
  }
}

function compileMap(type: XdmType & { kind: 'map' }, records: Map<string, Check>): Check {
  const check = compile(type.values, records)
  return (input, run) => {
    if (!isObject(input)) return misfit(run, 'an object', input)
    if (!enter(run)) return undefined
    const level = run.depth - 1
    const value = isPlain(input) ? input : { ...input }
    let copy: Record<string, unknown> | undefined
    let entries = 0
    for (const key in value) {
      if (++entries > run.limits.elements) {
        run.depth = level
        return run.reject('LIMIT', `more than ${run.limits.elements} entries`)
      }
      run.names[level] = key
      const item = value[key]
      const kept = isUsableKey(key, run) ? check(item, run) : undefined
      if (kept === undefined || !Object.is(kept, item)) copy ??= copyBefore(value, key)
      if (copy !== undefined && kept !== undefined) copy[key] = kept
    }
    run.depth = level
    return copy ?? value
  }
}

/** `__proto__` can't be a key of a plain object, and a lone surrogate has no UTF-8 form. */
function isUsableKey(key: string, run: Run): boolean {
  if (key === '__proto__') {
    run.depth--
    run.drop(key)
    run.depth++
    return false
  }
  if (key.length > run.limits.stringLength || !key.isWellFormed()) {
    run.reject('LIMIT', 'the key is too long or has half a surrogate pair')
    return false
  }
  return true
}

interface FieldCheck {
  readonly check: Check
  readonly isRequired: boolean
}

function compileRecord(type: RecordType, records: Map<string, Check>): Check {
  const fields = new Map<string, FieldCheck>()
  for (const [name, field] of type.fields) {
    fields.set(name, { check: compile(field.type, records), isRequired: field.required })
  }
  const required = [...type.fields].filter(([, field]) => field.required).map(([name]) => name)
  const isRoot = type.name === 'Event'

  return (input, run) => {
    if (!isObject(input)) return misfit(run, 'an object', input)
    if (!enter(run)) return undefined
    const level = run.depth - 1
    const value = isPlain(input) ? input : { ...input }
    let copy: Record<string, unknown> | undefined
    let missing = required.length
    // for…in over a plain object reads through the engine's enumeration cache: 0.4 µs less an event than Object.keys.
    for (const name in value) {
      const field = fields.get(name)
      const item = value[name]
      let kept: unknown
      if (field === undefined) {
        run.depth = level
        run.drop(name)
        run.depth = level + 1
      } else if (item !== null && item !== undefined) {
        run.names[level] = name
        kept = field.check(item, run)
        if (kept !== undefined && field.isRequired) missing--
      }
      if (kept === undefined || !Object.is(kept, item)) copy ??= copyBefore(value, name)
      if (copy !== undefined && kept !== undefined) copy[name] = kept
    }
    if (missing > 0) reportMissing(run, required, value)
    run.depth = level
    if (isRoot) checkIdentities(run)
    return missing === 0 || isRoot ? (copy ?? value) : undefined
  }
}

/** A required field that was there but didn't fit has been reported already. */
function reportMissing(run: Run, required: readonly string[], value: Record<string, unknown>): void {
  for (const name of required) {
    if (Object.hasOwn(value, name) && value[name] !== undefined && value[name] !== null) continue
    run.names[run.depth - 1] = name
    run.reject('MAP_REQUIRED', 'the field is required')
  }
}

function countIdentity(check: Check): Check {
  return (value, run) => {
    run.identities++
    const identity = check(value, run) as { primary?: boolean } | undefined
    if (identity?.primary === true) run.primaries++
    return identity
  }
}

function checkIdentities(run: Run): void {
  if (run.primaries <= 1 && run.identities <= run.limits.identities) return
  run.depth = 1
  run.names[0] = 'identityMap'
  if (run.primaries > 1) run.reject('IDENTITY', `${run.primaries} identities are marked primary; at most one may be`)
  if (run.identities > run.limits.identities) {
    run.reject('LIMIT', `${run.identities} identities; the limit is ${run.limits.identities} (identity.max)`)
  }
  run.depth = 0
}

function copyBefore(value: Record<string, unknown>, end: string): Record<string, unknown> {
  const copy: Record<string, unknown> = {}
  for (const key in value) {
    if (key === end) break
    copy[key] = value[key]
  }
  return copy
}

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value) && !(value instanceof Date)

/** Objects of other classes are copied first: an inherited field must not look like one of the event. */
function isPlain(value: object): boolean {
  const prototype: unknown = Object.getPrototypeOf(value)
  return prototype === Object.prototype
}
