/** Changes of a routing: who gets which role and which profiles. Pure; `ModelRegistry` writes what comes out. */
import { RtmlError } from '../app/errors.ts'
import { championOf, championsOf, currentOf, type GalleryService, type Routing } from './gallery.ts'
import { type Role, versionName } from './records.ts'

/** Shares that a challenger goes through. */
export const STEPS = [0.05, 0.5, 1] as const

export interface ModelVersion {
  readonly model: string
  readonly version: string
}

/** Roles of a change, and what is blocked from then on. */
export interface Change {
  readonly roles: readonly Role[]
  readonly disabled: boolean
  readonly blocked: readonly string[]
}

const isSame = (a: ModelVersion, b: ModelVersion): boolean => a.model === b.model && a.version === b.version

/** Share of a version's profiles now: 0 for shadows and strangers. */
export function shareOf({ roles }: Pick<Routing, 'roles'>, version: ModelVersion): number {
  const role = roles.find((it) => isSame(it, version))
  if (role?.role === 'champion') return 1 - roles.reduce((sum, it) => sum + (it.role === 'arm' ? it.share : 0), 0)
  return role?.role === 'arm' ? role.share : 0
}

/** The next step of a challenger, [0, 1]; 1 makes it the champion. */
export const nextShare = (share: number, steps: readonly number[] = STEPS): number =>
  steps.find((step) => step > share + 1e-9) ?? 1

/** Adds a version as shadow. A version that has a role keeps it. */
export function addShadow(service: GalleryService, version: ModelVersion): Change {
  const current = currentOf(service)
  refuseBlocked(current, version)
  const known = current.roles.some((it) => isSame(it, version))
  const roles = known ? current.roles : [...current.roles, { ...version, role: 'shadow' as const, share: 0 }]
  return changed(current, roles)
}

/**
 * Gives a version a share of the profiles, which it keeps as the share grows. Share 1 makes it the champion: the former
 * one and the arms of the same model go, other arms keep their profiles.
 * @throws RtmlError MODEL_ROUTING when others leave less than that, or when it is blocked
 */
export function promote(service: GalleryService, version: ModelVersion, share: number): Change {
  const current = currentOf(service)
  refuseBlocked(current, version)
  if (isSame(championOf(current) ?? { model: '', version: '' }, version)) {
    throw new RtmlError('MODEL_ROUTING', 'it is the champion already; roll back to take profiles from it.', {
      place: versionName(version),
    })
  }
  const others = current.roles.filter((it) => !isSame(it, version))
  if (share >= 1) {
    const arms = others.filter((it) => it.role !== 'champion' && !(it.role === 'arm' && it.model === version.model))
    return changed(current, [{ ...version, role: 'champion', share: 0 }, ...arms])
  }
  const mine = current.roles.find((it) => isSame(it, version))
  const arm: Role = { ...version, role: 'arm', share, ...(mine?.ranges ? { ranges: mine.ranges } : {}) }
  return changed(current, [...others, arm])
}

/**
 * Goes back in one step: to `to`, or else from challengers to the champion, or else to the champion before this one.
 * What is gone back over may not be promoted again until it is unblocked; shadows stay.
 * @throws RtmlError MODEL_ROUTING when there is nothing to go back to
 */
export function rollback(service: GalleryService, to?: ModelVersion): Change {
  const current = currentOf(service)
  const arms = current.roles.filter((it) => it.role === 'arm')
  const serving = championOf(current)
  const target = to ?? (arms.length > 0 ? serving : championsOf(service).at(-2))
  if (!target) {
    throw new RtmlError('MODEL_ROUTING', 'there is no former champion to go back to.', { place: service.name })
  }
  const gone = [...arms, ...(serving ? [serving] : [])].filter((it) => !isSame(it, target))
  const shadows = current.roles.filter((it) => it.role === 'shadow' && !isSame(it, target))
  const { model, version } = target
  const blocked = [...new Set([...current.blocked, ...gone.map(versionName)])].filter(
    (it) => it !== versionName(target),
  )
  const champion: Role = { model, version, role: 'champion', share: 0 }
  return { ...changed(current, [champion, ...shadows]), blocked: blocked.slice(-1_000) }
}

