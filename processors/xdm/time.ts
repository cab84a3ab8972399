import { Instant, LocalDateTime, ZoneId } from '@js-joda/core'
import '@js-joda/timezone'
import { type EpochMs, epochMs } from '../app/units.ts'

export type TimeUnit = 's' | 'ms' | 'us'
export type ParsedTime = { readonly ok: true; readonly ts: EpochMs } | { readonly ok: false; readonly message: string }

const DAY_MS = 86_400_000
/** 0000-01-01 and 10000-01-01: outside, RFC 3339 has no form. */
const MIN_MS = -62_167_219_200_000
const MAX_MS = 253_402_300_800_000
const MONTH_DAYS = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]

/**
 * Milliseconds of an RFC 3339 date-time; digits after the millisecond are cut, 23:59:60 UTC is the next second.
 * @returns NaN when it isn't one, or falls outside the years 0000–9999 in UTC
 */
export function parseRfc3339(text: string): number {
  // What was just formatted: the same object mostly, so that the comparison is one of addresses.
  return text === formattedText ? formattedMs : parseAnew(text)
}

function parseAnew(text: string): number {
  const length = text.length
  if (
    length < 20 ||
    length > 40 ||
    text.charCodeAt(4) !== 45 ||
    text.charCodeAt(7) !== 45 ||
    text.charCodeAt(13) !== 58 ||
    text.charCodeAt(16) !== 58
  ) {
    return Number.NaN
  }
  const separator = text.charCodeAt(10) | 32
  if (separator !== 116 && separator !== 32) return Number.NaN // T, t or a blank
  const year = two(text, 0) * 100 + two(text, 2)
  const month = two(text, 5)
  const day = two(text, 8)
  const hour = two(text, 11)
  const minute = two(text, 14)
  const second = two(text, 17)
  // NaN of a non-digit fails every comparison of this line
  if (!(year >= 0 && isDate(year, month, day) && hour < 24 && minute < 60 && second < 61)) return Number.NaN

  let at = 19
  let millis = 0
  if (text.charCodeAt(at) === 46) {
    const start = ++at
    for (let weight = 100; at < length; at++, weight /= 10) {
      const digit = text.charCodeAt(at) - 48
      if (!(digit >= 0 && digit <= 9)) break
      if (weight >= 1) millis += digit * weight
    }
    if (at === start) return Number.NaN
  }
  const offset = offsetMinutes(text, at)
  const ms = daysFromCivil(year, month, day) * DAY_MS + (hour * 60 + minute - offset) * 60_000 + second * 1_000 + millis
  if (second === 60 && (ms - millis) % DAY_MS !== 0) return Number.NaN
  return ms >= MIN_MS && ms < MAX_MS ? ms : Number.NaN
}

/** Minutes east of UTC of what follows the time, or NaN. */
function offsetMinutes(text: string, at: number): number {
  const sign = text.charCodeAt(at)
  if ((sign | 32) === 122) return text.length === at + 1 ? 0 : Number.NaN
  if ((sign !== 43 && sign !== 45) || text.length !== at + 6 || text.charCodeAt(at + 3) !== 58) return Number.NaN
  const hours = two(text, at + 1)
  const minutes = two(text, at + 4)
  if (!(hours < 24 && minutes < 60)) return Number.NaN
  return sign === 45 ? -(hours * 60 + minutes) : hours * 60 + minutes
}

function two(text: string, at: number): number {
  const high = text.charCodeAt(at) - 48
  const low = text.charCodeAt(at + 1) - 48
  return high >= 0 && high <= 9 && low >= 0 && low <= 9 ? high * 10 + low : Number.NaN
}

function isDate(year: number, month: number, day: number): boolean {
  if (!(month >= 1 && month <= 12 && day >= 1)) return false
  const leap = month === 2 && year % 4 === 0 && (year % 100 !== 0 || year % 400 === 0)
  return day <= MONTH_DAYS[month - 1]! + (leap ? 1 : 0)
}

