import type { Application } from '../../app/schema.ts'
import { groupOf, type TopicNames } from '../../app/topics.ts'
import { type Offset, offset } from '../../app/units.ts'
import type { Log, LogRecord, NewRecord, TopicPartition } from '../../engine/ports.ts'
import { StreamClocks } from '../../learner/labels/clocks.ts'
import type { CompiledLabel } from '../../learner/labels/definition.ts'
import type { JoinRules } from '../../learner/labels/joiner.ts'
import { keptMs, negative, ProfileOutcomes } from '../../learner/labels/outcomes.ts'
import { deadLetter, SampleTable } from '../../outputs/index.ts'
import type { Computed, ComputeMode, Stage } from '../stage.ts'
import type { Metrics } from '../telemetry.ts'
import { type ExampleOptions, exampleRecord, type Labelled } from './example-writer.ts'
import { LabelCounts } from './label-counts.ts'
import { CLOCKS_KEY, labelTiming } from './label-timing.ts'
import {
  type ErasedSamples,
  erasedSamples,
  idHash,
  matchHash,
  type SampleRecord,
  sampleRecords,
} from './sample-records.ts'

/** Records of samples of one batch: each has up to 1,024 rows. */
const BATCH_RECORDS = 16

export interface OutcomeStageOptions {
  readonly app: Application
  readonly topics: TopicNames
  readonly labels: readonly CompiledLabel[]
  readonly examples: ExampleOptions
  readonly log: Log
  readonly metrics: Metrics
}

type State = StreamClocks | ProfileOutcomes

/** An example of a row that is at hand, or of one further back in the log. */
interface Given {
  readonly labelled: Labelled
  readonly from: SampleTable | (TopicPartition & { readonly offset: Offset })
}

export interface OutcomeInput {
  readonly samples: readonly SampleRecord[]
  /** Profiles that were erased, each where its order stands. */
  readonly erased: readonly ErasedSamples[]
}

export interface OutcomeWork {
  readonly given: readonly Given[]
  readonly counts: LabelCounts
}

export const outcomeGroup = (app: Application): string => groupOf(app, 'outcomes')

/**
 * samples → what each profile did that may be a label, for the label stage behind it; and what is known at once: samples
 * that carry their own label, and both copies of `fake-negative`.
 */
export function outcomeStage(options: OutcomeStageOptions): Stage<OutcomeInput, State, OutcomeWork> {
  const { app, topics, labels, metrics } = options
  const { keepMs, idleMs, expireMs } = labelTiming(labels)

  return {
    name: 'outcomes',
    group: outcomeGroup(app),
    topic: topics.samples,
    stateExpireMs: expireMs,
    maxBatchRecords: BATCH_RECORDS,
    prepare: async (records) => ({ samples: sampleRecords(records), erased: erasedSamples(records) }),
    keys: ({ samples, erased }) => {
      const keys = keysOf(samples, labels)
      for (const { pseudonym } of erased) keys.add(pseudonym)
      return keys
    },
    decode: (key, packed) =>
      key === CLOCKS_KEY ? StreamClocks.decode(packed, idleMs) : ProfileOutcomes.decode(packed),
    compute({ samples, erased }, states, mode: ComputeMode): Computed<OutcomeWork> {
      const clocks = (states.get(CLOCKS_KEY) as StreamClocks | undefined) ?? new StreamClocks(idleMs)
      states.set(CLOCKS_KEY, clocks)
      const step = new Step(clocks, states, mode)
      let forgotten = 0
      const forget = (upTo: number) => {
        for (; forgotten < erased.length && erased[forgotten]!.offset < upTo; forgotten++)
          step.profile(erased[forgotten]!.pseudonym).erase()
      }
      for (const { record, table } of samples) {
        forget(record.offset)
        const columns = labels.map(({ name }) => table.label(name))
        for (let row = 0; row < table.rows; row++) {
          const processedAt = table.processedAt(row)
          const time = clocks.advance(table.partition(row), table.eventTime(row), processedAt)
          for (let index = 0; index < labels.length; index++) {
            const column = columns[index]
            if (!column) continue
            const { name, rules, definition } = labels[index]!
            const value = column.value(row)
            const isSample = column.isSample(row)
            if (!rules) {
              if (isSample && !Number.isNaN(value)) step.own(table, row, name, value, definition)
              continue
            }
            const isOutcome = !Number.isNaN(value)
            const isNoted = isSample && rules.policy === 'fake-negative'
            if (!isOutcome && !isNoted) continue
            const pseudonym = table.pseudonym(row)
            if (pseudonym === undefined) continue
            const at = { record, table, row, name, rules, match: matchHash(column.match(row)), time, processedAt }
            const profile = step.profile(pseudonym)
            profile.forget(name, rules, { processedAt: processedAt - keepMs, time })
            if (isOutcome) step.outcome(profile, at, value)
            if (isNoted) step.sample(profile, at)
          }
        }
      }
      forget(Number.POSITIVE_INFINITY)
      return { changed: step.changed(), work: { given: step.given, counts: step.counts } }
    },
    outputs: (work) => outputsOf(options, work, metrics),
    poison: (record, message) => deadLetter(record, { code: 'POISON', path: '', message }, topics.deadXdm),
  }
}

/** Profiles whose state a batch changes: those with an outcome, and those whose samples are noted. */
function keysOf(input: readonly SampleRecord[], labels: readonly CompiledLabel[]): Set<string> {
  const keys = new Set<string>(input.length > 0 ? [CLOCKS_KEY] : [])
  for (const { table } of input) {
    for (const { name, rules } of labels) {
      const column = rules && table.label(name)
      if (!column) continue
      const isNoted = rules.policy === 'fake-negative'
      for (let row = 0; row < table.rows; row++) {
        if (Number.isNaN(column.value(row)) && !(isNoted && column.isSample(row))) continue
        const pseudonym = table.pseudonym(row)
        if (pseudonym !== undefined) keys.add(pseudonym)
      }
    }
  }
  return keys
}

