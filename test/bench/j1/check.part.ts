/**
 * Looks at what a run has written, from outside: reads the raw records, `profile.scores` and `samples` with Avro's and
 * Arrow's own libraries, and knows nothing of the runtime. Every id must have been scored exactly once, every row of
 * samples must hold the expected features, and the model must say the same of them again.
 */
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { tableFromIPC } from 'apache-arrow'
import avro from 'avsc'
import { InferenceSession, Tensor } from 'onnxruntime-node'
import { loadApplication } from '../../../processors/app/load.ts'
import { epochMs, type Offset, offset } from '../../../processors/app/units.ts'
import type { Engine, LogRecord } from '../../../processors/engine/ports.ts'
import { referenceVectors } from '../../unit/features/reference.ts'
import { type PartOptions, part } from './children.ts'
import { openForLooking, topicOf } from './engine.ts'
import { ACTIVITY, COLUMNS, ExpectedProfile } from './expected.ts'
import { JOB, keyOf, type RawClick } from './job.ts'

export interface Checked {
  /** Ids whose score and features were compared. */
  readonly checked: number
  /** Ids that were not scored exactly once, or whose features or score differ. */
  readonly wrong: number
  /** Of the checked ones, those that were compared with the slow reference too. */
  readonly byReference: number
  /** Of the checked ones, those that the model was asked about again. */
  readonly byModel: number
  /** Append times of the first and the last score, epoch ms. */
  readonly firstScoreMs: number
  readonly lastScoreMs: number
  /** The first differences, in words. */
  readonly examples: readonly string[]
}

/** Profiles that the slow reference computes: one in so many, if they are no larger than it can take. */
const REFERENCE_SHARE = 50
const REFERENCE_EVENTS_MAX = 200
const MODEL_SHARE = 100
const EXAMPLES_MAX = 10
const TOLERANCE = 2e-6

const resolveHere = (path: string): string => fileURLToPath(new URL(path, import.meta.url))

interface Row {
  readonly columns: Float32Array
  readonly score: number | null
}

interface Seen {
  readonly profile: string
  readonly expected: Float32Array
  scores: number
  rows: number
  score: number
}

class Verdict {
  checked = 0
  byReference = 0
  byModel = 0
  firstScoreMs = Number.POSITIVE_INFINITY
  lastScoreMs = Number.NEGATIVE_INFINITY
  readonly examples: string[] = []
  readonly #wrong = new Set<string>()

  get wrong(): number {
    return this.#wrong.size
  }

  refuse(id: string, why: string): void {
    this.#wrong.add(id)
    if (this.examples.length < EXAMPLES_MAX) this.examples.push(`${id}: ${why}`)
  }
}

await part<Checked>(async (options) => {
  await using engine = await openForLooking(options)
  const model = await InferenceSession.create(resolveHere('../../../models/bench/trees100x6.onnx'))
  const verdict = new Verdict()
  for (let partition = 0; partition < JOB.partitions; partition++) {
    const { seen, clicks } = await expect(engine, options, partition)
    await checkScores(engine, options, partition, seen, verdict)
    const sampled = await checkSamples(engine, options, partition, seen, verdict)
    await askAgain(model, sampled, verdict)
    compareWithReference(clicks, seen, verdict)
    for (const [id, { scores, rows }] of seen) {
      if (scores !== 1) verdict.refuse(id, `${scores} scores`)
      if (rows !== 1) verdict.refuse(id, `${rows} rows of samples`)
    }
    verdict.checked += seen.size
  }
  const { checked, wrong, byReference, byModel, firstScoreMs, lastScoreMs, examples } = verdict
  return { checked, wrong, byReference, byModel, firstScoreMs, lastScoreMs, examples }
})

/** Expected columns of every id in a partition of the raw topic; and the records of profiles for the slow reference. */
async function expect(engine: Engine, options: PartOptions, partition: number) {
  const seen = new Map<string, Seen>()
  const profiles = new Map<string, ExpectedProfile>()
  const clicks = new Map<string, RawClick[]>()
  for await (const record of recordsOf(engine, topicOf(options, JOB.topic), partition)) {
    const click = JSON.parse(record.value!.toString()) as RawClick
    if (seen.has(click.id)) continue
    let profile = profiles.get(click.visitor)
    if (!profile) {
      profile = new ExpectedProfile()
      profiles.set(click.visitor, profile)
      if (profiles.size % REFERENCE_SHARE === 0) clicks.set(click.visitor, [])
    }
    clicks.get(click.visitor)?.push(click)
    seen.set(click.id, { profile: click.visitor, expected: profile.next(click), scores: 0, rows: 0, score: Number.NaN })
  }
  return { seen, clicks }
}

async function checkScores(
  engine: Engine,
  options: PartOptions,
  partition: number,
  seen: Map<string, Seen>,
  verdict: Verdict,
): Promise<void> {
  const types = new Map<number, avro.Type>()
  for await (const { value, key, timestamp } of recordsOf(engine, topicOf(options, 'profile.scores'), partition)) {
    const id = value!.readUInt32BE(1)
    let type = types.get(id)
    if (!type) {
      type = avro.Type.forSchema((await engine.registry.schema(id)) as avro.Schema)
      types.set(id, type)
    }
    const scored = type.fromBuffer(value!.subarray(5))
    verdict.firstScoreMs = Math.min(verdict.firstScoreMs, timestamp)
    verdict.lastScoreMs = Math.max(verdict.lastScoreMs, timestamp)
    const found = seen.get(scored.eventId)
    if (!found) {
      verdict.refuse(scored.eventId, 'scored, but nobody sent it')
      continue
    }
    found.scores++
    const [score, ...others] = scored.scores
    if (key!.toString() !== keyOf(found.profile)) verdict.refuse(scored.eventId, `scored under ${key}`)
    if (score?.model !== 'trees' || others.length > 0 || score.fallback !== 'none')
      verdict.refuse(scored.eventId, `scores are ${JSON.stringify(scored.scores)}`)
    else found.score = score.score
  }
}

