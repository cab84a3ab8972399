import { DateValue } from '../dates/date-value.ts'
import { refuse } from '../errors.ts'
import { MAX_TEXT_LENGTH, MAX_VALUE_DEPTH } from '../limits.ts'
import { isMap, normalizeInteger, scalarText, show, typeName } from '../values.ts'
import { spend } from '../work.ts'
import { onlyText, toText } from './arguments.ts'
import type { FunctionSpec } from './spec.ts'

const DECIMAL = /^[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d{1,3})?$/
const MAX_DIGITS = 400

/** A number, or a text that is one and nothing else. Blanks around it are allowed, grouping and decimal commas are not. */
function toNumber(value: unknown): number {
  if (typeof value === 'number') return value
  if (typeof value === 'bigint') return Number(value)
  const text = onlyText(value, 'value').trim()
  if (text.length <= MAX_DIGITS && DECIMAL.test(text)) {
    const number = Number(text)
    if (Number.isFinite(number)) return number
  }
  const hint = /^[+-]?\d[\d.]*,\d+$/.test(text) ? ' Replace the decimal comma first: replacestr(x, ",", ".").' : ''
  refuse('argument', `${show(value)} is not a number.${hint}`)
}

/** Whole numbers exactly; beyond 2^53 they leave as bigint. A fraction stays, as in the page's example. */
function toBigint(value: unknown): number | bigint {
  if (typeof value === 'bigint') return normalizeInteger(value)
  if (typeof value === 'string') {
    const text = value.trim()
    if (text.length <= MAX_DIGITS && /^[+-]?\d+$/.test(text)) return normalizeInteger(BigInt(text.replace('+', '')))
  }
  return toNumber(value)
}

function toInteger(value: unknown): number | bigint {
  const number = toBigint(value)
  if (typeof number === 'bigint' || Number.isInteger(number)) return number
  refuse('argument', `${show(value)} has a fraction. Use int(to_decimal(…)) to cut it off.`)
}

/** The shortest decimal that is the same 32-bit float: 12.3456 rather than 12.345600128173828. */
function toFloat(value: unknown): number {
  const single = Math.fround(toNumber(value))
  if (!Number.isFinite(single)) refuse('argument', `${show(value)} is beyond a 32-bit float. Use to_decimal(…).`)
  for (let digits = 6; digits < 9; digits++) {
    const short = Number(single.toPrecision(digits))
    if (Math.fround(short) === single) return short
  }
  return Number(single.toPrecision(9))
}

/** CEL's int(): cuts a fraction off; a date gives seconds since 1970. */
function int(value: unknown): number | bigint {
  if (value instanceof DateValue) return Math.floor(value.epochMs / 1_000)
  const number = toBigint(value)
  if (typeof number === 'bigint') return number
  return Math.trunc(number) + 0 // + 0 turns −0 into 0
}

function uint(value: unknown): number | bigint {
  const number = int(value)
  return number >= 0 ? number : refuse('argument', `${show(value)} is negative.`)
}

function bool(value: unknown): boolean {
  if (typeof value === 'boolean') return value
  const text = typeof value === 'string' ? value.toLowerCase() : ''
  if (['true', 't', '1', 'y', 'yes', 'on'].includes(text)) return true
  if (['false', 'f', '0', 'n', 'no', 'off'].includes(text)) return false
  refuse('argument', `${show(value)} is neither true nor false. Known: true, yes, y, on, 1 and false, no, n, off, 0.`)
}

function string(value: unknown): string {
  return scalarText(value) ?? refuse('argument', `${typeName(value)} has no text. Pick a field, or use join(…).`)
}

const MS_OF_UNIT: Readonly<Record<string, number>> = { h: 3_600_000, m: 60_000, s: 1_000, ms: 1, us: 1e-3, ns: 1e-6 }

/** CEL's duration texts (`1h30m`, `1.5s`, `-10ms`) and days (`7d`), as milliseconds. */
function duration(value: unknown): number {
  const text = onlyText(value, 'duration')
  if (text.length > 64 || !/^-?(?:\d+(?:\.\d+)?(?:d|h|ms|m|s|us|ns))+$/.test(text))
    refuse('argument', `${show(value)} is no duration. Use 90s, 30m, 1h30m or 7d.`)
  let total = 0
  for (const [, amount, unit] of text.matchAll(/(\d+(?:\.\d+)?)(d|h|ms|m|s|us|ns)/g))
    total += Number(amount) * (MS_OF_UNIT[unit!] ?? 86_400_000)
  return text.startsWith('-') ? -total : total
}

/** Numbers of 16 and more digits stay as text, so that ids of 64 bits keep their last digits. */
function keepLargeIntegers(_key: string, value: unknown, context?: { source?: string }): unknown {
  const { source } = context ?? {}
  return typeof value === 'number' && source !== undefined && /^-?\d+$/.test(source) && !Number.isSafeInteger(value)
    ? source
    : value
}

