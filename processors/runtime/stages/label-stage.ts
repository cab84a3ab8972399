import { RtmlError } from '../../app/errors.ts'
import type { Application } from '../../app/schema.ts'
import { groupOf, type TopicNames } from '../../app/topics.ts'
import { type Clock, ms } from '../../app/units.ts'
import { type FeatureStore, type LogRecord, PEEK_KEYS_MAX, type Shard } from '../../engine/ports.ts'
import { dueTime, StreamClocks } from '../../learner/labels/clocks.ts'
import type { CompiledLabel } from '../../learner/labels/definition.ts'
import { keptMs, ProfileOutcomes, settle } from '../../learner/labels/outcomes.ts'
import { deadLetter, type SampleTable } from '../../outputs/index.ts'
import type { Computed, ComputeMode, Stage } from '../stage.ts'
import type { Metrics } from '../telemetry.ts'
import { type ExampleOptions, exampleRecord, type Labelled } from './example-writer.ts'
import { LabelCounts } from './label-counts.ts'
import { CLOCKS_KEY, labelTiming } from './label-timing.ts'
import { outcomeGroup } from './outcome-stage.ts'
import { matchHash, type SampleRecord, sampleRecords } from './sample-records.ts'

/** How often the stage looks whether the outcomes have come far enough. */
const LOOK_EVERY_MS = ms(250)

export interface LabelStageOptions {
  readonly app: Application
  readonly topics: TopicNames
  readonly labels: readonly CompiledLabel[]
  readonly examples: ExampleOptions
  readonly store: FeatureStore
  readonly clock: Clock
  readonly metrics: Metrics
}

export interface LabelInput {
  readonly samples: readonly SampleRecord[]
  /** Of the profiles with samples, by pseudonym; empty in a rebuild. */
  readonly outcomes: ReadonlyMap<string, ProfileOutcomes>
  /** How far the outcome stage had come, in processing time. */
  readonly outcomesAt: number
}

export interface LabelWork {
  readonly settled: readonly { readonly table: SampleTable; readonly labelled: Labelled }[]
  readonly counts: LabelCounts
}

/** Labels whose samples wait for outcomes. */
export const waitingLabels = (labels: readonly CompiledLabel[]): CompiledLabel[] => labels.filter(({ rules }) => rules)

/**
 * samples, read a second time when windows are over → training.examples: the log itself is the buffer in which samples
 * wait, and the outcome stage, which is further on, has noted what came. A record of samples is taken when that stage has
 * passed the window and the lateness of all its rows; whatever comes later has no say, so any replay gives the same labels.
 */
export function labelStage(options: LabelStageOptions): Stage<LabelInput, StreamClocks, LabelWork> {
  const { app, topics, store, clock, metrics } = options
  const labels = waitingLabels(options.labels)
  const { keepMs, idleMs, expireMs } = labelTiming(labels)
  const outcomeShard = ({ topic, partition }: LogRecord): Shard => ({ group: outcomeGroup(app), topic, partition })

  return {
    name: 'labels',
    group: groupOf(app, 'labels'),
    topic: topics.samples,
    stateExpireMs: expireMs,
    maxBatchRecords: 1,
    mayLoseInput: true,
    async due(records, signal) {
      const needed = neededTimes(sampleRecords(records), labels)
      const [first] = records
      if (!first || needed.size === 0) return
      for (;;) {
        const { position, states } = await store.peek(outcomeShard(first), [CLOCKS_KEY])
        if (position !== undefined && hasCome(states[0], needed, idleMs)) return
        await clock.sleep(LOOK_EVERY_MS, signal)
        if (signal.aborted) return
      }
    },
    async prepare(records, mode) {
      const samples = sampleRecords(records)
      const [first] = records
      if (mode === 'rebuild' || !first) return { samples, outcomes: new Map(), outcomesAt: Number.NEGATIVE_INFINITY }
      return { samples, ...(await readOutcomes(store, outcomeShard(first), samples, labels, idleMs)) }
    },
    keys: ({ samples }) => (samples.length > 0 ? [CLOCKS_KEY] : []),
    decode: (_key, packed) => StreamClocks.decode(packed, idleMs),
    compute({ samples, outcomes, outcomesAt }, states, mode: ComputeMode): Computed<LabelWork> {
      const clocks = states.get(CLOCKS_KEY) ?? new StreamClocks(idleMs)
      states.set(CLOCKS_KEY, clocks)
      const settled: { table: SampleTable; labelled: Labelled }[] = []
      const counts = new LabelCounts()
      for (const { table } of samples) {
        const columns = labels.map(({ name }) => table.label(name))
        for (let row = 0; row < table.rows; row++) {
          const [ts, processedAt] = [table.eventTime(row), table.processedAt(row)]
          const time = clocks.advance(table.partition(row), ts, processedAt)
          const due = dueTime(ts, processedAt)
          for (let index = 0; index < labels.length && mode === 'live'; index++) {
            const column = columns[index]
            if (!column?.isSample(row)) continue
            const { name: label, rules } = labels[index]!
            // Its window was over before it came: outcomes may be forgotten, and the next ones count as late.
            if (due < time - keptMs(rules!)) {
              counts.sample(label, 'late')
              continue
            }
            if (outcomesAt - processedAt > keepMs) {
              counts.sample(label, 'expired')
              continue
            }
            const profile = outcomes.get(table.pseudonym(row) ?? '')
            if (profile?.isErased) {
              counts.sample(label, 'erased')
              continue
            }
            const sample = { id: table.eventId(row), ts, due, match: matchHash(column.match(row)) }
            const found = settle(sample, profile?.outcomes(label) ?? [], rules!)
            if (!found) {
              counts.sample(label, 'unlabelled')
              continue
            }
            const kind = found.isLearned ? 'example' : 'settled'
            const { y: value, weight, outcomeTime } = found
            settled.push({ table, labelled: { label, kind, row, value, weight, outcomeTime } })
            counts.sample(label, kind)
            if (outcomeTime !== undefined) counts.positive(label)
          }
        }
      }
      const changed = new Map(samples.length > 0 ? [[CLOCKS_KEY, clocks.encode()] as const] : [])
      return { changed, work: { settled, counts } }
    },
    async outputs({ settled, counts }) {
      const outputs = []
      for (const { table, labelled } of settled) outputs.push(await exampleRecord(options.examples, table, labelled))
      counts.report(metrics)
      return outputs
    },
    poison: (record, message) => deadLetter(record, { code: 'POISON', path: '', message }, topics.deadXdm),
  }
}

