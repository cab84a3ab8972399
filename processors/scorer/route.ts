import { RtmlError } from '../app/errors.ts'
import { unitHash } from './hash.ts'
import type { ScorerModel } from './plan.ts'

/** The models of one service: the champion and its arms compete for each profile; shadows see them all. */
export interface Service {
  readonly name: string
  readonly champion: number
  /** In the order of the application file: a new arm at the end moves only profiles of the champion. */
  readonly arms: readonly Arm[]
  /** Those of them that score the others' profiles as well, as shadows. */
  readonly watchers: readonly number[]
}

/** A part [from, to) of the profiles' hash. An arm that has grown in steps has several. */
interface Arm {
  /** Index of the model in the plan. */
  readonly model: number
  readonly from: number
  readonly to: number
}

/**
 * Groups a plan's models by service.
 * @throws RtmlError CONFIG when a service has no champion, two of them, or shares above 1
 */
export function servicesOf(models: readonly ScorerModel[]): Service[] {
  const names = new Set(models.filter((it) => it.role !== 'shadow').map((it) => it.service))
  return [...names].map((name) => {
    const members = models.flatMap((model, index) => (model.service === name ? [{ model, index }] : []))
    const champions = members.filter((it) => it.model.role === 'champion')
    const [champion, second] = champions
    if (!champion)
      refuse(
        members[0]?.model,
        `service ${JSON.stringify(name)} has arms but no champion. Give one model of it role: champion.`,
      )
    const targets = new Set(members.flatMap(({ model }) => (model.role === 'shadow' ? [] : [model.deploy])))
    if (targets.size > 1) {
      refuse(
        champion.model,
        `champion and arms of service ${JSON.stringify(name)} are deployed to ${[...targets].join(' and ')}: a profile must get the same one everywhere. Give them the same deploy.`,
      )
    }
    if (second) {
      refuse(
        second.model,
        `service ${JSON.stringify(name)} has two champions, ${champion.model.name} and ${second.model.name}. ` +
          'Make one an arm with a share, or a shadow, or give it a service of its own.',
      )
    }
    const arms = armsOf(name, members)
    const rivals = arms.length === 0 ? [] : members.filter(({ model }) => model.role !== 'shadow' && model.watch)
    return { name, champion: champion.index, arms, watchers: rivals.map(({ index }) => index) }
  })
}

function armsOf(service: string, members: readonly { model: ScorerModel; index: number }[]): Arm[] {
  let upTo = 0
  return members.flatMap(({ model, index }) => {
    if (model.role !== 'arm') return []
    if (model.share <= 0)
      refuse(model, `arm ${model.name} of service ${JSON.stringify(service)} has no share. Give it one: share: 0.1.`)
    const from = upTo
    upTo += model.share
    // Shares such as 0.1 × 10 add up to a little more than 1.
    if (upTo > 1 + 1e-9)
      refuse(
        model,
        `the shares of service ${JSON.stringify(service)} add up to ${upTo.toFixed(3)}, more than 1. Lower one of them.`,
      )
    const ranges = model.ranges ?? [[from, upTo] as const]
    return ranges.map(([from, to]) => ({ model: index, from, to }))
  })
}

function refuse(model: ScorerModel | undefined, text: string): never {
  throw new RtmlError('CONFIG', text, model?.place === undefined ? {} : { place: model.place })
}

/** The model of a service that scores a profile: the same one for each of its events, and independent of other services. */
export function armFor(service: Service, profile: string): number {
  if (service.arms.length === 0) return service.champion
  const at = unitHash(`arm\n${service.name}\n${profile}`)
  for (const arm of service.arms) if (at >= arm.from && at < arm.to) return arm.model
  return service.champion
}
