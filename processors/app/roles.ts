import { RtmlError } from './errors.ts'

/** What a process may do of the whole. */
export const ROLES = {
  mapper: 'raw topics → xdm.events',
  scorer: 'features, scores, segments; other entities',
  labels: 'samples meet their outcomes',
  learner: 'learns from labels, publishes models',
  edge: 'HTTP: collection, predictions, decisions, console',
} as const

export type Role = keyof typeof ROLES

export const ALL_ROLES: ReadonlySet<Role> = new Set(Object.keys(ROLES) as Role[])

/** @throws RtmlError CONFIG naming the word that is no role */
export function parseRoles(text: string, place: string): ReadonlySet<Role> {
  const words = text
    .split(',')
    .map((it) => it.trim())
    .filter((it) => it !== '')
  const unknown = words.find((it) => !Object.hasOwn(ROLES, it))
  if (unknown !== undefined || words.length === 0) {
    const what = unknown === undefined ? 'names no role' : `there is no role ${JSON.stringify(unknown)}`
    throw new RtmlError('CONFIG', `${what}; there are ${Object.keys(ROLES).join(', ')}.`, { place })
  }
  return new Set(words as Role[])
}