/** One event of a label, where it stands. */
interface Place {
  readonly record: LogRecord
  readonly table: SampleTable
  readonly row: number
  readonly name: string
  readonly rules: JoinRules
  readonly match: number
  /** The partition's time with this event. */
  readonly time: number
  readonly processedAt: number
}

/** What a batch does to the states, and what it gives. */
class Step {
  readonly given: Given[] = []
  readonly counts = new LabelCounts()
  readonly #clocks: StreamClocks
  readonly #states: Map<string, State>
  readonly #isLive: boolean
  readonly #touched = new Map<string, ProfileOutcomes>()

  constructor(clocks: StreamClocks, states: Map<string, State>, mode: ComputeMode) {
    this.#clocks = clocks
    this.#states = states
    this.#isLive = mode === 'live'
  }

  profile(pseudonym: string): ProfileOutcomes {
    let profile = this.#states.get(pseudonym) as ProfileOutcomes | undefined
    if (!profile) {
      profile = new ProfileOutcomes()
      this.#states.set(pseudonym, profile)
    }
    this.#touched.set(pseudonym, profile)
    return profile
  }

  /** A sample that carries its own label. */
  own(table: SampleTable, row: number, label: string, value: number, definition: CompiledLabel['definition']): void {
    if (!this.#isLive) return
    const { isLearned, weight } =
      value === 0 ? negative(table.eventId(row), definition) : { isLearned: true, weight: 1 }
    const kind = isLearned ? 'example' : 'settled'
    this.#give(table, { label, kind, row, value, weight, outcomeTime: undefined })
    if (value > 0) this.counts.positive(label)
  }

  outcome(
    profile: ProfileOutcomes,
    { record, table, row, name, rules, match, time, processedAt }: Place,
    value: number,
  ) {
    const ts = table.eventTime(row)
    const id = idHash(table.eventId(row))
    const outcome = { ts, arrival: time, processedAt, id, match, value }
    const { taken, completes } = profile.addOutcome(name, outcome, rules)
    this.counts.outcome(name, taken)
    // In time for some of the samples that it may belong to, too late for others.
    if (taken === 'taken' && ts < time - rules.latenessMs) this.counts.outcome(name, 'late')
    for (const sample of completes) this.#copy(sample.offset, sample.row, { record, table, name }, ts)
  }

  sample(profile: ProfileOutcomes, { record, table, row, name, rules, match, time }: Place): void {
    const ts = table.eventTime(row)
    const eventId = table.eventId(row)
    // The label stage counts it: its window was over before it came.
    if (ts < time - keptMs(rules)) return
    const sample = { ts, id: idHash(eventId), match, offset: record.offset, row, isCopied: false }
    const { taken, outcome } = profile.addSample(name, sample, rules)
    if (taken !== 'taken') this.counts.sample(name, taken)
    if (taken === 'duplicate') return
    const { isLearned, weight } = negative(eventId, rules)
    if (isLearned && this.#isLive) {
      this.#give(table, { label: name, kind: 'copy', row, value: 0, weight, outcomeTime: undefined })
    }
    if (outcome) this.#copy(record.offset, row, { record, table, name }, outcome.ts)
  }

  changed(): Map<string, Buffer> {
    const changed = new Map<string, Buffer>([[CLOCKS_KEY, this.#clocks.encode()]])
    for (const [pseudonym, profile] of this.#touched) changed.set(pseudonym, profile.encode())
    return changed
  }

  #copy(at: number, row: number, here: { record: LogRecord; table: SampleTable; name: string }, outcomeTime: number) {
    if (!this.#isLive) return
    const { topic, partition } = here.record
    const from = at === here.record.offset ? here.table : { topic, partition, offset: offset(at) }
    this.#give(from, { label: here.name, kind: 'copy', row, value: 1, weight: 1, outcomeTime })
  }

  #give(from: Given['from'], labelled: Labelled): void {
    this.given.push({ labelled, from })
    this.counts.sample(labelled.label, labelled.kind)
  }
}

async function outputsOf(
  { examples, log }: OutcomeStageOptions,
  { given, counts }: OutcomeWork,
  metrics: Metrics,
): Promise<NewRecord[]> {
  const outputs: NewRecord[] = []
  // Outcomes of one batch often belong to samples of few records.
  const read = new Map<number, SampleTable | undefined>()
  for (const { labelled, from } of given) {
    let table: SampleTable | undefined
    if (from instanceof SampleTable) table = from
    else {
      if (!read.has(from.offset)) read.set(from.offset, await readTable(log, from))
      table = read.get(from.offset)
    }
    if (table) outputs.push(await exampleRecord(examples, table, labelled))
    else metrics.count('rtml_label_samples_total', [labelled.label, 'lost'])
  }
  counts.report(metrics)
  return outputs
}

/** The record of samples at a place; undefined: retention was faster. @throws RtmlError LOG_DOWN */
async function readTable(log: Log, place: TopicPartition & { readonly offset: Offset }) {
  const bounds = (await log.bounds(place.topic))[place.partition]
  if (!bounds || place.offset < bounds.start) return undefined
  for await (const run of log.read(place, place.offset, { until: offset(place.offset + 1) })) {
    const [record] = run.records
    if (record?.offset === place.offset && record.value) return new SampleTable(record.value)
  }
  return undefined
}
