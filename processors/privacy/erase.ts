/** Forgets a person: orders through the log, waits until the stages have obeyed, looks for what is left, and reports. */
import { type Clock, ms } from '../app/units.ts'
import type { Engine, NewRecord } from '../engine/ports.ts'
import { type Erased, IDENTITIES_MAX, subjectOf } from '../outputs/index.ts'
import type { KeyedStage } from '../runtime/repair/keyed-stage.ts'
import { controlRecord } from '../runtime/stages/control-records.ts'
import { type Plan, pseudonymKey } from '../topology.ts'
import { readControl, requestRecord, retrainRecord } from './control-topic.ts'
import { type Needles, needlesOf } from './needles.ts'
import { purge } from './purge.ts'
import { remainingOf } from './remaining.ts'
import { signed } from './report.ts'
import type { ErasureReport, Removed } from './report-schema.ts'
import { type ScanOptions, type StateFinding, scanStates, scanTopics, type TopicFindings } from './scan.ts'

export interface EraseOptions {
  readonly plan: Plan
  readonly engine: Engine
  /** Of the plan: see `replayStages`. */
  readonly stages: readonly KeyedStage[]
  readonly clock: Clock
  readonly env: (name: string) => string | undefined
  /** Of the request; chosen by the caller, so that it can be found in the audit log. */
  readonly id: string
  /** Keys of the person's profiles, all that are known: see `linkedIdentities`. */
  readonly identities: readonly string[]
  /** Other forms of the ids: as they were typed, before a mapping hashed them. */
  readonly spellings?: readonly string[]
  readonly by: string
  readonly why?: string | undefined
  /** How long the workers' answers are waited for. */
  readonly waitMs: number
  /** Whether all topics are read, to say what is left; else only the dead letters are. */
  readonly scan: boolean
  /** Takes single records out of the log where the engine can. */
  readonly purge?: boolean
  readonly signal: AbortSignal
  readonly onTopic?: (topic: string) => void
}

const POLL_MS = ms(50)
/** Entity keys of one order. */
const ENTITY_KEYS_MAX = 2_000

/** @throws RtmlError LOG_DOWN, STORE_DOWN, CONFIG (report key) */
export async function erasePerson(options: EraseOptions): Promise<ErasureReport> {
  const { plan, engine, clock, identities, id } = options
  const { topics } = plan
  const requestedAt = clock.now()
  const needles = needlesOf(identities, options.spellings)
  const secret = pseudonymKey(plan.app, options.env)
  const subjects = identities.map((key) => subjectOf(secret, key))

  const states = await scanStates({ engine, stages: options.stages, needles, signal: options.signal })
  const letters = await scanTopics({ ...scanning(options, needles), only: (it) => isDead(plan, it) })
  const at = new Date(requestedAt).toISOString()
  const request = {
    id,
    at,
    by: options.by,
    ...(options.why === undefined ? {} : { why: options.why }),
    subjects,
    letters: letters.flatMap(({ matches }) => matches.map(({ place }) => place)),
  }
  const retrain = Object.keys(plan.app.learners)
  // First what hides dead letters and names the learners: whatever becomes of the rest, it holds.
  await engine.log.append([
    requestRecord(topics, request),
    ...retrain.map((learner) => retrainRecord(topics, learner, request)),
  ])
  await engine.log.append(ordersOf(options, entityKeysOf(states)))

  const answers = await waitForAnswers(options, subjects)
  const purged = options.purge ? await purge({ ...scanning(options, needles), engine, plan }) : undefined
  const found = options.scan ? await scanTopics(scanning(options, needles)) : undefined
  const isDone = answers.size === new Set(subjects).size
  const report = {
    report: 'rtml-erasure',
    version: 1,
    request: id,
    application: plan.app.name,
    engine: engine.name,
    status: isDone ? 'done' : 'pending',
    requestedAt: at,
    reportedAt: new Date(clock.now()).toISOString(),
    by: options.by,
    why: options.why ?? null,
    identities: [...identities],
    removed: removedOf(options, { subjects, answers, states, letters, purged }),
    remaining: remainingOf(plan, found, clock.now()),
    retrain,
    notes: notesOf(options, { isDone, purged, states }),
  } as const
  return signed(report as unknown as Omit<ErasureReport, 'signature'>, options.env)
}

const scanning = ({ plan, engine, signal, onTopic }: EraseOptions, needles: Needles): ScanOptions => ({
  plan,
  engine,
  needles,
  signal,
  ...(onTopic ? { onTopic } : {}),
})

const isDead = ({ topics }: Plan, topic: string): boolean => topic === topics.deadRaw || topic === topics.deadXdm

