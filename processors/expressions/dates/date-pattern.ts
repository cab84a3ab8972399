import { refuse } from '../errors.ts'
import { MAX_PATTERN_LENGTH } from '../limits.ts'
import { type CivilTime, DateValue, daysInMonth, isoWeek, localMsOf, weeksInYear } from './date-value.ts'
import { findZone, offsetText, UTC, type Zone } from './zones.ts'

/**
 * Java date patterns, with the letters and meanings of the Data Prep page (its table mixes SimpleDateFormat and DateTimeFormatter).
 * js-joda's own formatter has no text fields (`MMM`, `EEE`, `a`) without a locale package of several megabytes, so patterns are
 * compiled here and js-joda keeps what is hard: the rules of time zones. Names are English.
 */
export interface DatePattern {
  /** @returns undefined when the text doesn't fit the pattern or names no real date */
  parse(text: string, local: Zone): DateValue | undefined
  format(date: DateValue): string
}

const MONTHS = [
  'January',
  'February',
  'March',
  'April',
  'May',
  'June',
  'July',
  'August',
  'September',
  'October',
  'November',
  'December',
]
const DAYS = ['Monday', 'Tuesday', 'Wednesday', 'Thursday', 'Friday', 'Saturday', 'Sunday']
const ORDINALS = ['1st', '2nd', '3rd', '4th']
const LETTERS = 'GYyMLwWDdFEuaHkKhmsSzZXxVOQq'

/** Parsed fields; NaN = not in the text. */
interface Parts {
  year: number
  weekYear: number
  month: number
  week: number
  dayOfYear: number
  day: number
  weekday: number
  quarter: number
  pm: number
  hour: number
  hour12: number
  minute: number
  second: number
  ms: number
  bce: boolean
  zone: Zone | undefined
}

type Token =
  | { readonly kind: 'literal'; readonly text: string }
  | { readonly kind: 'field'; readonly letter: string; readonly count: number; readonly adjacent: boolean }
  | { readonly kind: 'optional'; readonly tokens: readonly Token[] }

const MAX_CACHED_PATTERNS = 500
const cache = new Map<string, DatePattern>()

/** @throws ExpressionError `argument` when the pattern has an unknown letter or an unclosed quote */
export function datePattern(pattern: string): DatePattern {
  const known = cache.get(pattern)
  if (known !== undefined) return known
  const compiled = compilePattern(pattern)
  if (cache.size >= MAX_CACHED_PATTERNS) cache.clear()
  cache.set(pattern, compiled)
  return compiled
}

function compilePattern(pattern: string): DatePattern {
  if (pattern.length > MAX_PATTERN_LENGTH)
    refuse('limit', `A date pattern may have ${MAX_PATTERN_LENGTH} characters; this one has ${pattern.length}.`)
  const { tokens, end } = tokenize(pattern, 0, 0)
  if (end !== pattern.length) refuse('argument', `Date pattern ${JSON.stringify(pattern)}: "]" without "[".`)
  return {
    parse(text, local) {
      const parts = emptyParts()
      return parseTokens(tokens, text, 0, parts) === text.length ? resolve(parts, local) : undefined
    },
    format: (date) => formatTokens(tokens, date, date.civil()),
  }
}

function tokenize(pattern: string, start: number, depth: number): { tokens: Token[]; end: number } {
  const tokens: Token[] = []
  const literal = (text: string) => {
    const last = tokens.at(-1)
    if (last?.kind === 'literal') tokens[tokens.length - 1] = { kind: 'literal', text: last.text + text }
    else tokens.push({ kind: 'literal', text })
  }
  let at = start
  while (at < pattern.length) {
    const letter = pattern[at]!
    if (letter === "'") {
      const quoted = readQuoted(pattern, at)
      literal(quoted.text)
      at = quoted.end
    } else if (letter === '[') {
      if (depth === 8) refuse('argument', `Date pattern ${JSON.stringify(pattern)}: "[" nests too deep.`)
      const inner = tokenize(pattern, at + 1, depth + 1)
      if (pattern[inner.end] !== ']') refuse('argument', `Date pattern ${JSON.stringify(pattern)}: "[" without "]".`)
      tokens.push({ kind: 'optional', tokens: inner.tokens })
      at = inner.end + 1
    } else if (letter === ']') {
      break
    } else if (/[A-Za-z]/.test(letter)) {
      let end = at
      while (pattern[end] === letter) end++
      checkLetter(pattern, letter)
      tokens.push({ kind: 'field', letter, count: end - at, adjacent: isExact(tokens.at(-1), pattern, at, end) })
      at = end
    } else {
      literal(letter)
      at++
    }
  }
  return { tokens, end: at }
}

