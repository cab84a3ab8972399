import { didYouMean } from '../../app/suggest.ts'
import { DateValue } from '../dates/date-value.ts'
import { readDate } from '../dates/read-date.ts'
import { findZone, type Zone, zoneNames } from '../dates/zones.ts'
import { refuse } from '../errors.ts'
import { type Fields, isMap, scalarText, show, typeName } from '../values.ts'

/** Text of a scalar: Data Prep's functions read numbers, booleans and dates as text. @throws ExpressionError `argument` for lists and maps */
export function toText(value: unknown, what: string): string {
  const text = typeof value === 'string' ? value : scalarText(value)
  return text ?? refuse('argument', `The ${what} is ${typeName(value)}, not text.`)
}

/** @throws ExpressionError `argument` when the value isn't text */
export function onlyText(value: unknown, what: string): string {
  if (typeof value === 'string') return value
  refuse('argument', `The ${what} is ${typeName(value)}, not text. Use string(…).`)
}

/** @throws ExpressionError `argument` when the value isn't a whole number that a double holds exactly */
export function toWhole(value: unknown, what: string): number {
  if (typeof value === 'number' && Number.isSafeInteger(value)) return value
  refuse(
    'argument',
    `The ${what} is ${show(value)}, not a whole number.${typeof value === 'string' ? ' Use to_integer(…).' : ''}`,
  )
}

/** @throws ExpressionError `argument` when the value isn't a list */
export function toList(value: unknown, what: string): readonly unknown[] {
  if (Array.isArray(value)) return value
  refuse('argument', `The ${what} is ${typeName(value)}, not a list.`)
}

/** @throws ExpressionError `argument` when the value isn't a map */
export function toMap(value: unknown, what: string): Fields {
  if (isMap(value)) return value
  refuse('argument', `The ${what} is ${typeName(value)}, not a map.`)
}

/** A date, a JS Date, milliseconds since 1970, or a text in one of the known formats. */
export function toDate(value: unknown, local: Zone, what = 'date'): DateValue {
  if (value instanceof DateValue) return value
  if (typeof value === 'number') return new DateValue(value)
  if (value instanceof Date) return new DateValue(value.getTime())
  if (typeof value !== 'string') refuse('argument', `The ${what} is ${typeName(value)}, not a date.`)
  return (
    readDate(value, local) ??
    refuse('argument', `${show(value)} is no date that is known. Name its format: date(x, "dd/MM/yyyy").`)
  )
}

/** @throws ExpressionError `argument` when no such zone is known */
export function toZone(value: unknown): Zone {
  const name = toText(value, 'time zone')
  return (
    findZone(name) ??
    refuse('argument', `${show(name)} is no time zone. Use UTC, +02:00 or Europe/Paris.${nearestZone(name)}`)
  )
}

function nearestZone(name: string): string {
  const hint = didYouMean(name, zoneNames())
  return hint.startsWith(' Did') ? hint : ''
}
