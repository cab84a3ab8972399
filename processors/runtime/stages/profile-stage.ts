import { createHmac } from 'node:crypto'
import type { Rejection } from '../../app/errors.ts'
import type { XdmEvent } from '../../app/event.ts'
import type { Application } from '../../app/schema.ts'
import { groupOf, type TopicNames } from '../../app/topics.ts'
import { type Clock, type EpochMs, epochMs } from '../../app/units.ts'
import type { LogRecord, NewRecord } from '../../engine/ports.ts'
import { newVectors } from '../../features/index.ts'
import type { FeatureSet, KeyState, Lookups, Vector } from '../../features/types.ts'
import { type CompiledLabel, newMark } from '../../learner/labels/definition.ts'
import {
  deadLetter,
  encodeScores,
  frame,
  parseEraseOrder,
  profileScores,
  SampleBatch,
  type SampleLayout,
} from '../../outputs/index.ts'
import type { Score, Scorer } from '../../scorer/types.ts'
import type { XdmSchema } from '../../xdm/index.ts'
import type { Alignment } from '../alignment.ts'
import type { Layouts } from '../layouts.ts'
import { RULES_KEY, unpackShardRules } from '../rules/shard-rules.ts'
import type { Computed, ComputeMode, Stage } from '../stage.ts'
import type { Metrics } from '../telemetry.ts'
import { traced } from '../trace.ts'
import { consentOf } from './consents.ts'
import { type Control, controlsIn } from './control-records.ts'
import type { EntityReader, EntityStates } from './entity-reader.ts'
import { type Erasure, erasureRecords } from './erasures.ts'
import { alignedBy, type EventSource, SOURCE_HEADER, type Sourced, type SourcedEvent } from './event-source.ts'
import { type LinkChange, linkRecord, linksOf } from './links.ts'
import { noOutcomes, reportOutcomes } from './outcomes.ts'
import type { KnownScores, ProfileRules, RuleWork } from './profile-rules.ts'
import { type ProfileState, PSEUDONYM_BYTES, packProfile, pseudonymFrom, unpackProfile } from './profile-state.ts'
import { eraseSamplesRecord } from './sample-records.ts'
import { stateExpiry } from './state-expiry.ts'

/** Stands where the next event comes. */
const NO_EVENT: XdmEvent = { id: '', ts: epochMs(0), key: '', xdm: { _id: '', timestamp: '' } }

const NO_LINKS: readonly number[] = []

export interface ProfileInput extends Sourced {
  /** Values of other entities, as they were when the batch was read. */
  readonly foreign: EntityStates
}

interface Row {
  readonly sourced: SourcedEvent
  readonly vector: Vector
  readonly pseudonym: Uint8Array
  /** Of the profile, before the event; absent: no segment reads scores. */
  readonly known: KnownScores | undefined
  /** Segments that it is in with the event, for graphs that read them; absent: none. */
  readonly segments: Readonly<Record<string, true>> | undefined
}

export interface ProfileWork {
  readonly rows: readonly Row[]
  /** Events from before the application went live, all before the rows: they go to other entities and nowhere else. */
  readonly history: readonly SourcedEvent[]
  readonly refused: readonly { record: LogRecord; rejection: Rejection }[]
  /** Raw records that couldn't be mapped, in a fused stage. */
  readonly unmapped: Sourced['refused']
  /** Profiles that were forgotten, each with the number of rows before it. */
  readonly erasures: readonly { readonly row: number; readonly erasure: Erasure }[]
  /** In log order. */
  readonly links: readonly LinkChange[]
  /** Segments entered and left; absent without segments. */
  readonly rules: RuleWork | undefined
}

export interface ProfileStageOptions {
  readonly app: Application
  readonly topics: TopicNames
  /** `xdm.events`, or the raw topic of a fused source. */
  readonly topic: string
  /** Set when mapping is fused: records must be keyed by the identity that they map to. */
  readonly fused: string | undefined
  readonly events: EventSource
  readonly schema: XdmSchema
  readonly schemaIds: { readonly events: number; readonly scores: number }
  readonly featureSet: FeatureSet
  /** Records from before the application went live. */
  readonly isHistory?: (record: LogRecord) => boolean
  readonly scorer: Scorer | undefined
  /** What each event is to them goes with its sample. */
  readonly labels: readonly CompiledLabel[]
  readonly entities: EntityReader
  /** Of profile states. */
  readonly layouts: Layouts
  readonly lookups: Lookups
  /** Absent: the application has neither segments nor decisions. */
  readonly rules?: ProfileRules | undefined
  /** Of the stage's partitions. Absent: each is read as fast as it goes. */
  readonly alignment?: Alignment | undefined
  readonly clock: Clock
  readonly metrics: Metrics
  /** Key of the pseudonyms: without it they could be computed from ids. */
  readonly pseudonymKey: string
}

