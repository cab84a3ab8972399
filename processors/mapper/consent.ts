import { isObject } from './decode/types.ts'

/** Legal bases other than consent count as allowed: legitimate interest, contract, compliance, vital and public interest. */
const ALLOWED = new Set<unknown>(['y', 'dy', 'LI', 'CT', 'CP', 'VI', 'PI'])
const REFUSED = new Set<unknown>(['n', 'dn'])

/** `consents.collect.val`, read: pending, unknown and absent are undecided. */
export function collectConsent(event: Record<string, unknown>): 'allowed' | 'refused' | 'undecided' {
  const consents = event.consents
  const collect = isObject(consents) ? consents.collect : undefined
  const value = isObject(collect) ? collect.val : undefined
  if (ALLOWED.has(value)) return 'allowed'
  return REFUSED.has(value) ? 'refused' : 'undecided'
}
