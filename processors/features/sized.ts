/**
 * Lists of an exact size, for decoding. A list that grows by `push` gets room for 17 elements with its first one; a key
 * has dozens of lists of one to five, and that room was most of the memory, and most of the time, that decoding took.
 */

const LARGEST = 64
const NUMBERS: readonly number[] = Array.from({ length: LARGEST }, () => 0.5)
const INTEGERS: readonly number[] = Array.from({ length: LARGEST }, () => 0)
const TEXTS: readonly string[] = Array.from({ length: LARGEST }, () => '')

/** `size` float64s that are to be overwritten. */
export function numbers(size: number): number[] {
  return size <= LARGEST ? NUMBERS.slice(0, size) : new Array<number>(size).fill(0.5)
}

/** `size` small integers that are to be overwritten. */
export function integers(size: number): number[] {
  return size <= LARGEST ? INTEGERS.slice(0, size) : new Array<number>(size).fill(0)
}

/** `size` texts that are to be overwritten. */
export function texts(size: number): string[] {
  return size <= LARGEST ? TEXTS.slice(0, size) : new Array<string>(size).fill('')
}
