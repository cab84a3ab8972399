import { decodeRuleState, encodeRuleState, type RuleState } from '../../decisions/rule-state.ts'
import type { EntityKernel, KeyState } from '../../features/types.ts'

/**
 * A profile's state: what stands for the person in samples, the kernel's features, and what segments need.
 * Packed: 8 bytes, the kernel's, then the segments' (none as long as they have nothing to say).
 */
export interface ProfileState {
  /** 8 bytes. Dropping them cuts the samples loose from the person. */
  pseudonym: Uint8Array
  features: KeyState
  /** Absent: nothing is known of any segment. */
  rules?: RuleState | undefined
}

export const PSEUDONYM_BYTES = 8

export function packProfile(kernel: EntityKernel, { pseudonym, features, rules }: ProfileState): Buffer {
  const parts = [pseudonym, kernel.encode(features)]
  if (rules) parts.push(encodeRuleState(rules))
  return Buffer.concat(parts)
}

/**
 * The first bytes as an array of their own: a view, and a small Buffer too, would keep a whole slab of memory alive for
 * as long as the state is cached. V8 keeps so short an array inside the object.
 */
export function pseudonymFrom(bytes: Uint8Array): Uint8Array {
  const pseudonym = new Uint8Array(PSEUDONYM_BYTES)
  for (let index = 0; index < PSEUDONYM_BYTES; index++) pseudonym[index] = bytes[index]!
  return pseudonym
}

export function unpackProfile(kernel: EntityKernel, packed: Buffer): ProfileState {
  const { state, bytes } = kernel.decodeFirst(packed.subarray(PSEUDONYM_BYTES))
  const rest = packed.subarray(PSEUDONYM_BYTES + bytes)
  const pseudonym = pseudonymFrom(packed)
  return rest.length === 0
    ? { pseudonym, features: state }
    : { pseudonym, features: state, rules: decodeRuleState(rest) }
}
