import { DateValue } from './dates/date-value.ts'
import { readDate } from './dates/read-date.ts'
import { refuse } from './errors.ts'
import { MAX_LIST_LENGTH, MAX_TEXT_LENGTH, MAX_VALUE_DEPTH } from './limits.ts'
import { spend } from './work.ts'

/** Fields by name; never read without checking that the name is the object's own. */
export type Fields = Record<string, unknown>

/** What a value is called in messages. */
export function typeName(value: unknown): string {
  if (value === null || value === undefined) return 'null'
  if (typeof value === 'string') return 'text'
  if (typeof value === 'number' || typeof value === 'bigint') return 'a number'
  if (typeof value === 'boolean') return 'a boolean'
  if (Array.isArray(value)) return 'a list'
  if (value instanceof DateValue) return 'a date'
  if (value instanceof Uint8Array) return 'bytes'
  return 'a map'
}

/** A short rendering for messages: the value itself when it is small, else its type. */
export function show(value: unknown): string {
  if (typeof value === 'string') return JSON.stringify(value.length > 40 ? `${value.slice(0, 40)}…` : value)
  if (typeof value === 'number' || typeof value === 'bigint' || typeof value === 'boolean') return String(value)
  if (value instanceof DateValue) return value.toString()
  return typeName(value)
}

export function isMap(value: unknown): value is Fields {
  return (
    typeof value === 'object' &&
    value !== null &&
    !Array.isArray(value) &&
    !(value instanceof DateValue) &&
    !(value instanceof Uint8Array)
  )
}

/** The field of a map, or undefined: never something inherited, never an element of a list. Never throws. */
export function field(value: unknown, name: string): unknown {
  return typeof value === 'object' && value !== null && !Array.isArray(value) && Object.hasOwn(value, name)
    ? (value as Fields)[name]
    : undefined
}

/** Sets a key that may be `__proto__` without touching the prototype. */
export function setField(target: Fields, name: string, value: unknown): void {
  if (name === '__proto__')
    Object.defineProperty(target, name, { value, enumerable: true, configurable: true, writable: true })
  else target[name] = value
}

/** `value[key]`: an element by whole number, a field by text or number. Anything else is missing. Never throws. */
export function element(value: unknown, key: unknown): unknown {
  if (Array.isArray(value)) return typeof key === 'number' ? value[key] : undefined
  if (value instanceof Uint8Array) return undefined
  if (typeof key === 'string') return field(value, key)
  return typeof key === 'number' || typeof key === 'bigint' || typeof key === 'boolean'
    ? field(value, String(key))
    : undefined
}

/** Deep equality. Numbers compare by value across number and bigint, dates by instant, other unlike types are unequal. */
export function equal(a: unknown, b: unknown, depth = 0): boolean {
  if (a === b) return true
  if (a === null || a === undefined) return b === null || b === undefined
  if (b === null || b === undefined) return false
  if (typeof a === 'bigint' || typeof b === 'bigint')
    // biome-ignore lint/suspicious/noDoubleEquals: the loose form is the exact comparison of a bigint with a number
    return isNumeric(a) && isNumeric(b) && a == b
  if (a instanceof DateValue || b instanceof DateValue) return sameInstant(a, b)
  if (typeof a !== 'object' || typeof b !== 'object') return false
  if (depth >= MAX_VALUE_DEPTH)
    refuse('limit', `Values nest more than ${MAX_VALUE_DEPTH} levels; compare parts of them.`)
  if (Array.isArray(a) || Array.isArray(b)) return Array.isArray(a) && Array.isArray(b) && equalLists(a, b, depth)
  if (a instanceof Uint8Array || b instanceof Uint8Array)
    return a instanceof Uint8Array && b instanceof Uint8Array && Buffer.compare(a, b) === 0
  return equalMaps(a as Fields, b as Fields, depth)
}

function isNumeric(value: unknown): value is number | bigint {
  return typeof value === 'number' || typeof value === 'bigint'
}

function sameInstant(a: unknown, b: unknown): boolean {
  const left = instantOf(a)
  return left !== undefined && left === instantOf(b)
}

function equalLists(a: readonly unknown[], b: readonly unknown[], depth: number): boolean {
  if (a.length !== b.length) return false
  spend(a.length / 8)
  for (let index = 0; index < a.length; index++) if (!equal(a[index], b[index], depth + 1)) return false
  return true
}