/** One order a profile: each names all identities, so that whichever stage comes last knows them all. */
function ordersOf({ stages, identities, id }: EraseOptions, entities: Record<string, string[]>): NewRecord[] {
  const profile = stages.find(({ stage }) => stage.name === 'profile')!.stage
  const data = { id, identities: identities.slice(0, IDENTITIES_MAX), entities }
  return identities.map((key) => controlRecord({ topic: profile.topic, kind: 'erase', key, data }))
}

/** Keys of other entities that name the person, by entity. */
function entityKeysOf(states: readonly StateFinding[]): Record<string, string[]> {
  const keys: Record<string, string[]> = {}
  for (const { stage, key, isOwn } of states) {
    const entity = /^entity\.(.+)$/.exec(stage)?.[1]
    if (entity === undefined || !isOwn) continue
    keys[entity] ??= []
    if (keys[entity].length < ENTITY_KEYS_MAX && !keys[entity].includes(key)) keys[entity].push(key)
  }
  return keys
}

/** The stages' answers by subject, as far as they come in time. */
async function waitForAnswers(
  { plan, engine, clock, id, waitMs, signal }: EraseOptions,
  subjects: readonly string[],
): Promise<ReadonlyMap<string, Erased>> {
  const until = clock.now() + waitMs
  const wanted = new Set(subjects)
  for (;;) {
    const { answers } = await readControl(engine, plan.topics)
    const own = new Map(answers.filter(({ request }) => request === id).map((it) => [it.subject, it]))
    if (own.size >= wanted.size || clock.now() >= until || signal.aborted) return own
    await clock.sleep(POLL_MS, signal)
  }
}

function removedOf(
  { identities, plan }: EraseOptions,
  {
    subjects,
    answers,
    states,
    letters,
    purged,
  }: {
    subjects: readonly string[]
    answers: ReadonlyMap<string, Erased>
    states: readonly StateFinding[]
    letters: readonly TopicFindings[]
    purged: ReadonlyMap<string, number> | undefined
  },
): Removed[] {
  const removed: Removed[] = []
  identities.forEach((key, index) => {
    const answer = answers.get(subjects[index]!)
    const position = answer?.place ?? null
    const found = answer?.found ?? states.some((it) => it.stage === 'profile' && it.key === key)
    removed.push({
      what: 'state: features, segments, consent, pseudonym',
      where: `store, ${key}`,
      position,
      found,
      records: null,
    })
    if (answer) {
      removed.push({ what: 'published scores: tombstone', where: plan.topics.scores, position, found, records: null })
      removed.push({
        what: 'samples: cut loose, the pseudonym is gone',
        where: plan.topics.samples,
        position,
        found,
        records: null,
      })
    }
  })
  for (const { stage, key, isOwn } of states) {
    if (!isOwn || stage === 'profile') continue
    removed.push({ what: `state of ${stage}`, where: `store, ${key}`, position: null, found: true, records: null })
  }
  for (const { topic, records } of letters) {
    removed.push({
      what: 'dead letters: hidden from list, show and replay',
      where: topic,
      position: null,
      found: true,
      records,
    })
  }
  for (const [topic, records] of purged ?? []) {
    removed.push({ what: 'records taken out of the log', where: topic, position: null, found: true, records })
  }
  return removed
}

function notesOf(
  { plan, engine, scan }: EraseOptions,
  {
    isDone,
    purged,
    states,
  }: { isDone: boolean; purged: ReadonlyMap<string, number> | undefined; states: readonly StateFinding[] },
): string[] {
  const notes: string[] = []
  if (!isDone) {
    notes.push(
      'No worker has answered all orders yet. They stand in the log and are obeyed before any later event: check with rtml profile erased --verify.',
    )
  }
  if (!scan) notes.push('Topics were not read: what remains is named by retention, and not counted.')
  if (plan.app.outputs.samples.enabled) {
    notes.push(
      'Rows of samples have no pseudonym of the person any more, but keep the ids of events until retention; those lead to a person as long as the events, or copies of them elsewhere, exist.',
    )
  }
  if (purged && engine.name === 'embedded')
    notes.push(
      'Records were taken out of the log. The pages of the file that held them are overwritten as they are used again, not at once.',
    )
  if (Object.keys(plan.app.learners).length > 0)
    notes.push(
      'Models that learned before keep what they learned until they are trained anew: the learners are flagged.',
    )
  const foreign = states.filter(({ isOwn }) => !isOwn)
  if (foreign.length > 0)
    notes.push(
      `${foreign.length} states of others hold an id of the person as a value (${foreign[0]!.stage}, …): they expire with their window.`,
    )
  return notes
}
