import { boundText } from './bytes.ts'
import { type EncodeDefinition, encodedCode, positionIn } from './encoding.ts'
import { hash48, SEED } from './hash.ts'

/** Elements of a list value that are read. */
const LIST_MAX = 100

/**
 * What an aggregate is given of one event. One object, reused for every event: its fields are always of one shape.
 */
export interface Input {
  /** Event time, epoch milliseconds. */
  ts: number
  /** 16 bits of the id's hash: orders events of the same millisecond. */
  tie: number
  number: number
  text: string
  /** Texts or hashes of a value that may be a list; only the first `size` are meant. */
  readonly texts: string[]
  readonly hashes: number[]
  size: number
}

export function newInput(): Input {
  return { ts: 0, tie: 0, number: 0, text: '', texts: [], hashes: [], size: 0 }
}

/**
 * How a feature reads its value; part of the identity of a track.
 * - none: no value, every matching event counts
 * - number: a number that a float32 can hold; true and false are 1 and 0; a text is never a number
 * - truth: as number, but false is no match: the terms of a ratio
 * - text: a text, cut at 256 bytes; numbers and booleans as JSON writes them
 * - code: a text, as the number that `encode` gives it: one byte instead of the text
 * - texts: a text, or a list of which each element counts; `only`: other texts are no match
 * - hashes: as texts, by the hash of the whole text
 */
export type Reading =
  | { readonly as: 'none' | 'number' | 'truth' | 'text' | 'hashes' }
  | { readonly as: 'texts'; readonly only?: readonly string[] }
  | { readonly as: 'code'; readonly encode: EncodeDefinition }

/** Reads a value into `input`. @returns false when the value is of no use: the event then doesn't match */
export function readValue(reading: Reading, value: unknown, input: Input): boolean {
  switch (reading.as) {
    case 'none':
      input.number = 1
      return true
    case 'number':
      return readNumber(value, input)
    case 'truth':
      return value !== false && readNumber(value, input)
    case 'text': {
      const text = keptTextOf(value)
      if (text === undefined) return false
      input.text = text
      return true
    }
    case 'code': {
      const text = keptTextOf(value)
      if (text === undefined) return false
      input.number = encodedCode(reading.encode, text)
      return true
    }
    case 'texts':
      return readTexts(value, reading.only, input)
    case 'hashes':
      return readHashes(value, input)
  }
}

function readNumber(value: unknown, input: Input): boolean {
  input.number = numberOf(value)
  return !Number.isNaN(input.number)
}

/** Greatest float32: a larger value could not stand in a vector. */
const NUMBER_MAX = (2 - 2 ** -23) * 2 ** 127

/** A number within the range of float32, or NaN. −0 becomes 0, so that equal values have equal bytes. */
export function numberOf(value: unknown): number {
  if (typeof value === 'number') return Math.abs(value) <= NUMBER_MAX ? value + 0 : Number.NaN
  if (typeof value === 'boolean') return value ? 1 : 0
  if (typeof value === 'bigint') return numberOf(Number(value))
  return Number.NaN
}

/** A whole text, or a finite number or a boolean as JSON writes it; undefined for everything else. */
export function textOf(value: unknown): string | undefined {
  if (typeof value === 'string') return value
  if (typeof value === 'number') return Number.isFinite(value) ? String(value) : undefined
  if (typeof value === 'boolean' || typeof value === 'bigint') return String(value)
  return undefined
}

/** A text as states keep it: cut at 256 bytes, before anything is done with it. */
export function keptTextOf(value: unknown): string | undefined {
  const text = textOf(value)
  return text === undefined ? undefined : boundText(text)
}

function readTexts(value: unknown, only: readonly string[] | undefined, input: Input): boolean {
  input.size = 0
  input.number = 1
  if (Array.isArray(value)) {
    for (let i = 0; i < value.length && i < LIST_MAX; i++) addText(value[i], only, input)
  } else addText(value, only, input)
  return input.size > 0
}

function addText(value: unknown, only: readonly string[] | undefined, input: Input): void {
  const text = keptTextOf(value)
  if (text === undefined || (only !== undefined && positionIn(only, text) < 0)) return
  input.texts[input.size++] = text
}

function readHashes(value: unknown, input: Input): boolean {
  input.size = 0
  if (Array.isArray(value)) {
    for (let i = 0; i < value.length && i < LIST_MAX; i++) addHash(value[i], input)
  } else addHash(value, input)
  return input.size > 0
}

/** The text "1" and the number 1 are two values. */
function addHash(value: unknown, input: Input): void {
  const text = textOf(value)
  if (text === undefined) return
  const seed = typeof value === 'string' ? SEED.text : typeof value === 'boolean' ? SEED.boolean : SEED.number
  input.hashes[input.size++] = hash48(text, seed)
}
