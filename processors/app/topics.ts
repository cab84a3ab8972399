import type { Application } from './schema.ts'

/** Every topic name of an application, in one place. */
export interface TopicNames {
  readonly raw: (source: string) => string
  readonly events: string
  readonly entity: (name: string) => string
  readonly lookup: (name: string) => string
  readonly scores: string
  readonly samples: string
  /** Samples with their labels. */
  readonly examples: string
  /** Memberships, keyed by profile and segment. */
  readonly segments: string
  /** When profiles must be looked at again without an event. */
  readonly timers: string
  /** Identities that events carried together: identity → profile. */
  readonly links: string
  /** Segments and decisions that were changed while the application ran. */
  readonly rules: string
  /** How often offers were displayed and used: one partition, so that everybody counts in one order. */
  readonly exposures: string
  /** What the edge answered. */
  readonly decisions: string
  readonly deadRaw: string
  readonly deadXdm: string
  readonly snapshots: string
  readonly models: string
  /** What is wrong with learners and models. */
  readonly alerts: string
  readonly control: string
  /** Who changed what: one JSON object a change. */
  readonly audit: string
}

export function topicNames(app: Application): TopicNames {
  const named = (topic: string) => `${app.topicPrefix}${topic}`
  const dead = (stage: string) => named(`${app.outputs.deadLetters.prefix}${stage}`)
  return {
    raw: (source) => named(app.sources[source]?.topic ?? `raw.${source}`),
    events: named(app.events.topic),
    entity: (name) => named(`${app.name}.entity.${name}`),
    lookup: (name) => named(app.lookups[name]?.topic ?? name),
    scores: named(app.outputs.scores.topic),
    samples: named(app.outputs.samples.topic),
    examples: named(app.outputs.examples.topic),
    segments: named(app.outputs.segments.topic),
    timers: named(`${app.name}.timers`),
    links: named(`${app.name}.links`),
    rules: named('rules'),
    exposures: named(`${app.name}.exposures`),
    decisions: named(app.outputs.decisions.topic),
    deadRaw: dead('raw'),
    deadXdm: dead('xdm'),
    snapshots: named('state.snapshots'),
    models: named('models'),
    alerts: named('alerts'),
    control: named('control'),
    audit: named('audit'),
  }
}

/** The source that is mapped and scored in one step, without `xdm.events` between; undefined when sources are re-keyed. */
export function fusedSource(app: Application): string | undefined {
  const [only, ...others] = Object.entries(app.sources)
  return only && others.length === 0 && only[1].keyedBy === 'identity' ? only[0] : undefined
}

/** Whether profiles are put into segments or given offers: only then do the topics of that exist, and states say more. */
export const hasRules = (app: Pick<Application, 'segments' | 'decisions'>): boolean =>
  Object.keys(app.segments).length > 0 || Object.keys(app.decisions).length > 0

/** Consumer group of a stage, and the name of its shards. */
export const groupOf = (app: Application, stage: string): string => `${app.topicPrefix}${app.name}.${stage}`