/** @returns some rows for the model */
async function checkSamples(
  engine: Engine,
  options: PartOptions,
  partition: number,
  seen: Map<string, Seen>,
  verdict: Verdict,
): Promise<Row[]> {
  const sampled: Row[] = []
  let count = 0
  for (let from = 0; from < JOB.partitions; from++) {
    for await (const { value, key } of recordsOf(engine, topicOf(options, 'samples'), from)) {
      if (key!.toString() !== String(partition)) continue
      const table = tableFromIPC(value!)
      const ids = table.getChild('event_id')!
      const scores = table.getChild('score.trees')!
      const names = table.schema.fields.map(({ name }) => name)
      const first = names.indexOf('events_5m')
      const columns = Array.from(
        { length: COLUMNS },
        (_, at) => table.getChildAt(first + at)!.toArray() as Float32Array,
      )
      for (let row = 0; row < table.numRows; row++) {
        const id = ids.get(row) as string
        const found = seen.get(id)
        if (!found) {
          verdict.refuse(id, 'in samples, but nobody sent it')
          continue
        }
        found.rows++
        const score = scores.get(row) as number | null
        if (score !== found.score) verdict.refuse(id, `score ${found.score}, in samples ${score}`)
        const different = columns.findIndex((column, at) => !isSame(column[row]!, found.expected[at]!, at))
        if (different >= 0) {
          const got = columns[different]![row]
          verdict.refuse(id, `${names[first + different]} is ${got}, expected ${found.expected[different]}`)
        }
        if (count++ % MODEL_SHARE === 0) sampled.push({ columns: Float32Array.from(columns, (it) => it[row]!), score })
      }
    }
  }
  return sampled
}

function isSame(got: number, expected: number, column: number): boolean {
  if (column !== ACTIVITY) return got === expected
  return Math.abs(got - expected) <= TOLERANCE * Math.abs(expected)
}

/** The model's inputs are the columns, the first three of them twice. */
async function askAgain(model: InferenceSession, rows: readonly Row[], verdict: Verdict): Promise<void> {
  const inputs = COLUMNS + 3
  const data = new Float32Array(rows.length * inputs)
  for (const [index, { columns }] of rows.entries()) {
    data.set(columns, index * inputs)
    data.set(columns.subarray(0, 3), index * inputs + COLUMNS)
  }
  const answer = await model.run({ X: new Tensor('float32', data, [rows.length, inputs]) })
  const values = answer[model.outputNames[0]!]!.data as Float32Array
  for (const [index, { score }] of rows.entries()) {
    const again = values[index]!
    if (score === null || Math.abs(score - again) > 1e-5 * Math.max(1, Math.abs(again)))
      verdict.refuse(`row ${index}`, `score ${score}, the model says ${again}`)
  }
  verdict.byModel += rows.length
}

/** Holds the expectations against the slow reference of the unit tests. */
function compareWithReference(
  clicks: ReadonlyMap<string, readonly RawClick[]>,
  seen: ReadonlyMap<string, Seen>,
  verdict: Verdict,
): void {
  const file = resolveHere('rtml.yaml')
  const { app } = loadApplication(readFileSync(file, 'utf8'), { file, env: () => undefined })
  for (const [visitor, list] of clicks) {
    if (list.length > REFERENCE_EVENTS_MAX) continue
    const vectors = referenceVectors(
      app,
      list.map((click) => ({ id: click.id, ts: epochMs(click.time), key: keyOf(visitor), xdm: xdmOf(click) })),
    )
    for (const [index, { updated, vector }] of vectors.entries()) {
      const { id } = list[index]!
      const expected = seen.get(id)!.expected
      const different = vector.floats.findIndex((value, at) => !isSame(value, expected[at]!, at))
      if (updated !== 'applied' || different >= 0)
        verdict.refuse(
          id,
          `the slow reference says ${updated}, column ${different} ${vector.floats[different]}, not ${expected[different]}`,
        )
    }
    verdict.byReference += list.length
  }
}

/** What the mapping of rtml.yaml says, by hand. */
function xdmOf({ id, time, type, sku, amount }: RawClick) {
  const item = sku === undefined ? {} : { productListItems: [{ SKU: sku, priceTotal: amount }] }
  return { _id: id, timestamp: new Date(time).toISOString(), eventType: type, ...item }
}

async function* recordsOf(engine: Engine, topic: string, partition: number): AsyncGenerator<LogRecord> {
  const bounds = (await engine.log.bounds(topic))[partition]
  if (!bounds) throw new Error(`${topic} has no partition ${partition}`)
  const start: Offset = offset(0)
  if (bounds.end === 0) return
  for await (const run of engine.log.read({ topic, partition }, start, { until: bounds.end })) yield* run.records
}
