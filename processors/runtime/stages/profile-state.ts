import { decodeRuleState, encodeRuleState, type RuleState } from '../../decisions/rule-state.ts'
import type { EntityKernel, KeyState } from '../../features/types.ts'
import { type Consent, decodeConsent, encodeConsent } from './consents.ts'
import { decodeLinks, encodeLinks, type KnownLinks } from './links.ts'

/**
 * A profile's state: what stands for the person in samples, the kernel's features, and what segments need.
 * Packed: 8 bytes, the kernel's, the consent's (none as long as nothing was said), the links' and the segments' (the same).
 */
export interface ProfileState {
  /** 8 bytes. Dropping them cuts the samples loose from the person. */
  pseudonym: Uint8Array
  features: KeyState
  /** Absent: the person said nothing about being observed. */
  consent?: Consent | undefined
  /** Absent: events carried no other identity, or `identity.link` is off. */
  links?: KnownLinks | undefined
  /** Absent: nothing is known of any segment. */
  rules?: RuleState | undefined
}

export const PSEUDONYM_BYTES = 8

export function packProfile(kernel: EntityKernel, state: ProfileState): Buffer {
  const { pseudonym, features, consent, links, rules } = state
  const parts = [pseudonym, kernel.encode(features)]
  if (consent) parts.push(encodeConsent(consent))
  if (links && links.length > 0) parts.push(encodeLinks(links))
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
  const pseudonym = pseudonymFrom(packed)
  const { consent, rest: afterConsent } = decodeConsent(packed.subarray(PSEUDONYM_BYTES + bytes))
  const { links, rest } = decodeLinks(afterConsent)
  return rest.length === 0
    ? { pseudonym, features: state, consent, links }
    : { pseudonym, features: state, consent, links, rules: decodeRuleState(rest) }
}