/**
 * xdm.events (or a fused source) → profile.scores, samples, entity topics, dead letters: features, scoring and encoding
 * of one profile's events, in one batch and one commit.
 */
export function profileStage(options: ProfileStageOptions): Stage<ProfileInput, ProfileState, ProfileWork> {
  const { app, topics, featureSet } = options
  const kernel = featureSet.entities.get('profile')
  if (!kernel) throw new Error('a feature set always has the profile entity')
  const name = 'profile'
  const others = [...featureSet.entities.keys()].filter((entity) => entity !== 'profile')
  const sampleRows = Math.min(SAMPLE_ROWS, app.batch.maxEvents)
  const samples = app.outputs.samples.enabled ? sampleBatches(options, sampleRows) : undefined

  const compute = (
    input: ProfileInput,
    states: Map<string, ProfileState>,
    mode: ComputeMode,
  ): Computed<ProfileWork> => {
    const rows: Row[] = []
    const refused: { record: LogRecord; rejection: Rejection }[] = []
    const history: SourcedEvent[] = []
    const touched = new Map<string, ProfileState | null>()
    const erasures: ProfileWork['erasures'][number][] = []
    const links: LinkChange[] = []
    const outcomes = noOutcomes()
    const vectors = mode === 'rebuild' ? [] : newVectors(featureSet, input.events.length)
    // One object for all events of the batch: the kernel reads it during the call only.
    const byEntity = new Map<string, KeyState>()
    const inputs = { event: NO_EVENT, states: byEntity, lookups: options.lookups, at: epochMs(0) }
    const controls = controlsIn(input)
    const rules = options.rules?.begin(states)
    let shardRules: Buffer | undefined
    let taken = 0
    let optedOut = 0
    const takeControls = (upTo: number) => {
      for (; taken < controls.length && controls[taken]!.before <= upTo; taken++) {
        const control = controls[taken]!
        if (rules && options.rules) {
          shardRules = options.rules.activate(rules, control, states) ?? shardRules
          if (options.rules.control(rules, control, states)) touched.set(control.key!, states.get(control.key!)!)
        }
        const consented = consent(control, states, () => kernel.empty(), options.pseudonymKey)
        if (consented) touched.set(control.key!, consented)
        const erasure = erase(control, states)
        if (erasure === undefined) continue
        if (rules) options.rules?.forget(rules, erasure.key)
        touched.set(erasure.key, null)
        if (app.identity.link) links.push(...erasure.order.identities.map((identity) => ({ identity, profile: null })))
        erasures.push({ row: rows.length, erasure })
      }
    }
    for (let index = 0; index < input.events.length; index++) {
      takeControls(index)
      const sourced = input.events[index]!
      const { event, record } = sourced
      const wrongKey = options.fused === undefined ? undefined : keyProblem(event, record)
      if (wrongKey) {
        refused.push({ record, rejection: wrongKey })
        continue
      }
      let state = states.get(event.key)
      if (state?.consent?.val === 'n') {
        optedOut++
        continue
      }
      const at = Math.max(event.ts, state?.features.time ?? Number.NEGATIVE_INFINITY) as EpochMs
      if (!state || kernel.isExpired(state.features, at)) {
        // What the profile is in outlives its features: it leaves by evaluation, not by being forgotten. So does consent.
        const { rules: kept, consent } = state ?? {}
        state = { pseudonym: pseudonymOf(options.pseudonymKey, event), features: kernel.empty(), consent, rules: kept }
        states.set(event.key, state)
      }
      const updated = kernel.update(state.features, event)
      outcomes[updated]++
      if (updated === 'duplicate') continue
      if (updated === 'late') {
        refused.push({ record, rejection: lateness(event, state.features.time, app) })
        continue
      }
      touched.set(event.key, state)
      if (app.identity.link) state.links = linksOf(event, state.links ?? NO_LINKS, links)
      const known = rules && options.rules?.applied(rules, state, event, record)
      if (mode === 'rebuild') continue
      if (options.isHistory?.(record)) {
        history.push(sourced)
        continue
      }
      const vector = vectors[rows.length]!
      byEntity.set('profile', state.features)
      for (const entity of others) {
        const foreign = input.foreign.of(entity, event)
        if (foreign) byEntity.set(entity, foreign)
        else byEntity.delete(entity)
      }
      inputs.event = event
      inputs.at = epochMs(state.features.time)
      featureSet.vector(inputs, vector)
      if (rules) options.rules?.exposed(rules, event)
      const segments = rules && options.rules?.memberships(rules, state)
      rows.push({ sourced, vector, pseudonym: state.pseudonym, known, segments })
    }
    takeControls(input.events.length)
    reportOutcomes(options.metrics, name, outcomes)
    // Not an error of anybody's: counted, and kept nowhere.
    if (optedOut > 0) options.metrics.count('rtml_events_total', [name, 'opted-out'], optedOut)
    const changed = new Map<string, Buffer | null>()
    for (const [key, state] of touched) changed.set(key, state && packProfile(kernel, state))
    if (shardRules) changed.set(RULES_KEY, shardRules)
    return { changed, work: { rows, history, refused, unmapped: input.refused, erasures, links, rules } }
  }

  return {
    name,
    group: groupOf(app, name),
    topic: options.topic,
    stateExpireMs: stateExpiry(app, app.events.ttl),
    layouts: options.layouts,
    // Events of one item come from several profiles.
    aligned: others.length > 0 && options.alignment ? alignedBy(options.alignment) : undefined,
    async prepare(records, mode) {
      const sourced = await options.events.read(records)
      const foreign = await options.entities.read(mode === 'live' ? sourced.events : [])
      return { ...sourced, foreign }
    },
    keys(input) {
      const keys = new Set<string>()
      if (options.rules) keys.add(RULES_KEY)
      for (const { event } of input.events) keys.add(event.key)
      for (const { key } of controlsIn(input)) if (key !== undefined) keys.add(key)
      return keys
    },
    decode: (key, packed) =>
      key === RULES_KEY
        ? (unpackShardRules(packed, PSEUDONYM_BYTES) as unknown as ProfileState)
        : unpackProfile(kernel, packed),
    compute,
    outputs: (work) => outputsOf(options, others, samples, work),
    poison: (record, message) =>
      deadLetter(record, { code: 'POISON', path: '', message }, options.fused ? topics.deadRaw : topics.deadXdm),
  }
}