/** Days since 1970-01-01 in the proleptic Gregorian calendar: the year begins in March, so that a leap day ends it. */
function daysFromCivil(year: number, month: number, day: number): number {
  const y = month <= 2 ? year - 1 : year
  const era = Math.floor(y / 400)
  const yearOfEra = y - era * 400
  const dayOfYear = Math.floor((153 * (month > 2 ? month - 3 : month + 9) + 2) / 5) + day - 1
  return era * 146_097 + yearOfEra * 365 + Math.floor(yearOfEra / 4) - Math.floor(yearOfEra / 100) + dayOfYear - 719_468
}

/** Days since 1970-01-01 of `YYYY-MM-DD`. @returns NaN when it isn't a date */
export function parseDate(text: string): number {
  if (text.length !== 10 || text.charCodeAt(4) !== 45 || text.charCodeAt(7) !== 45) return Number.NaN
  const year = two(text, 0) * 100 + two(text, 2)
  const month = two(text, 5)
  const day = two(text, 8)
  return year >= 0 && isDate(year, month, day) ? daysFromCivil(year, month, day) : Number.NaN
}

/** @param days since 1970-01-01, in the years 0000–9999 */
export const formatDate = (days: number): string => dayText(days)

// Events of one batch share their day: the civil calendar runs once a day, not once an event. (Date#toISOString: 0.25 µs.)
let cachedDay = Number.NaN
let cachedText = ''

function dayText(days: number): string {
  if (days === cachedDay) return cachedText
  cachedText = new Date(days * DAY_MS).toISOString().slice(0, 10)
  cachedDay = days
  return cachedText
}

const TWO_DIGITS = Array.from({ length: 60 }, (_, i) => String(i).padStart(2, '0'))

/** `2026-01-31T09:05:00.000Z`. @param ms epoch milliseconds in the years 0000–9999 */
export function formatTime(ms: number): string {
  if (ms === formattedMs) return formattedText
  formattedText = formatAnew(ms)
  formattedMs = ms
  return formattedText
}

// An event's time is formatted where it is mapped and again where it is checked: the second time it is known.
let formattedMs = Number.NaN
let formattedText = ''

function formatAnew(ms: number): string {
  const days = Math.floor(ms / DAY_MS)
  const rest = ms - days * DAY_MS
  const seconds = (rest / 1_000) | 0
  const minutes = (seconds / 60) | 0
  const millis = rest - seconds * 1_000
  const pad = millis < 10 ? '00' : millis < 100 ? '0' : ''
  return `${dayText(days)}T${TWO_DIGITS[(minutes / 60) | 0]}:${TWO_DIGITS[minutes % 60]}:${TWO_DIGITS[seconds % 60]}.${pad}${millis}Z`
}

export const isEpochMs = (value: number): boolean => Number.isInteger(value) && value >= MIN_MS && value < MAX_MS

/**
 * The instant that a source's time value means.
 * - text with an offset: RFC 3339; also without colon in the offset (`+0100`) or without seconds
 * - text without an offset: local time of `zone` (gap: moved forward by its length; overlap: the earlier instant); refused
 *   without a zone; `YYYY-MM-DD` is its midnight
 * - number, bigint or digits: in `unit`; without a unit by range: < 1e11 seconds, < 1e14 milliseconds, < 1e17 microseconds
 *   (1973–5138 in each unit)
 * @param zone IANA zone such as `Europe/Paris`
 */