function jsonToObject(value: unknown): unknown {
  if (isMap(value) || Array.isArray(value)) return value
  const text = toText(value, 'JSON text')
  if (text.length > MAX_TEXT_LENGTH)
    refuse('limit', `The JSON text has ${text.length} characters; ${MAX_TEXT_LENGTH} are allowed.`)
  spend(text.length / 16)
  if (nesting(text) > MAX_VALUE_DEPTH) refuse('limit', `The JSON nests more than ${MAX_VALUE_DEPTH} levels.`)
  try {
    return /\d{16}/.test(text) ? JSON.parse(text, keepLargeIntegers) : JSON.parse(text)
  } catch (error) {
    refuse('argument', `The text is not JSON: ${(error as Error).message.slice(0, 120)}.`)
  }
}

/** Deepest nesting of brackets outside of strings. */
function nesting(text: string): number {
  let depth = 0
  let deepest = 0
  let inString = false
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at)
    if (inString) {
      if (code === 92) at++
      else if (code === 34) inString = false
    } else if (code === 34) inString = true
    else if (code === 123 || code === 91) deepest = Math.max(deepest, ++depth)
    else if (code === 125 || code === 93) depth--
  }
  return deepest
}

export const conversionFunctions: readonly FunctionSpec[] = [
  {
    name: 'to_bigint',
    group: 'Conversion',
    signature: 'to_bigint(text)',
    about: 'A whole number of any size; a text with a fraction keeps it.',
    example: 'to_bigint("1000000.34")',
    result: 1000000.34,
    arity: [1, 1],
    bind: () => toBigint,
  },
  {
    name: 'to_decimal',
    group: 'Conversion',
    signature: 'to_decimal(text)',
    about: 'A number (64-bit).',
    example: 'to_decimal("20.5")',
    result: 20.5,
    arity: [1, 1],
    bind: () => toNumber,
  },
  {
    name: 'to_float',
    group: 'Conversion',
    signature: 'to_float(text)',
    about: 'A number rounded to 32 bits.',
    example: 'to_float("12.3456")',
    result: 12.3456,
    arity: [1, 1],
    bind: () => toFloat,
  },
  {
    name: 'to_integer',
    group: 'Conversion',
    signature: 'to_integer(text)',
    about: 'A whole number; "2.0" is 2, a real fraction is refused.',
    example: 'to_integer("12")',
    result: 12,
    arity: [1, 1],
    bind: () => toInteger,
  },
  {
    name: 'json_to_object',
    group: 'JSON',
    signature: 'json_to_object(text)',
    about: 'The value that a JSON text holds; integers beyond 2^53 stay text.',
    example: `json_to_object('{"info":{"firstName":"John","lastName": "Doe"}}')`,
    result: { info: { firstName: 'John', lastName: 'Doe' } },
    arity: [1, 1],
    bind: () => jsonToObject,
  },
  {
    name: 'string',
    group: 'CEL',
    signature: 'string(value)',
    about: 'The text of a number, boolean, date or bytes.',
    example: 'string(12.5)',
    result: '12.5',
    arity: [1, 1],
    bind: () => string,
  },
  {
    name: 'int',
    group: 'CEL',
    signature: 'int(value)',
    about: 'A whole number, the fraction cut off; of a date the seconds since 1970.',
    example: 'int(-2.7)',
    result: -2,
    arity: [1, 1],
    bind: () => int,
  },
  {
    name: 'uint',
    group: 'CEL',
    signature: 'uint(value)',
    about: 'A whole number that is not negative.',
    example: 'uint("7")',
    result: 7,
    arity: [1, 1],
    bind: () => uint,
  },
  {
    name: 'double',
    group: 'CEL',
    signature: 'double(value)',
    about: 'A number.',
    example: 'double("3.14")',
    result: 3.14,
    arity: [1, 1],
    bind: () => toNumber,
  },
  {
    name: 'bool',
    group: 'CEL',
    signature: 'bool(value)',
    about: 'true or false from true/yes/y/on/1 or false/no/n/off/0, in any letter case.',
    example: 'bool("YES")',
    result: true,
    arity: [1, 1],
    bind: () => bool,
  },
  {
    name: 'bytes',
    group: 'CEL',
    signature: 'bytes(text)',
    about: 'The UTF-8 bytes of a text.',
    example: 'size(bytes("é"))',
    result: 2,
    arity: [1, 1],
    bind: () => (value) => (value instanceof Uint8Array ? value : Buffer.from(onlyText(value, 'text'), 'utf8')),
  },
  {
    name: 'dyn',
    group: 'CEL',
    signature: 'dyn(value)',
    about: 'The value as it is.',
    example: 'dyn(1)',
    result: 1,
    arity: [1, 1],
    seesNull: true,
    bind: () => (value) => value ?? null,
  },
  {
    name: 'duration',
    group: 'CEL',
    signature: 'duration(text)',
    about: 'Milliseconds of a duration, to add to a date or compare with the difference of two.',
    example: 'duration("1h30m")',
    result: 5_400_000,
    arity: [1, 1],
    bind: () => duration,
  },
]