async function outputsOf(
  options: ProfileStageOptions,
  others: readonly string[],
  samples: SampleBatches | undefined,
  work: ProfileWork,
): Promise<NewRecord[]> {
  const { topics, metrics } = options
  const outputs: NewRecord[] = []
  // Before the call: a swap may come while it waits, and these are the outputs of the plan that it begins with.
  const scoreOutputs = options.scorer?.outputs() ?? NO_OUTPUTS
  const scores = options.scorer
    ? await options.scorer.score(
        work.rows.map(({ sourced, vector, segments }) => ({
          event: sourced.event,
          vector,
          profile: segments && { segments },
          at: 'hub',
        })),
      )
    : []
  for (const link of work.links) outputs.push(linkRecord(topics.links, link))
  for (const { event, record } of work.history) outputs.push(...entityEvents(options, others, event, record))
  const processedAt = options.clock.now()
  const context = { processedAt, featureSetVersion: options.featureSet.version }
  let forgotten = 0
  const forget = (upTo: number) => {
    for (; forgotten < work.erasures.length && work.erasures[forgotten]!.row <= upTo; forgotten++) {
      const { erasure } = work.erasures[forgotten]!
      options.scorer?.forget?.(erasure.key)
      outputs.push(...erasureRecords(options, erasure, processedAt))
    }
  }
  work.rows.forEach(({ sourced: { event, record, source } }, index) => {
    forget(index)
    // A fused record is keyed by the profile already: see `keyProblem`.
    const key = options.fused === undefined || !record.key ? Buffer.from(event.key) : record.key
    const headers = traced('profile', record.headers)
    const withTrace = headers ? { headers } : {}
    const value = encodeScores(
      profileScores(event, scores[index] ?? [], { ...context, source }),
      options.schemaIds.scores,
    )
    outputs.push({ topic: topics.scores, key, value, ...withTrace })
    const needsEvent = others.length > 0 || (options.fused !== undefined && options.app.events.publish)
    if (!needsEvent) return
    const encoded = frame(options.schemaIds.events, options.schema.encode(event))
    if (options.fused !== undefined && options.app.events.publish) {
      outputs.push({
        topic: topics.events,
        key,
        value: encoded,
        headers: { [SOURCE_HEADER]: Buffer.from(source), ...headers },
      })
    }
    for (const entity of others) {
      for (const entityKey of options.featureSet.entities.get(entity)?.keys(event) ?? []) {
        outputs.push({ topic: topics.entity(entity), key: Buffer.from(entityKey), value: encoded, ...withTrace })
      }
    }
  })
  forget(work.rows.length)
  if (work.rules && options.rules) {
    outputs.push(...options.rules.records(work.rules))
    work.rows.forEach(({ sourced: { event, record }, known }, index) => {
      const back = known && options.rules?.scoresBack(event, record, scores[index] ?? [], known)
      if (back) outputs.push(back)
    })
  }
  if (samples) outputs.push(...samplesOf(samples(scoreOutputs), options, work.rows, scores, processedAt))
  for (const { erasure } of work.erasures) {
    // After the samples of the batch: all that the profile gave come before.
    if (!samples || options.labels.length === 0 || !erasure.pseudonym) continue
    outputs.push(eraseSamplesRecord(topics.samples, erasure.partition, erasure.pseudonym))
  }
  countScores(metrics, scores)
  for (const { record, rejection } of work.refused) {
    metrics.count('rtml_rejected_total', ['profile', rejection.code])
    outputs.push(deadLetter(record, rejection, topics.deadXdm))
  }
  for (const { record, rejection } of work.unmapped) {
    const isRaw = options.fused !== undefined
    metrics.count('rtml_rejected_total', [isRaw ? `map.${options.fused}` : 'profile', rejection.code])
    outputs.push(deadLetter(record, rejection, isRaw ? topics.deadRaw : topics.deadXdm))
  }
  return outputs
}