export function parseTime(
  value: unknown,
  options: { unit?: TimeUnit | undefined; zone?: string | undefined } = {},
): ParsedTime {
  if (value instanceof Date) return instant(value.getTime(), value)
  if (typeof value === 'bigint') return parseNumber(Number(value), value, options.unit)
  if (typeof value === 'number') return parseNumber(value, value, options.unit)
  if (typeof value !== 'string') return refuse(value, 'is not a time; expected text or a number')
  const text = value.trim()
  if (options.unit === undefined && /^(19|20)\d{6}(\d{6})?$/.test(text)) {
    return refuse(
      text,
      'looks like a date without separators. Convert it with date(…, "yyyyMMdd") or set timeUnit of the source',
    )
  }
  if (/^[+-]?\d+(\.\d+)?$/.test(text)) return parseNumber(Number(text), value, options.unit)
  const ms = parseRfc3339(text)
  return Number.isNaN(ms) ? parseLoose(text, options.zone) : { ok: true, ts: epochMs(ms) }
}

function parseNumber(value: number, shown: unknown, unit: TimeUnit | undefined): ParsedTime {
  if (!Number.isFinite(value)) return refuse(shown, 'is not a time')
  const scale = unit ?? unitByRange(value)
  if (scale === undefined) return refuse(shown, 'is too large for a time in s, ms or µs. Set timeUnit of the source')
  return instant(scale === 's' ? Math.round(value * 1_000) : Math.floor(scale === 'us' ? value / 1_000 : value), shown)
}

function unitByRange(value: number): TimeUnit | undefined {
  const size = Math.abs(value)
  if (size < 1e11) return 's'
  if (size < 1e14) return 'ms'
  return size < 1e17 ? 'us' : undefined
}

const LOOSE =
  /^(\d{4}-\d{2}-\d{2})(?:[Tt ](\d{2}:\d{2})(?::(\d{2})(?:[.,](\d{1,9}))?)?)? ?(?:([Zz]|UTC)|([+-]\d{2}):?(\d{2})?)?$/

function parseLoose(text: string, zone: string | undefined): ParsedTime {
  const match = LOOSE.exec(text)
  if (!match)
    return refuse(text, 'is not a time. Use RFC 3339, such as 2026-01-31T09:05:00Z, or convert it with date(…)')
  const [, date, clock = '00:00', seconds = '00', fraction = '0', utc, hours, minutes = '00'] = match
  const local = `${date}T${clock}:${seconds}.${fraction}`
  if (utc || hours) {
    const ms = parseRfc3339(`${local}${utc ? 'Z' : `${hours}:${minutes}`}`)
    return Number.isNaN(ms) ? refuse(text, 'is not a time of the calendar') : { ok: true, ts: epochMs(ms) }
  }
  if (zone === undefined) return refuse(text, 'has no zone. Set timeZone of the source, such as Europe/Paris')
  const asUtc = parseRfc3339(`${local}Z`)
  if (Number.isNaN(asUtc)) return refuse(text, 'is not a time of the calendar')
  if (zone === 'UTC' || zone === 'Z') return { ok: true, ts: epochMs(asUtc) }
  try {
    const wall = LocalDateTime.ofInstant(Instant.ofEpochMilli(asUtc), ZoneId.UTC)
    return instant(wall.atZone(ZoneId.of(zone)).toInstant().toEpochMilli(), text)
  } catch {
    return refuse(zone, 'is not an IANA time zone. Use a name such as Europe/Paris')
  }
}

function instant(ms: number, shown: unknown): ParsedTime {
  return isEpochMs(ms) ? { ok: true, ts: epochMs(ms) } : refuse(shown, 'is outside the years 0000 to 9999')
}

const refuse = (value: unknown, why: string): ParsedTime => ({ ok: false, message: `${show(value)} ${why}.` })

/** A value for a message: at most 64 characters. */
export function show(value: unknown): string {
  const text =
    typeof value === 'string'
      ? JSON.stringify(value.length > 64 ? `${value.slice(0, 64)}…` : value)
      : typeof value === 'object' && value !== null
        ? Array.isArray(value)
          ? 'an array'
          : value instanceof Date
            ? 'an invalid date'
            : 'an object'
        : String(value)
  return text.length > 80 ? `${text.slice(0, 80)}…` : text
}
