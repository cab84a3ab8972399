import { datePattern } from './date-pattern.ts'
import { DateValue, daysInMonth, localMsOf } from './date-value.ts'
import { findZone, UTC, type Zone } from './zones.ts'

/** Longest text that is tried as a date. */
const MAX_DATE_LENGTH = 100

/** The formats that Data Prep tries when none is named, in its order [data-handling page, "Date function conversions"]. */
const KNOWN_FORMATS = [
  'yyyy-MM-dd HH:mm:ssZ',
  'yyyy-MM-dd HH:mm:ss.SSSZ',
  'yyyy-MM-dd HH:mm:ss.SSS',
  "yyyy-MM-dd'T'HH:mm:ss.SSSX",
  "yyyy-MM-dd'T'HH:mm:ss'Z'",
  'yyyy-MM-dd',
  'yyyy/MM/dd',
  'yyyy.MM.dd',
  'yyyy-MMM-dd',
  'yyyyMMdd',
  'MM-dd-yyyy',
  'MMddyyyy',
  'M/dd/yyyy',
  'dd.M.yyyy',
  'M/dd/yyyy hh:mm:ss a',
  'dd.M.yyyy hh:mm:ss a',
  'dd.MMM.yyyy',
  'dd-MMM-yyyy',
]

/**
 * Reads a date without a named format: RFC 3339 and ISO 8601 with any of their parts left out at the end (as the page's own examples
 * `2019-10-23 11:24` do), else Data Prep's list of formats.
 * @param local zone of a text that names none
 * @returns undefined when nothing fits
 */
export function readDate(text: string, local: Zone = UTC): DateValue | undefined {
  if (text.length < 6 || text.length > MAX_DATE_LENGTH) return undefined
  return readIso(text, local) ?? readKnownFormat(text.trim(), local)
}

function readKnownFormat(text: string, local: Zone): DateValue | undefined {
  for (const format of KNOWN_FORMATS) {
    const date = datePattern(format).parse(text, local)
    if (date !== undefined) return date
  }
  return undefined
}

function digit(text: string, at: number): number {
  const code = text.charCodeAt(at) - 48
  return code >= 0 && code <= 9 ? code : Number.NaN
}

const two = (text: string, at: number): number => digit(text, at) * 10 + digit(text, at + 1)

/**
 * `yyyy-MM-dd[(T| )HH:mm[:ss[.fraction]][zone]]` by hand: this runs once an event in most mappings (about 0.2 µs against some µs for a
 * pattern). A missing or wrong digit becomes NaN and fails a range check below.
 */
function readIso(text: string, local: Zone): DateValue | undefined {
  if (text.charCodeAt(4) !== 45 || text.charCodeAt(7) !== 45) return undefined
  const year = two(text, 0) * 100 + two(text, 2)
  const month = two(text, 5)
  const day = two(text, 8)
  if (!(year >= 1 && month >= 1 && month <= 12 && day >= 1 && day <= daysInMonth(year, month))) return undefined
  if (text.length === 10) return new DateValue(local.epochMs(localMsOf(year, month, day)), local)

  const separator = text.charCodeAt(10)
  if (separator !== 84 && separator !== 32 && separator !== 116) return undefined
  const hour = two(text, 11)
  const minute = two(text, 14)
  if (!(hour <= 23 && minute <= 59) || text.charCodeAt(13) !== 58) return undefined
  let at = 16
  let second = 0
  let ms = 0
  if (text.charCodeAt(16) === 58) {
    second = two(text, 17)
    if (!(second <= 59)) return undefined
    at = 19
    const point = text.charCodeAt(19)
    if (point === 46 || point === 44) {
      let scale = 100
      at = 20
      for (let value = digit(text, at); value >= 0; value = digit(text, ++at)) {
        ms += Math.floor(value * scale)
        scale /= 10
      }
      if (at === 20) return undefined
    }
  }
  const zone = zoneAt(text, at, local)
  if (zone === undefined) return undefined
  return new DateValue(zone.epochMs(localMsOf(year, month, day, hour, minute, second, ms)), zone)
}

/** The zone that the rest of the text names: nothing, `Z`, an offset, ` PST`, `+01:00[Europe/Paris]`. */
function zoneAt(text: string, at: number, local: Zone): Zone | undefined {
  if (at === text.length) return local
  if (at === text.length - 1 && (text.charCodeAt(at) | 32) === 122) return UTC
  const rest = text.slice(at).trim()
  if (rest === '') return local
  const bracket = rest.indexOf('[')
  if (bracket === -1) return findZone(rest)
  return rest.endsWith(']') ? findZone(rest.slice(bracket + 1, -1)) : undefined
}
