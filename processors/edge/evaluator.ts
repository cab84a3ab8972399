import type { XdmEvent } from '../app/event.ts'
import { type Clock, type EpochMs, epochMs } from '../app/units.ts'
import type { RuleState } from '../decisions/rule-state.ts'
import type { LogRecord } from '../engine/ports.ts'
import type { FeatureAge, FeatureSet, KeyState, Lookups, Updated, Vector } from '../features/types.ts'
import type { EntityReader } from '../runtime/stages/entity-reader.ts'
import type { Score, Scorer, ScoringRow } from '../scorer/types.ts'
import { coalesce } from './coalesce.ts'
import type { ProfileRead, ProfileReader } from './profile-reader.ts'
import { within } from './within.ts'

export interface Question {
  /** Profile, `<NAMESPACE>:<id>`; undefined: nobody, every feature starts at its default. */
  readonly key: string | undefined
  /** Events that are applied in memory, in order; the scores are those of the last one. */
  readonly events: readonly XdmEvent[]
  /** Instant of evaluation without events; default: now, or the profile's latest event when that is later. */
  readonly at?: EpochMs | undefined
  /** Changes the vector: features given by the caller. The scores are then a "what if". */
  readonly override?: ((vector: Vector) => void) | undefined
  /** What graphs read besides features. */
  readonly given?: Pick<ScoringRow, 'record' | 'profile'> & { readonly event?: unknown }
  /** Only this service's models. */
  readonly service?: string | undefined
  readonly explain?: boolean
  readonly ages?: boolean
  /** Time for everything, ms. */
  readonly budgetMs: number
}

/** A profile with the question's events applied. */
export interface SegmentsQuestion {
  readonly state: KeyState
  readonly rules: RuleState | undefined
  readonly at: EpochMs
  readonly event: XdmEvent | undefined
}

export interface Evaluation {
  readonly vector: Vector
  readonly at: EpochMs
  readonly scores: readonly Score[]
  readonly ages: readonly FeatureAge[] | undefined
  /** The profile's state with the events applied. */
  readonly state: KeyState
  readonly profile: ProfileRead | undefined
  /** What the profile's state made of each event. */
  readonly outcomes: readonly Updated[]
  /** Parts that were not available in time, for the answer to say. */
  readonly missing: readonly ('profile' | 'entities' | 'scores')[]
}

/**
 * Rows of one turn of the event loop are scored together; explained ones apart, so that nobody waits for them. A worker
 * holds two runs: more at once would only wait there, as smaller batches (a run costs 60 µs of this thread, whatever its rows).
 */
const RUNS = { maxItems: 256, maxAtOnce: 2, maxWaiting: 2_048 }
const EXPLAINED_RUNS = { maxItems: 16, maxAtOnce: 1, maxWaiting: 64 }

/** Reading may take this share of the budget; the rest is the models'. */
const READ_SHARE = 0.5

/**
 * Features and scores of one profile at the edge: the stream's kernel on the stream's bytes, the stream's models in the
 * stream's pool.
 */
export class Evaluator {
  readonly #featureSet: FeatureSet
  readonly #reader: ProfileReader
  readonly #entities: Pick<EntityReader, 'read'>
  readonly #lookups: Lookups
  readonly #clock: Clock
  readonly #segments: ((question: SegmentsQuestion) => Readonly<Record<string, true>>) | undefined
  readonly #score: (row: ScoringRow) => Promise<readonly Score[]>
  readonly #explain: (row: ScoringRow) => Promise<readonly Score[]>

  constructor(options: {
    featureSet: FeatureSet
    reader: ProfileReader
    entities: Pick<EntityReader, 'read'>
    lookups: Lookups
    scorer: Scorer | undefined
    clock: Clock
    /** Segments that graphs read; absent: the application has none. */
    segments?: ((question: SegmentsQuestion) => Readonly<Record<string, true>>) | undefined
  }) {
    const { scorer } = options
    this.#featureSet = options.featureSet
    this.#reader = options.reader
    this.#entities = options.entities
    this.#lookups = options.lookups
    this.#clock = options.clock
    this.#segments = options.segments
    const run = async (rows: readonly ScoringRow[]) => (scorer ? scorer.score(rows) : rows.map(() => []))
    this.#score = coalesce(run, RUNS)
    this.#explain = coalesce(run, EXPLAINED_RUNS)
  }