function equalMaps(a: Fields, b: Fields, depth: number): boolean {
  const names = Object.keys(a)
  if (names.length !== Object.keys(b).length) return false
  spend(names.length / 4)
  for (const name of names) if (!Object.hasOwn(b, name) || !equal(a[name], b[name], depth + 1)) return false
  return true
}

function instantOf(value: unknown): number | undefined {
  if (value instanceof DateValue) return value.epochMs
  return typeof value === 'string' ? readDate(value)?.epochMs : undefined
}

/**
 * Order of two values that are not null: numbers, texts (by UTF-16 unit), booleans (false first), dates (a text beside a date is read as one).
 * @returns < 0, 0 or > 0; NaN when a number is NaN, which makes every comparison false
 * @throws ExpressionError `type` when the values have no common order
 */
export function compare(a: unknown, b: unknown): number {
  if (isNumeric(a) && isNumeric(b)) return a < b ? -1 : a > b ? 1 : a >= b ? 0 : Number.NaN
  if (typeof a === 'string' && typeof b === 'string') return a < b ? -1 : a > b ? 1 : 0
  if (typeof a === 'boolean' && typeof b === 'boolean') return Number(a) - Number(b)
  if (a instanceof DateValue || b instanceof DateValue) {
    const left = instantOf(a)
    const right = instantOf(b)
    if (left !== undefined && right !== undefined) return left - right
  }
  refuse('type', `${show(a)} can't be compared with ${show(b)}.${remedy(a, b)}`)
}

function remedy(a: unknown, b: unknown): string {
  if ((typeof a === 'string' && isNumeric(b)) || (typeof b === 'string' && isNumeric(a)))
    return ' Use to_decimal(…) or string(…) so that both have one type.'
  return ''
}

/** Text of a number as JSON has it; `1` for 1.0. */
function numberText(value: number | bigint): string {
  return String(value)
}

/** Text of a scalar, or undefined for lists, maps and null. Bytes are read as UTF-8. */
export function scalarText(value: unknown): string | undefined {
  if (typeof value === 'string') return value
  if (isNumeric(value)) return numberText(value)
  if (typeof value === 'boolean') return value ? 'true' : 'false'
  if (value instanceof DateValue) return value.toString()
  if (value instanceof Uint8Array) return Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString('utf8')
  return undefined
}

/** @throws ExpressionError `limit` before a text longer than the bound is built */
export function checkTextLength(length: number): void {
  if (length > MAX_TEXT_LENGTH)
    refuse('limit', `The text would have ${length} characters; ${MAX_TEXT_LENGTH} are allowed.`)
  spend(length / 64)
}

/** @throws ExpressionError `limit` before a list longer than the bound is built */
export function checkListLength(length: number): void {
  if (length > MAX_LIST_LENGTH)
    refuse('limit', `The list would have ${length} elements; ${MAX_LIST_LENGTH} are allowed.`)
  spend(length / 8)
}

/** Numbers leave as JS numbers where they are exact, else as bigint. */
export function normalizeInteger(value: bigint): number | bigint {
  const asNumber = Number(value)
  return Number.isSafeInteger(asNumber) ? asNumber : value
}

/** What leaves an expression: dates become RFC 3339 text, missing becomes null. Copies only what holds a date. */
export function toJson(value: unknown, depth = 0): unknown {
  if (value === undefined) return null
  if (typeof value !== 'object' || value === null) return value
  if (value instanceof DateValue) return value.toString()
  if (value instanceof Uint8Array) return value
  if (depth >= MAX_VALUE_DEPTH) refuse('limit', `The result nests more than ${MAX_VALUE_DEPTH} levels.`)
  if (Array.isArray(value)) {
    let copy: unknown[] | undefined
    for (let index = 0; index < value.length; index++) {
      const next = toJson(value[index], depth + 1)
      if (next !== value[index] && copy === undefined) copy = value.slice()
      if (copy !== undefined) copy[index] = next
    }
    return copy ?? value
  }
  let copy: Fields | undefined
  for (const name of Object.keys(value)) {
    const before = (value as Fields)[name]
    const next = toJson(before, depth + 1)
    if (next === before) continue
    copy ??= { ...(value as Fields) }
    setField(copy, name, next)
  }
  return copy ?? value
}
