/** Which stage reads and writes which topic: the picture of an application. */
import { fusedSource } from '../app/topics.ts'
import type { Plan } from '../topology.ts'

export interface FlowEdge {
  /** `topic:<name>` or `stage:<name>`. */
  readonly from: string
  readonly to: string
}

export const topicNode = (name: string): string => `topic:${name}`
export const stageNode = (name: string): string => `stage:${name}`

/**
 * @param stages that run, with the topic that each reads
 * @param existing topics that there are; edges to others are left out
 */
export function flowOf(
  plan: Pick<Plan, 'app' | 'topics'>,
  stages: readonly { readonly stage: string; readonly topic: string }[],
  existing: ReadonlySet<string>,
): FlowEdge[] {
  return stages.flatMap(({ stage, topic }) => [
    { from: topicNode(topic), to: stageNode(stage) },
    ...outputsOf(plan, stage)
      .filter((output) => existing.has(output))
      .map((output) => ({ from: stageNode(stage), to: topicNode(output) })),
  ])
}

function outputsOf({ app, topics }: Pick<Plan, 'app' | 'topics'>, stage: string): string[] {
  if (stage.startsWith('map.')) return [topics.events, topics.deadRaw]
  if (stage === 'labels' || stage === 'outcomes') return [topics.examples]
  if (stage !== 'profile') return []
  const isFused = fusedSource(app) !== undefined
  return [
    ...(isFused ? [topics.events, topics.deadRaw] : []),
    topics.scores,
    topics.segments,
    topics.links,
    topics.exposures,
    topics.samples,
    ...Object.keys(app.entities).map(topics.entity),
    topics.deadXdm,
  ]
}
