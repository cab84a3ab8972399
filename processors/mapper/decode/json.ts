/**
 * JSON as the log has it, decoded without losing anything: integers beyond 2^53 stay text (an id keeps its digits), and
 * sizes are bounded. Of a repeated key the last one wins, as in every common parser. A lone surrogate becomes U+FFFD.
 */

import { textOf } from './text.ts'
import { type Limits, type Parsed, quote, refuse } from './types.ts'

/** Integers of fewer digits than this always fit a double exactly. */
const UNSAFE_DIGITS = 16

const QUOTE = 0x22
const BACKSLASH = 0x5c

/** What one pass over the text found; decides which slower checks are needed at all. */
interface Scan {
  depth: number
  /** A number with 16 or more digits, or with an exponent: may not survive as a double. */
  hasWideNumber: boolean
  hasEscape: boolean
}

const scan: Scan = { depth: 0, hasWideNumber: false, hasEscape: false }

function scanText(text: string): Scan {
  let depth = 0
  let deepest = 0
  let digits = 0
  let hasWideNumber = false
  let hasEscape = false
  for (let i = 0; i < text.length; i++) {
    const c = text.charCodeAt(i)
    if (c === QUOTE) {
      digits = 0
      for (i++; i < text.length; i++) {
        const s = text.charCodeAt(i)
        if (s === QUOTE) break
        if (s === BACKSLASH) {
          hasEscape = true
          i++
        }
      }
    } else if (c >= 0x30 && c <= 0x39) {
      if (++digits >= UNSAFE_DIGITS) hasWideNumber = true
    } else if (digits !== 0 && (c === 0x65 || c === 0x45)) {
      hasWideNumber = true
    } else if (c === 0x2e) {
      // digits of a fraction may be rounded, as everywhere in JSON: only an integer's are an id
      digits = Number.MIN_SAFE_INTEGER
    } else {
      digits = 0
      if (c === 0x7b || c === 0x5b) {
        if (++depth > deepest) deepest = depth
      } else if (c === 0x7d || c === 0x5d) depth--
    }
  }
  scan.depth = deepest
  scan.hasWideNumber = hasWideNumber
  scan.hasEscape = hasEscape
  return scan
}

/** Decodes one JSON value. @returns the value, or a rejection DECODE or LIMIT */
export function parseJson(bytes: Buffer, limits: Limits): Parsed {
  const text = textOf(bytes)
  return text.ok ? parseJsonText(text.text, limits) : text
}

export function parseJsonText(text: string, limits: Limits): Parsed {
  const found = scanText(text)
  const { hasEscape } = found
  if (found.depth > limits.depth)
    return refuse('LIMIT', '', `nested ${found.depth} deep; limits.depth is ${limits.depth}`)
  let value: unknown
  try {
    value = found.hasWideNumber ? JSON.parse(text, keepDigits) : JSON.parse(text)
  } catch (error) {
    return refuse('DECODE', '', error instanceof NotFinite ? error.message : explain(text, error as Error))
  }
  const needsWalk = text.length > limits.stringLength || hasEscape || text.includes('"__proto__"')
  if (!needsWalk) return { ok: true, value }
  return clean(value, limits, '')
}

class NotFinite extends Error {}

/** Reviver: integers that a double can't hold stay text; a number that overflows is refused. */
function keepDigits(_key: string, value: unknown, context?: { source?: string }): unknown {
  if (typeof value !== 'number') return value
  if (!Number.isFinite(value)) throw new NotFinite(`the number ${quote(context?.source ?? '')} is out of range`)
  const source = context?.source
  if (source !== undefined && !Number.isSafeInteger(value) && /^-?\d+$/.test(source)) return source
  return value
}

/**
 * Takes out what plain parsing lets through: `__proto__` keys, lone surrogates, overlong texts. The depth was checked.
 * A value is changed in place: nobody else has it yet.
 */
function clean(value: unknown, limits: Limits, path: string): Parsed {
  if (typeof value === 'string') {
    if (value.length > limits.stringLength)
      return refuse(
        'LIMIT',
        path,
        `a text of ${value.length} characters; limits.stringLength is ${limits.stringLength}`,
      )
    return { ok: true, value: value.isWellFormed() ? value : value.toWellFormed() }
  }
  if (Array.isArray(value)) {
    for (let i = 0; i < value.length; i++) {
      const item: unknown = value[i]
      if (typeof item !== 'string' && typeof item !== 'object') continue
      const cleaned = clean(item, limits, `${path}[${i}]`)
      if (!cleaned.ok) return cleaned
      value[i] = cleaned.value
    }
  } else if (typeof value === 'object' && value !== null) {
    const object = value as Record<string, unknown>
    for (const key of Object.keys(object)) {
      if (key === '__proto__' || !key.isWellFormed()) {
        delete object[key]
        continue
      }
      const item = object[key]
      if (typeof item !== 'string' && typeof item !== 'object') continue
      const cleaned = clean(item, limits, path === '' ? key : `${path}.${key}`)
      if (!cleaned.ok) return cleaned
      object[key] = cleaned.value
    }
  }
  return { ok: true, value }
}

/** Why a text isn't JSON, without repeating the payload. */
function explain(text: string, error: Error): string {
  const trimmed = text.trim()
  if (trimmed === '') return 'the record is empty'
  const position = /position (\d+)/.exec(error.message)?.[1]
  const where = position ? ` at character ${position}` : ''
  if (/(^|[[:,\s])[-+]?(NaN|Infinity)\b/.test(trimmed))
    return `not JSON${where}: NaN and Infinity have no JSON form; send null or leave the field out`
  if (/unterminated|unexpected end/i.test(error.message)) return `not JSON: the text ends too early${where}`
  return `not JSON${where}`
}