/** The event for the other entities that it touches. */
function entityEvents(
  { topics, featureSet, schema, schemaIds }: ProfileStageOptions,
  others: readonly string[],
  event: XdmEvent,
  record: LogRecord,
): NewRecord[] {
  if (others.length === 0) return []
  const value = frame(schemaIds.events, schema.encode(event))
  const headers = traced('profile', record.headers)
  return others.flatMap((entity) =>
    (featureSet.entities.get(entity)?.keys(event) ?? []).map((key) => ({
      topic: topics.entity(entity),
      key: Buffer.from(key),
      value,
      ...(headers ? { headers } : {}),
    })),
  )
}

/** Takes down what the person said about being observed, if it is newer than what is known. @returns the changed state */
function consent(
  control: Control,
  states: Map<string, ProfileState>,
  empty: () => KeyState,
  pseudonymKey: string,
): ProfileState | undefined {
  const said = consentOf(control)
  const { key, record } = control
  if (said === undefined || key === undefined) return undefined
  const known = states.get(key)
  if (known?.consent && known.consent.at > said.at) return undefined
  const place = `${record.topic}[${record.partition}]@${record.offset}`
  const state = known ?? { pseudonym: pseudonymOf(pseudonymKey, { key, id: place }), features: empty() }
  state.consent = said
  states.set(key, state)
  return state
}

/** Drops a profile's state when a control record says so. */
function erase(control: Control, states: Map<string, ProfileState>): Erasure | undefined {
  const { kind, key, data, record } = control
  const order = kind === 'erase' ? parseEraseOrder(data) : undefined
  if (order === undefined || key === undefined) return undefined
  const pseudonym = states.get(key)?.pseudonym
  states.delete(key)
  return {
    key,
    order,
    pseudonym,
    partition: record.partition,
    place: `${record.topic}[${record.partition}]@${record.offset}`,
  }
}

type ScoreOutputs = SampleLayout['scores']
const NO_OUTPUTS: ScoreOutputs = []

