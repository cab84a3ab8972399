import type { EntityKernel, KeyState } from '../../features/types.ts'

/** A profile's state: what stands for the person in samples, and the kernel's features. Packed: 8 bytes, then the kernel's. */
export interface ProfileState {
  /** 8 bytes. Dropping them cuts the samples loose from the person. */
  pseudonym: Buffer
  features: KeyState
}

export const PSEUDONYM_BYTES = 8

export const packProfile = (kernel: EntityKernel, { pseudonym, features }: ProfileState): Buffer =>
  Buffer.concat([pseudonym, kernel.encode(features)])

export const unpackProfile = (kernel: EntityKernel, packed: Buffer): ProfileState => ({
  // A copy: a view would keep the whole packed buffer alive as long as the state is cached.
  pseudonym: Buffer.from(packed.subarray(0, PSEUDONYM_BYTES)),
  features: kernel.decode(packed.subarray(PSEUDONYM_BYTES)),
})
