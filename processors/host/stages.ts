import { fusedSource, groupOf } from '../app/topics.ts'
import type { Plan } from '../topology.ts'

/** A stage by what it reads, without running it. */
export interface InputStage {
  readonly name: string
  readonly topic: string
  readonly group: string
  readonly keepsState: boolean
  /** Layout of the states; undefined for a stage without. */
  readonly layout: number | undefined
}

/** The stages of a plan, left to right. */
export function inputStages({ app, topics, featureSet }: Pick<Plan, 'app' | 'topics' | 'featureSet'>): InputStage[] {
  const fused = fusedSource(app)
  const stage = (name: string, topic: string, layout: number | undefined): InputStage => ({
    name,
    topic,
    group: groupOf(app, name),
    keepsState: layout !== undefined,
    layout,
  })
  const mapping =
    fused === undefined
      ? Object.keys(app.sources).map((source) => stage(`map.${source}`, topics.raw(source), undefined))
      : []
  const keyed = [...featureSet.entities.values()].map(({ entity, layout }) =>
    entity === 'profile'
      ? stage('profile', fused === undefined ? topics.events : topics.raw(fused), layout.id)
      : stage(`entity.${entity}`, topics.entity(entity), layout.id),
  )
  return [...mapping, ...keyed]
}
