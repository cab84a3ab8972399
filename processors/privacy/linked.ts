import type { Engine } from '../engine/ports.ts'
import type { Plan } from '../topology.ts'

/** All identities of the person who has one of `keys`, as far as events have linked them; `keys` first. */
export async function linkedIdentities(
  _plan: Plan,
  _engine: Pick<Engine, 'log' | 'store'>,
  keys: readonly string[],
): Promise<readonly string[]> {
  return [...new Set(keys)]
}
