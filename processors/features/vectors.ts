import type { FeatureSet, Vector } from './types.ts'

/** Stands in all vectors without texts: nobody can write to it. */
const NO_STRINGS: string[] = []

/**
 * Vectors of a whole batch, over one block of memory: above 16 columns a Float32Array of its own lives outside of V8's
 * heap, and making and freeing one for each event cost 1.1 µs, a third of the features themselves.
 */
export function newVectors({ floatCount, stringCount }: FeatureSet, count: number): Vector[] {
  const floats = new Float32Array(floatCount * count).fill(Number.NaN)
  return Array.from({ length: count }, (_, index) => ({
    floats: floats.subarray(index * floatCount, (index + 1) * floatCount),
    strings: stringCount === 0 ? NO_STRINGS : new Array<string>(stringCount).fill(''),
  }))
}
