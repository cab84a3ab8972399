/**
 * The step between an expression's value and its XDM path: forms that lose nothing and that sources really use. A number
 * may become text, a time text or number becomes RFC 3339, a plain value becomes a `Measure` or an `Identity`. A text never
 * becomes a number: `"12.50"` and `"12,50"` differ by a factor of 100 for a guess, so the mapping says `to_decimal(…)`.
 * Ranges, patterns and shapes are the schema's own `conform`, once for the whole event.
 */

import type { XdmType } from '../xdm/index.ts'
import { formatTime, parseTime, type TimeUnit } from '../xdm/index.ts'
import { isObject, nameOf } from './decode/types.ts'

export interface AdaptOptions {
  readonly timeUnit?: TimeUnit | undefined
  readonly timeZone?: string | undefined
}

/** A value that can't take the form of its path; `message` says what was expected and what to do. */
export class Misfit {
  readonly message: string
  constructor(message: string) {
    this.message = message
  }
}

/** @returns the adapted value, undefined for nothing, or a `Misfit` */
export type Adapt = (value: unknown) => unknown

export function compileAdapt(type: XdmType, options: AdaptOptions): Adapt {
  switch (type.kind) {
    case 'string':
      return adaptText
    case 'integer':
      return adaptInteger
    case 'number':
      return adaptNumber
    case 'boolean':
      return adaptBoolean
    case 'date-time':
      return (value) => {
        if (value == null) return undefined
        const time = parseTime(value, { unit: options.timeUnit, zone: options.timeZone })
        return time.ok ? formatTime(time.ts) : new Misfit(time.message)
      }
    case 'date':
      // the day of a date-time, as the source wrote it
      return (value) => (typeof value === 'string' && /^\d{4}-\d\d-\d\d[T ]/.test(value) ? value.slice(0, 10) : value)
    case 'array':
      return compileList(type, options)
    case 'map':
      return compileMap(type.values, options)
    default:
      return compileRecord(type)
  }
}

function adaptText(value: unknown): unknown {
  switch (typeof value) {
    case 'string':
      return value
    case 'number':
      return Number.isFinite(value) ? String(value) : new Misfit(`expected a text, got ${value}.`)
    case 'boolean':
    case 'bigint':
      return String(value)
    default:
      return value == null ? undefined : new Misfit(`expected a text, got ${nameOf(value)}.`)
  }
}

function adaptNumber(value: unknown): unknown {
  if (typeof value === 'number' || value == null) return value ?? undefined
  if (typeof value === 'bigint') return Number(value)
  const remedy = typeof value === 'string' ? ' Add to_decimal(…) or set onError: null.' : ''
  return new Misfit(`expected number, got ${nameOf(value)}.${remedy}`)
}

function adaptInteger(value: unknown): unknown {
  if (typeof value === 'number') {
    return Number.isSafeInteger(value)
      ? value
      : new Misfit(`expected integer, got ${value}. Add int(…) to cut the fraction.`)
  }
  if (value == null) return undefined
  if (typeof value === 'bigint') return Number(value)
  const remedy = typeof value === 'string' ? ' Add to_integer(…) or set onError: null.' : ''
  return new Misfit(`expected integer, got ${nameOf(value)}.${remedy}`)
}

function adaptBoolean(value: unknown): unknown {
  if (typeof value === 'boolean' || value == null) return value ?? undefined
  return new Misfit(`expected true or false, got ${nameOf(value)}. Compare it: … == 1, … == "true".`)
}

function compileList(type: XdmType & { kind: 'array' }, options: AdaptOptions): Adapt {
  const adapt = compileAdapt(type.items, options)
  const takesOne = type.items.kind === 'record' && type.items.name === 'Identity'
  return (value) => {
    if (value == null) return undefined
    if (!Array.isArray(value) && !takesOne) return new Misfit(`expected a list, got ${nameOf(value)}.`)
    const result: unknown[] = []
    for (const item of Array.isArray(value) ? value : [value]) {
      const adapted = adapt(item)
      if (adapted instanceof Misfit) return adapted
      if (adapted !== undefined) result.push(adapted)
    }
    return result.length === 0 ? undefined : result
  }
}

function compileMap(values: XdmType, options: AdaptOptions): Adapt {
  const adapt = compileAdapt(values, options)
  return (value) => {
    if (value == null) return undefined
    if (!isObject(value)) return new Misfit(`expected an object, got ${nameOf(value)}.`)
    const result: Record<string, unknown> = {}
    for (const key of Object.keys(value)) {
      const adapted = key === '__proto__' ? undefined : adapt(value[key])
      if (adapted instanceof Misfit) return adapted
      if (adapted !== undefined) result[key] = adapted
    }
    return result
  }
}

/** Records are copied as they are, `conform` looks at their fields; two of them have a short form. */
function compileRecord(type: XdmType & { kind: 'record' }): Adapt {
  if (type.name === 'Identity') {
    return (value) => {
      if (isObject(value)) {
        const id = adaptText(value.id)
        return id instanceof Misfit ? id : id === value.id ? value : { ...value, id }
      }
      const id = adaptText(value)
      return typeof id === 'string' ? { id } : id
    }
  }
  const takesNumber = type.name === 'Measure'
  return (value) => {
    if (value == null) return undefined
    if (isObject(value)) return value
    if (takesNumber && typeof value === 'number') return { value }
    return new Misfit(`expected an object, got ${nameOf(value)}.`)
  }
}