function readQuoted(pattern: string, at: number): { text: string; end: number } {
  if (pattern[at + 1] === "'") return { text: "'", end: at + 2 }
  let text = ''
  for (let i = at + 1; i < pattern.length; i++) {
    if (pattern[i] !== "'") text += pattern[i]
    else if (pattern[i + 1] === "'") text += pattern[++i]
    else return { text, end: i + 1 }
  }
  refuse('argument', `Date pattern ${JSON.stringify(pattern)}: a quote isn't closed.`)
}

function checkLetter(pattern: string, letter: string): void {
  if (LETTERS.includes(letter)) return
  refuse(
    'argument',
    `Date pattern ${JSON.stringify(pattern)}: "${letter}" is no pattern letter. Put text in single quotes; letters are ${LETTERS}.`,
  )
}

/** Numbers without anything between take exactly their count of digits (`yyyyMMdd`); only a last single letter may vary (`yyyyM`). */
function isExact(before: Token | undefined, pattern: string, start: number, end: number): boolean {
  if (!isNumericAt(pattern, start)) return false
  if (isNumericAt(pattern, end)) return true
  return end - start > 1 && before?.kind === 'field' && isNumericAt(before.letter.repeat(before.count), 0)
}

function isNumericAt(pattern: string, at: number): boolean {
  const letter = pattern[at]
  if (letter === undefined || !'YywWDdFuHkKhmsSMLQq'.includes(letter)) return false
  return !('MLQq'.includes(letter) && pattern.startsWith(letter.repeat(3), at))
}

function emptyParts(): Parts {
  const none = Number.NaN
  return {
    year: none,
    weekYear: none,
    month: none,
    week: none,
    dayOfYear: none,
    day: none,
    weekday: none,
    quarter: none,
    pm: none,
    hour: none,
    hour12: none,
    minute: none,
    second: none,
    ms: none,
    bce: false,
    zone: undefined,
  }
}

/** @returns the position after the match, or −1 */
function parseTokens(tokens: readonly Token[], text: string, start: number, parts: Parts): number {
  let at = start
  for (const token of tokens) {
    if (token.kind === 'literal') {
      if (!text.startsWith(token.text, at)) return -1
      at += token.text.length
    } else if (token.kind === 'optional') {
      const attempt = { ...parts }
      const end = parseTokens(token.tokens, text, at, attempt)
      if (end === -1) continue
      Object.assign(parts, attempt)
      at = end
    } else {
      at = parseField(token, text, at, parts)
      if (at === -1) return -1
    }
  }
  return at
}

/** Digits that a numeric field may take, by letter; a year is exact so that `12-05-19` isn't read as the year 12. */
const MAX_DIGITS: Readonly<Record<string, number>> = {
  Y: 4,
  y: 4,
  M: 2,
  L: 2,
  w: 2,
  W: 1,
  D: 3,
  d: 2,
  F: 1,
  u: 1,
  H: 2,
  k: 2,
  K: 2,
  h: 2,
  m: 2,
  s: 2,
  S: 9,
  Q: 2,
  q: 2,
}

function parseField(field: Token & { kind: 'field' }, text: string, at: number, parts: Parts): number {
  const { letter, count } = field
  switch (letter) {
    case 'G':
      return parseName(text, at, ['BC', 'AD', 'Before Christ', 'Anno Domini', 'B', 'A'], (index) => {
        parts.bce = index % 2 === 0
      })
    case 'a':
      return parseName(text, at, ['AM', 'PM'], (index) => {
        parts.pm = index
      })
    case 'E':
      return parseName(text, at, [...DAYS, ...DAYS.map((name) => name.slice(0, 3))], (index) => {
        parts.weekday = (index % 7) + 1
      })
    case 'z':
    case 'V':
    case 'O':
    case 'Z':
    case 'X':
    case 'x':
      return parseZone(letter, text, at, parts)
    case 'M':
    case 'L':
      if (count < 3) break
      return parseName(text, at, [...MONTHS, ...MONTHS.map((name) => name.slice(0, 3))], (index) => {
        parts.month = (index % 12) + 1
      })
    case 'Q':
    case 'q':
      if (count < 3) break
      return parseName(
        text,
        at,
        ['1st quarter', '2nd quarter', '3rd quarter', '4th quarter', 'Q1', 'Q2', 'Q3', 'Q4'],
        (index) => {
          parts.quarter = (index % 4) + 1
        },
      )
  }
  return parseNumber(field, text, at, parts)
}

function parseName(text: string, at: number, names: readonly string[], set: (index: number) => void): number {
  for (const [index, name] of names.entries()) {
    if (text.slice(at, at + name.length).toLowerCase() !== name.toLowerCase()) continue
    set(index)
    return at + name.length
  }
  return -1
}