/** The batch whose columns are those of the models that scored. */
type SampleBatches = (scores: ScoreOutputs) => SampleBatch

/** One batch is used again and again, until other models score: see `Scorer.outputs`. */
function sampleBatches({ app, featureSet, labels }: ProfileStageOptions, rows: number): SampleBatches {
  const layoutOf = (scores: ScoreOutputs): SampleLayout => ({
    app: app.name,
    featureSetVersion: featureSet.version,
    columns: featureSet.columns,
    scores,
    labels,
  })
  let batch = new SampleBatch(layoutOf(NO_OUTPUTS), rows)
  return (scores) => {
    if (batch.layout.scores !== scores) batch = new SampleBatch(layoutOf(scores), rows)
    return batch
  }
}

/** Rows of one record of samples at most. */
const SAMPLE_ROWS = 1_024

/** The rows as records of `samples`: one, or more where a record would grow too large. The batch's columns are used again. */
function samplesOf(
  batch: SampleBatch,
  { topics: { samples: topic }, labels }: ProfileStageOptions,
  rows: readonly Row[],
  scores: readonly Score[][],
  processedAt: EpochMs,
): NewRecord[] {
  const records: NewRecord[] = []
  // Written again for each row: the batch copies what it takes.
  const marks = labels.map(newMark)
  const flush = () => {
    const partition = rows[0]?.sourced.record.partition
    records.push({ topic, key: Buffer.from(`${partition}`), value: batch.encode() })
    batch.clear()
  }
  rows.forEach(({ sourced: { event, record }, vector, pseudonym }, index) => {
    if (batch.isFull) flush()
    for (let index = 0; index < labels.length; index++) labels[index]!.read(event, marks[index]!)
    batch.add({
      eventId: event.id,
      pseudonym,
      eventTime: event.ts,
      processedAt,
      partition: record.partition,
      position: record.offset,
      vector,
      scores: scores[index] ?? [],
      labels: marks,
    })
  })
  if (batch.rows > 0) flush()
  return records
}

function countScores(metrics: Metrics, scores: readonly Score[][]): void {
  // A list: a batch has a handful of kinds, and looking through them is cheaper than making a key of each score.
  const counts: { readonly score: Score; count: number }[] = []
  for (const row of scores) {
    for (const score of row) {
      const known = counts.find((it) => isSameKind(it.score, score))
      if (known) known.count++
      else counts.push({ score, count: 1 })
    }
  }
  for (const { score, count } of counts) {
    metrics.count('rtml_scores_total', [score.model, score.version, score.role, score.fallback], count)
  }
}

const isSameKind = (a: Score, b: Score): boolean =>
  a.model === b.model && a.version === b.version && a.role === b.role && a.fallback === b.fallback

/** A function of the log, like everything in the state: the same after any replay. */
function pseudonymOf(key: string, event: Pick<XdmEvent, 'key' | 'id'>): Uint8Array {
  return pseudonymFrom(createHmac('sha256', key).update(event.key).update('\0').update(event.id).digest())
}

/** Whether bytes are a text; without making a text of them when all is ASCII. */
function isText(bytes: Buffer, text: string): boolean {
  if (bytes.length !== text.length) return bytes.toString() === text
  for (let index = 0; index < bytes.length; index++) {
    const byte = bytes[index]!
    if (byte !== text.charCodeAt(index)) return false
    if (byte > 127) return bytes.toString() === text
  }
  return true
}

function keyProblem(event: XdmEvent, record: LogRecord): Rejection | undefined {
  if (record.key && isText(record.key, event.key)) return undefined
  const key = record.key?.toString()
  const message =
    `the record is keyed by ${JSON.stringify(key ?? null)} but maps to ${JSON.stringify(event.key)}; a source with keyedBy: identity ` +
    'must key its records by <NAMESPACE>:<id>. Set keyedBy: source to have rtml re-key them.'
  return { code: 'IDENTITY', path: 'identityMap', message }
}

function lateness(event: XdmEvent, keyTime: number, app: Application): Rejection {
  const behind = Math.round((keyTime - event.ts) / 1_000)
  const bound = Math.round(app.events.lateness / 1_000)
  return {
    code: 'LATE',
    path: 'timestamp',
    message: `${behind} s older than the newest event of ${event.key}; events.lateness allows ${bound} s`,
  }
}
