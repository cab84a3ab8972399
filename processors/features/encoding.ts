import type { FeatureDefinition } from '../app/schema.ts'
import { murmur3 } from './hash.ts'
import type { Vector } from './types.ts'

export type EncodeDefinition = NonNullable<Extract<FeatureDefinition, { kind: 'event' }>['encode']>

/** Positions of a word list, made once per definition object. */
const positions = new WeakMap<readonly string[], ReadonlyMap<string, number>>()

/** Position of a word, or −1. */
export function positionIn(words: readonly string[], word: string): number {
  let index = positions.get(words)
  if (index === undefined) {
    index = new Map(words.map((it, i) => [it, i]))
    positions.set(words, index)
  }
  return index.get(word) ?? -1
}

/**
 * A text as the number that states keep and vectors show.
 * vocabulary, onehot: position + 1, 0 = unknown; hash: murmur3(UTF-8, seed 0) mod buckets
 */
export function encodedCode(encode: EncodeDefinition, text: string): number {
  if ('hash' in encode) return murmur3(text) % encode.hash
  return positionIn('vocabulary' in encode ? encode.vocabulary : encode.onehot, text) + 1
}

/** Where one value of a feature goes in the vector, and what stands there when it is missing. */
export interface ValueSlot {
  /** A float, or the code of a text when the feature has `encode`. */
  putNumber(value: number, into: Vector): void
  putText(value: string, into: Vector): void
  putMissing(into: Vector): void
}

export class FloatSlot implements ValueSlot {
  readonly #index: number
  readonly #missing: number
  readonly #encode: EncodeDefinition | undefined

  constructor(index: number, missing: number, encode?: EncodeDefinition) {
    this.#index = index
    this.#missing = missing
    this.#encode = encode
  }
  /** @param missing a text is encoded, too */
  static encoded(index: number, encode: EncodeDefinition, missing: number | string): FloatSlot {
    return new FloatSlot(index, typeof missing === 'string' ? encodedCode(encode, missing) : missing, encode)
  }
  putNumber(value: number, into: Vector): void {
    into.floats[this.#index] = value
  }
  putText(value: string, into: Vector): void {
    into.floats[this.#index] = this.#encode === undefined ? this.#missing : encodedCode(this.#encode, value)
  }
  putMissing(into: Vector): void {
    into.floats[this.#index] = this.#missing
  }
}

export class TextSlot implements ValueSlot {
  readonly #index: number
  readonly #missing: string
  constructor(index: number, missing: string) {
    this.#index = index
    this.#missing = missing
  }
  putNumber(value: number, into: Vector): void {
    into.strings[this.#index] = String(value)
  }
  putText(value: string, into: Vector): void {
    into.strings[this.#index] = value
  }
  putMissing(into: Vector): void {
    into.strings[this.#index] = this.#missing
  }
}

/** One column a word; an unknown or missing value is all zeros. */
export class OneHotSlot implements ValueSlot {
  readonly #first: number
  readonly #encode: { readonly onehot: readonly string[] }
  readonly #missing: number
  constructor(first: number, encode: { readonly onehot: string[] }, missing: string | undefined) {
    this.#first = first
    this.#encode = encode
    this.#missing = missing === undefined ? 0 : encodedCode(encode, missing)
  }
  putNumber(code: number, into: Vector): void {
    const words = this.#encode.onehot.length
    into.floats.fill(0, this.#first, this.#first + words)
    if (code >= 1 && code <= words) into.floats[this.#first + code - 1] = 1
  }
  putText(value: string, into: Vector): void {
    this.putNumber(positionIn(this.#encode.onehot, value) + 1, into)
  }
  putMissing(into: Vector): void {
    this.putNumber(this.#missing, into)
  }
}