/** Time that each partition must have passed before every sample of the records is settled. */
function neededTimes(samples: readonly SampleRecord[], labels: readonly CompiledLabel[]): Map<number, number> {
  const needed = new Map<number, number>()
  for (const { table } of samples) {
    for (const { name, rules } of labels) {
      const column = table.label(name)
      if (!column) continue
      for (let row = 0; row < table.rows; row++) {
        if (!column.isSample(row)) continue
        const until = dueTime(table.eventTime(row), table.processedAt(row)) + keptMs(rules!)
        const partition = table.partition(row)
        if (until > (needed.get(partition) ?? Number.NEGATIVE_INFINITY)) needed.set(partition, until)
      }
    }
  }
  return needed
}

/** Whether the outcome stage, whose clocks these are, has passed the times. */
function hasCome(packed: Buffer | undefined, needed: ReadonlyMap<number, number>, idleMs: number): boolean {
  if (!packed) return needed.size === 0
  const clocks = StreamClocks.decode(packed, idleMs)
  for (const [partition, time] of needed) if (!(clocks.readyUntil(partition) > time)) return false
  return true
}

/**
 * What the profiles with samples did. Each piece is of one instant together with the clocks: a store that lost its tail
 * since the samples became due must not pass for one in which nothing came.
 * @throws RtmlError STORE_DOWN
 */
async function readOutcomes(
  store: FeatureStore,
  shard: Shard,
  samples: readonly SampleRecord[],
  labels: readonly CompiledLabel[],
  idleMs: number,
): Promise<Pick<LabelInput, 'outcomes' | 'outcomesAt'>> {
  const needed = neededTimes(samples, labels)
  const pseudonyms = [...samplesOf(samples, labels)]
  const outcomes = new Map<string, ProfileOutcomes>()
  let outcomesAt = Number.NEGATIVE_INFINITY
  for (let from = 0; from < pseudonyms.length; from += PEEK_KEYS_MAX - 1) {
    const piece = pseudonyms.slice(from, from + PEEK_KEYS_MAX - 1)
    const { position, states } = await store.peek(shard, [CLOCKS_KEY, ...piece])
    const [clocks, ...packed] = states
    if (position === undefined || !clocks || !hasCome(clocks, needed, idleMs)) {
      throw new RtmlError('STORE_DOWN', 'the outcomes went back behind samples that were due: they are being rebuilt', {
        place: `${shard.topic}[${shard.partition}]`,
      })
    }
    outcomesAt = Math.max(outcomesAt, StreamClocks.decode(clocks, idleMs).processedAt)
    piece.forEach((pseudonym, index) => {
      const bytes = packed[index]
      if (bytes) outcomes.set(pseudonym, ProfileOutcomes.decode(bytes))
    })
  }
  return { outcomes, outcomesAt }
}

function samplesOf(samples: readonly SampleRecord[], labels: readonly CompiledLabel[]): Set<string> {
  const pseudonyms = new Set<string>()
  for (const { table } of samples) {
    for (const { name } of labels) {
      const column = table.label(name)
      if (!column) continue
      for (let row = 0; row < table.rows; row++) {
        const pseudonym = column.isSample(row) ? table.pseudonym(row) : undefined
        if (pseudonym !== undefined) pseudonyms.add(pseudonym)
      }
    }
  }
  return pseudonyms
}
