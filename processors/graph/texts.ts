/** Text functions of expressions, as Python's `str` has them. */

/** What Python calls white space: not quite what JavaScript's `trim` takes off. */
const SPACE = '\\t\\n\\v\\f\\r\\x1c-\\x20\\x85\\xa0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000'
const EDGES = new RegExp(`^[${SPACE}]+|[${SPACE}]+$`, 'g')

export const strip = (text: string): string => text.replace(EDGES, '')

/** Characters as Python counts them: code points, not UTF-16 units. */
export function codePoints(text: string): number {
  let count = text.length
  for (let at = 0; at < text.length - 1; at++) {
    if ((text.charCodeAt(at) & 0xfc00) === 0xd800 && (text.charCodeAt(at + 1) & 0xfc00) === 0xdc00) {
      count--
      at++
    }
  }
  return count
}

/** Order by code point: units of surrogate pairs sort after every other character. */
export function compareTexts(a: string, b: string): number {
  const length = Math.min(a.length, b.length)
  for (let at = 0; at < length; at++) {
    const [left, right] = [a.charCodeAt(at), b.charCodeAt(at)]
    if (left !== right) return rank(left) - rank(right)
  }
  return a.length - b.length
}

const rank = (unit: number): number => (unit >= 0xd800 && unit <= 0xdfff ? unit + 0x10000 : unit)

/** JSON's number grammar after blanks are taken off, with `+1`, `.5` and `5.` besides; anything else is NaN. */
export function numberOf(text: string): number {
  const plain = strip(text)
  return /^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$/.test(plain) ? Number(plain) : Number.NaN
}

/** Digits with a sign, within ±2^53; anything else is NaN. */
export function integerOf(text: string): number {
  const plain = strip(text)
  if (!/^[+-]?\d+$/.test(plain)) return Number.NaN
  const value = Number(plain)
  return Math.abs(value) <= 2 ** 53 ? value + 0 : Number.NaN
}

const TIME =
  /^(\d{4})-(\d{2})-(\d{2})(?:[Tt ](\d{2}):(\d{2})(?::(\d{2})(?:\.(\d{1,9}))?)?\s?([Zz]|[+-]\d{2}:?\d{2})?)?$/

/**
 * Milliseconds since 1970 of RFC 3339, of a date, or of a date and a time with a blank between; without a zone UTC.
 * A fraction of a millisecond is cut. NaN for anything else, also for the 30th of February.
 */
export function epochMs(text: string): number {
  const match = TIME.exec(strip(text))
  if (!match) return Number.NaN
  const [, year, month, day, hour = '0', minute = '0', second = '0', fraction = '0', zone = 'Z'] = match
  const parts = [year, month, day, hour, minute, second].map(Number) as [number, number, number, number, number, number]
  const [, , , hours, minutes, seconds] = parts
  if (hours > 23 || minutes > 59 || seconds > 59) return Number.NaN
  if (parts[0] === 0) return Number.NaN
  const start = new Date(0)
  start.setUTCFullYear(parts[0], parts[1] - 1, parts[2])
  if (start.getUTCMonth() !== parts[1] - 1 || start.getUTCDate() !== parts[2]) return Number.NaN
  const millis = Number(fraction.padEnd(3, '0').slice(0, 3))
  return start.getTime() + ((hours * 60 + minutes) * 60 + seconds) * 1_000 + millis - offsetOf(zone)
}

function offsetOf(zone: string): number {
  if (zone === 'Z' || zone === 'z') return 0
  const minutes = Number(zone.slice(1, 3)) * 60 + Number(zone.slice(-2))
  return (zone.startsWith('-') ? -minutes : minutes) * 60_000
}