function parseZone(letter: string, text: string, at: number, parts: Parts): number {
  const pattern =
    letter === 'z' || letter === 'V' || letter === 'O'
      ? /[A-Za-z0-9_+:/-]+(?: (?:[A-Z][a-z]+ )*Time)?/y
      : /[Zz]|(?:GMT|UTC)?[+-]\d{1,2}(?::?\d{2})?(?::?\d{2})?/y
  pattern.lastIndex = at
  const match = pattern.exec(text)
  if (match === null) return -1
  const zone = findZone(match[0])
  if (zone === undefined) return -1
  parts.zone = zone
  return at + match[0].length
}

function parseNumber(field: Token & { kind: 'field' }, text: string, at: number, parts: Parts): number {
  const { letter, count, adjacent } = field
  const isYear = letter === 'y' || letter === 'Y' || (letter === 'u' && count > 3)
  const width = isYear && count !== 1 ? (count === 2 ? 2 : 4) : 0
  const most = width || (adjacent ? count : letter === 'u' && count > 3 ? 4 : (MAX_DIGITS[letter] ?? 2))
  let end = at
  while (end - at < most && text.charCodeAt(end) >= 48 && text.charCodeAt(end) <= 57) end++
  if (end === at || (width > 0 && end - at !== width) || (adjacent && end - at !== most)) return -1
  const digits = text.slice(at, end)
  const value = letter === 'S' ? Math.floor(Number(`0.${digits}`) * 1_000 + 1e-6) : Number(digits)
  setNumber(letter, isYear && count === 2 ? 2_000 + value : value, isYear, parts)
  return end
}

function setNumber(letter: string, value: number, isYear: boolean, parts: Parts): void {
  switch (letter) {
    case 'y':
      parts.year = value
      break
    case 'Y':
      parts.weekYear = value
      break
    case 'M':
    case 'L':
      parts.month = value
      break
    case 'w':
      parts.week = value
      break
    case 'D':
      parts.dayOfYear = value
      break
    case 'd':
      parts.day = value
      break
    case 'u':
      if (isYear) parts.year = value
      else parts.weekday = value
      break
    case 'H':
      parts.hour = value
      break
    case 'k':
      parts.hour = value === 24 ? 0 : value
      break
    case 'K':
      parts.hour12 = value
      break
    case 'h':
      parts.hour12 = value === 12 ? 0 : value > 12 ? 99 : value
      break
    case 'm':
      parts.minute = value
      break
    case 's':
      parts.second = value
      break
    case 'S':
      parts.ms = value
      break
    case 'Q':
    case 'q':
      parts.quarter = value
      break
    // W and F say nothing that the day doesn't say better: read, then left aside.
  }
}

const or = (value: number, fallback: number): number => (Number.isNaN(value) ? fallback : value)
const within = (value: number, low: number, high: number): boolean => value >= low && value <= high

function resolve(parts: Parts, local: Zone): DateValue | undefined {
  const day = resolveDay(parts)
  const hour = Number.isNaN(parts.hour) ? or(parts.hour12, 0) + (parts.pm === 1 ? 12 : 0) : parts.hour
  const minute = or(parts.minute, 0)
  const second = or(parts.second, 0)
  if (day === undefined || !within(hour, 0, 23) || !within(minute, 0, 59) || !within(second, 0, 59)) return undefined
  const zone = parts.zone ?? local
  return new DateValue(zone.epochMs(day + hour * 3_600_000 + minute * 60_000 + second * 1_000 + or(parts.ms, 0)), zone)
}

/** Midnight of the day, as if in UTC. */
function resolveDay(parts: Parts): number | undefined {
  const weekday = or(parts.weekday, 1)
  if (Number.isNaN(parts.year) && !Number.isNaN(parts.weekYear)) {
    const week = or(parts.week, 1)
    if (!within(parts.weekYear, 1, 9_999) || !within(week, 1, weeksInYear(parts.weekYear)) || !within(weekday, 1, 7))
      return undefined
    return weekStart(parts.weekYear) + ((week - 1) * 7 + weekday - 1) * 86_400_000
  }
  if (!within(parts.year, 1, 9_999) || parts.bce) return undefined
  if (!Number.isNaN(parts.dayOfYear)) {
    const days = daysInMonth(parts.year, 2) === 29 ? 366 : 365
    return within(parts.dayOfYear, 1, days)
      ? localMsOf(parts.year, 1, 1) + (parts.dayOfYear - 1) * 86_400_000
      : undefined
  }
  const quarterStart = within(parts.quarter, 1, 4) ? parts.quarter * 3 - 2 : 1
  const month = or(parts.month, quarterStart)
  const day = or(parts.day, 1)
  if (!within(month, 1, 12) || !within(day, 1, daysInMonth(parts.year, month))) return undefined
  return localMsOf(parts.year, month, day)
}