  /** Never rejects for a part that is late or away: the answer says what is missing. @throws Overloaded */
  async evaluate(question: Question): Promise<Evaluation> {
    const startedAt = this.#clock.now()
    const missing: Evaluation['missing'][number][] = []
    const profile = await this.#read(question, missing)
    const { kernel } = this.#reader
    const state = profile?.state ?? kernel.empty()
    const event = question.events.at(-1) ?? this.#noEvent(question, state)
    const foreign = await this.#readEntities(question.events.length > 0 ? event : undefined, question, missing)
    // From here to the vector nothing waits: the feature set remembers the event that it evaluated last.
    const outcomes = question.events.map((it) => kernel.update(state, it))
    const at = epochMs(Math.max(event.ts, state.time))
    const states = new Map<string, KeyState>([['profile', state]])
    for (const entity of this.#featureSet.entities.keys()) {
      const other = entity === 'profile' ? undefined : foreign?.of(entity, event)
      if (other) states.set(entity, other)
    }
    const inputs = { event, states, lookups: this.#lookups, at }
    const vector = this.#featureSet.newVector()
    this.#featureSet.vector(inputs, vector)
    const ages = question.ages ? this.#featureSet.ages(inputs) : undefined
    question.override?.(vector)

    const given = question.given
    const memberships = this.#segments
    const asked = { state, rules: profile?.rules, at, event: question.events.at(-1) }
    // Found only when a graph reads them.
    const known = memberships && {
      get segments() {
        return memberships(asked)
      },
    }
    const row: ScoringRow = {
      // A graph reads the event that the question gives; features were computed without it.
      event: given?.event === undefined ? event : { ...event, xdm: given.event as XdmEvent['xdm'] },
      vector,
      profile: known,
      ...(given ? { answers: true, record: given.record, profile: { ...known, ...given.profile } } : {}),
      at: 'edge',
      hypothetical: question.override !== undefined || question.key === undefined,
      ...(question.explain ? { explain: true } : {}),
      ...(question.service === undefined ? {} : { service: question.service }),
    }
    const leftMs = question.budgetMs - (this.#clock.now() - startedAt)
    const scored = question.explain ? this.#explain(row) : this.#score(row)
    const scores = await within(scored, leftMs).catch(late(missing, 'scores', []))
    return { vector, at, scores, ages, state, profile, outcomes, missing }
  }

  async #read(question: Question, missing: Evaluation['missing'][number][]): Promise<ProfileRead | undefined> {
    const { key } = question
    if (key === undefined) return undefined
    return within(this.#reader.read(key), question.budgetMs * READ_SHARE).catch(() => {
      missing.push('profile')
      return this.#reader.unread(key)
    })
  }

  async #readEntities(event: XdmEvent | undefined, question: Question, missing: Evaluation['missing'][number][]) {
    if (event === undefined || this.#featureSet.entities.size === 1) return undefined
    const read = this.#entities.read([{ event, record: NO_RECORD, source: '' }])
    return within(read, question.budgetMs * READ_SHARE).catch(late(missing, 'entities', undefined))
  }

  /** Stands for the event where there is none: features of an event are at their defaults. */
  #noEvent({ key, at }: Question, state: KeyState): XdmEvent {
    const ts = at ?? epochMs(Math.max(this.#clock.now(), state.time))
    return { id: '', ts, key: key ?? NOBODY, xdm: { _id: '', timestamp: new Date(ts).toISOString() } }
  }
}

/** Key of questions about nobody: arms are drawn by it. */
const NOBODY = 'none:none'

const late =
  <T>(missing: Evaluation['missing'][number][], part: Evaluation['missing'][number], instead: T) =>
  (): T => {
    missing.push(part)
    return instead
  }

/** The reader of entities takes events with their records; an event at the edge has none yet. */
const NO_RECORD = {
  topic: '',
  partition: 0,
  offset: 0,
  timestamp: 0,
  key: null,
  value: null,
  headers: {},
} as unknown as LogRecord
