/** From what a learner wants to roles in its service. Pure. */
import {
  type Change,
  championOf,
  championsOf,
  currentOf,
  type GalleryService,
  type Role,
  type Routing,
} from '../../gallery/index.ts'
import type { Routed } from '../../learner/stream/learner-stream.ts'

export interface Wanted {
  readonly model: string
  readonly version: string
  /** 0 = it watches; 1 = it serves all. */
  readonly share: number
}

const isMine = ({ model }: Role, wanted: Pick<Wanted, 'model'>): boolean => model === wanted.model

/** What the learner's model has now, whatever its version. */
export function routedOf(routing: Routing | undefined, model: string, by: string): Routed | undefined {
  if (!routing?.roles.some((it) => it.model === model)) return undefined
  return { share: shareNow(routing, model), isForeign: routing.by !== by, by: routing.by }
}

/** Whether the routing is what is wanted already. */
export function isRouted(service: GalleryService, wanted: Wanted): boolean {
  const routing = currentOf(service)
  const mine = routing.roles.filter((it) => isMine(it, wanted))
  if (mine.length === 0 || mine.some(({ version }) => version !== wanted.version)) return false
  const share = (roles: readonly Role[]) => shareNow({ roles }, wanted.model)
  // What is wanted need not be possible: see `routeTo`.
  return share(routing.roles) === wanted.share || share(routing.roles) === share(routeTo(service, wanted).roles)
}

/** A champion serves all, whoever else is an arm beside it. */
function shareNow({ roles }: Pick<Routing, 'roles'>, model: string): number {
  const mine = roles.filter((it) => it.model === model)
  return mine.some(({ role }) => role === 'champion') ? 1 : mine.reduce((sum, it) => sum + it.share, 0)
}

/**
 * Gives the version its share. What competes goes on scoring beside what serves, so that both are judged by the same events:
 * champion and arm watch each other's profiles, and a champion that was overtaken stays as a shadow.
 */
export function routeTo(service: GalleryService, wanted: Wanted): Change {
  const current = currentOf(service)
  const { model, version, share } = wanted
  const others = current.roles.filter((it) => !isMine(it, wanted))
  const kept = { disabled: current.disabled, blocked: current.blocked }
  if (share >= 1) {
    const watching = others.map((it): Role => (it.role === 'champion' ? shadow(it) : it))
    return { ...kept, roles: [{ model, version, role: 'champion', share: 0 }, ...watching] }
  }
  const champion = championOf({ roles: others }) ?? formerChampion(service, wanted)
  if (!champion) {
    // Nobody else has ever served. A model that does is kept: no answer would be worse, and the alerts say what is wrong.
    const mine = current.roles.find((it) => isMine(it, wanted) && it.role === 'champion')
    if (mine) return { ...kept, roles: [{ model, version, role: 'champion', share: 0 }, ...others] }
    return { ...kept, roles: [{ model, version, role: 'shadow', share: 0 }, ...others] }
  }
  const rest = others.filter((it) => it.role !== 'champion' && !isSame(it, champion))
  if (share <= 0) {
    const watched = rest.some(({ role, watch }) => role === 'arm' && watch)
    const first: Role = { ...plain(champion), role: 'champion', ...(watched ? { watch: true } : {}) }
    return { ...kept, roles: [first, shadow({ ...champion, model, version }), ...rest] }
  }
  const mine: Role = { model, version, role: 'arm', share, watch: true }
  return { ...kept, roles: [{ ...plain(champion), role: 'champion', watch: true }, mine, ...rest] }
}

const plain = ({ model, version }: Role): Role => ({ model, version, role: 'champion', share: 0 })
const shadow = ({ model, version }: Role): Role => ({ model, version, role: 'shadow', share: 0 })
const isSame = (a: Role, b: Role): boolean => a.model === b.model && a.version === b.version

/** The one that served before the learner did. */
function formerChampion(service: GalleryService, wanted: Wanted): Role | undefined {
  const before = championsOf(service).findLast((it) => !isMine(it, wanted))
  return before && { model: before.model, version: before.version, role: 'champion', share: 0 }
}