/** Monday of ISO week 1. */
function weekStart(year: number): number {
  const fourth = localMsOf(year, 1, 4)
  const weekday = new Date(fourth).getUTCDay() || 7
  return fourth - (weekday - 1) * 86_400_000
}

function formatTokens(tokens: readonly Token[], date: DateValue, time: CivilTime): string {
  let text = ''
  for (const token of tokens) {
    if (token.kind === 'literal') text += token.text
    else if (token.kind === 'optional') text += formatTokens(token.tokens, date, time)
    else text += formatField(token.letter, token.count, date, time)
  }
  return text
}

const pad = (value: number, count: number): string => String(value).padStart(count, '0')
const year = (value: number, count: number): string => (count === 2 ? pad(value % 100, 2) : pad(value, count))

function named(names: readonly string[], index: number, count: number): string {
  const name = names[index]!
  return count === 5 ? name.slice(0, 1) : count === 4 ? name : name.slice(0, 3)
}

function formatField(letter: string, count: number, date: DateValue, time: CivilTime): string {
  switch (letter) {
    case 'G':
      return count === 5 ? 'A' : count === 4 ? 'Anno Domini' : 'AD'
    case 'Y':
      return year(isoWeek(time).year, count)
    case 'y':
      return year(time.year, count)
    case 'M':
    case 'L':
      return count >= 3 ? named(MONTHS, time.month - 1, count) : pad(time.month, count)
    case 'w':
      return pad(isoWeek(time).week, count)
    case 'W':
      return pad(weekOfMonth(time), count)
    case 'D':
      return pad(time.dayOfYear, count)
    case 'd':
      return pad(time.day, count)
    case 'F':
      return pad(Math.floor((time.day - 1) / 7) + 1, count)
    case 'E':
      return named(DAYS, time.weekday - 1, count)
    case 'u':
      return count > 3 ? year(time.year, count) : pad(time.weekday, count)
    case 'a':
      return time.hour < 12 ? 'AM' : 'PM'
    case 'H':
      return pad(time.hour, count)
    case 'k':
      return pad(time.hour || 24, count)
    case 'K':
      return pad(time.hour % 12, count)
    case 'h':
      return pad(time.hour % 12 || 12, count)
    case 'm':
      return pad(time.minute, count)
    case 's':
      return pad(time.second, count)
    case 'S':
      return pad(time.ms, 3).padEnd(count, '0').slice(0, count)
    case 'Q':
    case 'q':
      return formatQuarter(Math.ceil(time.month / 3), count)
    default:
      return formatZone(letter, count, date)
  }
}

/** Week of the month with ISO's Monday start: the days before the first Monday are week 1 when there are at least four, else week 0. */
function weekOfMonth(time: CivilTime): number {
  return Math.floor((time.day - time.weekday + 10) / 7)
}

function formatQuarter(quarter: number, count: number): string {
  if (count < 3) return pad(quarter, count)
  return count === 3 ? `Q${quarter}` : count === 4 ? `${ORDINALS[quarter - 1]} quarter` : String(quarter)
}

function formatZone(letter: string, count: number, date: DateValue): string {
  const seconds = date.offsetSeconds
  switch (letter) {
    case 'V':
      return date.zone.id
    case 'z':
      return zoneName(date, count)
    case 'Z':
      return count === 4 ? gmtOffset(seconds, true) : offsetText(seconds, count === 5 ? ':' : '')
    case 'O':
      return gmtOffset(seconds, count === 4)
    default:
      if (letter === 'X' && seconds === 0) return 'Z'
      if (count === 1 && seconds % 3_600 === 0) return offsetText(seconds, '').slice(0, 3)
      return offsetText(seconds, count === 3 || count === 5 ? ':' : '')
  }
}

function gmtOffset(seconds: number, full: boolean): string {
  if (seconds === 0) return 'GMT'
  const text = offsetText(seconds, ':')
  return `GMT${full ? text : text.replace(/^([+-])0/, '$1').replace(':00', '')}`
}

function zoneName(date: DateValue, count: number): string {
  if (date.zone === UTC) return count >= 4 ? 'Coordinated Universal Time' : 'UTC'
  if (!date.zone.id.includes('/')) return gmtOffset(date.offsetSeconds, true)
  const format = new Intl.DateTimeFormat('en-US', {
    timeZone: date.zone.id,
    timeZoneName: count >= 4 ? 'long' : 'short',
  })
  return format.formatToParts(date.epochMs).find((part) => part.type === 'timeZoneName')?.value ?? date.zone.id
}