/** Takes a version's role away and blocks it. @throws RtmlError MODEL_ROUTING for the champion */
export function block(service: GalleryService, version: ModelVersion): Change {
  const current = currentOf(service)
  if (isSame(championOf(current) ?? { model: '', version: '' }, version)) {
    throw new RtmlError(
      'MODEL_ROUTING',
      'it is the champion: roll back or promote another one first, or disable the whole service.',
      { place: versionName(version) },
    )
  }
  const roles = current.roles.filter((it) => !isSame(it, version))
  const blocked = [...new Set([...current.blocked, versionName(version)])].slice(-1_000)
  return { ...changed(current, roles), blocked }
}

export function unblock(service: GalleryService, version: ModelVersion): Change {
  const current = currentOf(service)
  return { ...changed(current, current.roles), blocked: current.blocked.filter((it) => it !== versionName(version)) }
}

/** Nobody serves, or the same ones serve again. */
export function setDisabled(service: GalleryService, disabled: boolean): Change {
  const current = currentOf(service)
  return { roles: current.roles, disabled, blocked: current.blocked }
}

function refuseBlocked({ blocked }: Routing, version: ModelVersion): void {
  const name = versionName(version)
  if (!blocked.includes(name)) return
  throw new RtmlError(
    'MODEL_ROUTING',
    `it was rolled back or disabled. To let it try again: rtml models enable ${name}`,
    { place: name },
  )
}

const changed = (current: Routing, roles: readonly Role[]): Change => ({
  roles,
  disabled: current.disabled,
  blocked: current.blocked,
})

/**
 * Places arms on the profiles' hash [0, 1): each keeps the ranges that it has (its model's newest ones, for a new version
 * of an arm), gives back from their ends when its share falls, and takes free room when it grows.
 * @throws RtmlError MODEL_ROUTING when shares add up to more than 1
 */
export function withRanges(before: readonly Role[], roles: readonly Role[], place: string): Role[] {
  const total = roles.reduce((sum, it) => sum + (it.role === 'arm' ? it.share : 0), 0)
  if (total > 1 + 1e-9) {
    throw new RtmlError('MODEL_ROUTING', `the arms' shares add up to ${total.toFixed(3)}, more than 1.`, { place })
  }
  const known = cumulative(before)
  const kept = roles.map((role) => (role.role === 'arm' ? shrink(rangesBefore(known, roles, role), role.share) : []))
  const taken = kept.flat()
  return roles.map((role, index) => {
    const { ranges: _, ...rest } = role
    if (role.role !== 'arm') return { ...rest, share: 0 }
    const more = take(taken, role.share - sizeOf(kept[index]!))
    taken.push(...more)
    return { ...rest, ranges: joined([...kept[index]!, ...more]) }
  })
}

type Range = [number, number]

/** Arms of an application file have no ranges: they lie one after the other. */
function cumulative(roles: readonly Role[]): Role[] {
  let at = 0
  return roles.map((role) => {
    if (role.role !== 'arm' || role.ranges) return role
    const from = at
    at = Math.min(1, at + role.share)
    return { ...role, ranges: [[from, at]] }
  })
}

function rangesBefore(before: readonly Role[], roles: readonly Role[], role: Role): readonly Range[] {
  const arms = before.filter((it) => it.role === 'arm')
  const mine = arms.find((it) => isSame(it, role))
  if (mine) return mine.ranges ?? []
  // A new version of an arm takes over the profiles of the one that it replaces.
  const replaced = arms.filter((it) => it.model === role.model && !roles.some((other) => isSame(other, it)))
  return replaced[0]?.ranges ?? []
}

const sizeOf = (ranges: readonly Range[]): number => ranges.reduce((sum, [from, to]) => sum + to - from, 0)

function shrink(ranges: readonly Range[], share: number): Range[] {
  let left = share
  return ranges.flatMap(([from, to]): Range[] => {
    const size = Math.min(to - from, left)
    left -= size
    return size > 1e-12 ? [[from, from + size]] : []
  })
}

function take(taken: readonly Range[], share: number): Range[] {
  const ranges: Range[] = []
  let left = share
  let at = 0
  for (const [from, to] of [...taken, [1, 1] as Range].sort((a, b) => a[0] - b[0])) {
    const size = Math.min(from - at, left)
    if (size > 1e-12) ranges.push([at, at + size])
    if (size > 0) left -= size
    at = Math.max(at, to)
  }
  return ranges
}

function joined(ranges: readonly Range[]): Range[] {
  const sorted = [...ranges].sort((a, b) => a[0] - b[0])
  return sorted.reduce<Range[]>((list, [from, to]) => {
    const last = list.at(-1)
    if (last && from - last[1] < 1e-12) last[1] = to
    else list.push([from, to])
    return list
  }, [])
}
