import type { EntityKernel, KeyState } from '../../features/types.ts'

/** A profile's state: what stands for the person in samples, and the kernel's features. Packed: 8 bytes, then the kernel's. */
export interface ProfileState {
  /** 8 bytes. Dropping them cuts the samples loose from the person. */
  pseudonym: Uint8Array
  features: KeyState
}

export const PSEUDONYM_BYTES = 8

export const packProfile = (kernel: EntityKernel, { pseudonym, features }: ProfileState): Buffer =>
  Buffer.concat([pseudonym, kernel.encode(features)])

/**
 * The first bytes as an array of their own: a view, and a small Buffer too, would keep a whole slab of memory alive for
 * as long as the state is cached. V8 keeps so short an array inside the object.
 */
export function pseudonymFrom(bytes: Uint8Array): Uint8Array {
  const pseudonym = new Uint8Array(PSEUDONYM_BYTES)
  for (let index = 0; index < PSEUDONYM_BYTES; index++) pseudonym[index] = bytes[index]!
  return pseudonym
}

export const unpackProfile = (kernel: EntityKernel, packed: Buffer): ProfileState => ({
  pseudonym: pseudonymFrom(packed),
  features: kernel.decode(packed.subarray(PSEUDONYM_BYTES)),
})
