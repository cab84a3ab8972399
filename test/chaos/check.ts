/**
 * Looks at what a run has left behind, from outside: topics as any subscriber reads them, Redis as any client does, and
 * compares both with the reference.
 */
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { Redis } from 'ioredis'
import { InferenceSession, Tensor } from 'onnxruntime-node'
import { groupOf, topicNames } from '../../processors/app/topics.ts'
import type { LogRecord } from '../../processors/engine/ports.ts'
import { decodeSamples, decodeScores, parseDeadLetter, unframe } from '../../processors/outputs/index.ts'
import { type Partitions, readAll } from './read.ts'
import { type Compiled, type Expected, expectedOf, type Row } from './reference.ts'

export interface Verdict {
  /** Raw records, repeated ones and broken ones included. */
  readonly events: number
  /** Events that were scored, each once if all is well. */
  readonly scored: number
  /** Values, states, orders and positions that differ from the reference. */
  readonly wrong: number
  /** Outputs that are missing. */
  readonly lost: number
  /** Outputs that are there more than once. */
  readonly duplicated: number
  /** Scores that a fallback stood in for: allowed, and rare, because the model's deadline is long. */
  readonly fallbacks: number
  /** The first differences, in words. */
  readonly examples: readonly string[]
  /** Append times of scores by partition of the input. */
  readonly progress: readonly (readonly number[])[]
}

/** Of each kind. */
const EXAMPLES_MAX = 10
const MODEL = fileURLToPath(new URL('../../models/bench/trees100x6.onnx', import.meta.url))
const MODEL_ROWS = 4_096
/** Its value is whatever it was at that moment, in another entity's shard. */
const FOREIGN = 'item_events'

class Count {
  wrong = 0
  lost = 0
  duplicated = 0
  readonly examples: string[] = []

  note(kind: 'wrong' | 'lost' | 'duplicated', what: string): void {
    this[kind]++
    if (this[kind] <= EXAMPLES_MAX) this.examples.push(`${kind}: ${what}`)
  }

  /** Everything expected is there exactly as often, and nothing else is. */
  compare(topic: string, found: Iterable<string>, expected: ReadonlyMap<string, number>): void {
    const counts = new Map<string, number>()
    for (const id of found) counts.set(id, (counts.get(id) ?? 0) + 1)
    for (const [id, times] of expected) {
      const has = counts.get(id) ?? 0
      if (has < times) this.note('lost', `${topic}: ${id} is there ${has} times, not ${times}`)
      if (has > times) this.note('duplicated', `${topic}: ${id} is there ${has} times, not ${times}`)
    }
    for (const id of counts.keys()) if (!expected.has(id)) this.note('wrong', `${topic}: ${id} should not be there`)
  }
}

export interface Place {
  readonly kafka: { brokers: string[] }
  readonly redisUrl: string
  readonly compiled: Compiled
  /** Raw records that the broker has acknowledged. */
  readonly accepted: number
}

export async function check({ kafka, redisUrl, compiled, accepted }: Place): Promise<Verdict> {
  const count = new Count()
  const topics = topicNames(compiled.app)
  const item = topics.entity('item')
  const names = [topics.raw('web'), topics.events, item, topics.scores, topics.samples, topics.deadRaw, topics.deadXdm]
  const logs = await readAll(kafka, names)
  const of = (topic: string): Partitions => logs.get(topic)!
  const raw = of(topics.raw('web'))
  const events = raw.flat().length
  if (events < accepted) count.note('lost', `the broker has ${events} raw records of ${accepted} that it accepted`)

  const expected = expectedOf(compiled, { raw, events: of(topics.events), item: of(item) })
  checkMapped(compiled, expected, of(topics.events), count)
  const once = new Map([...expected.rows.keys()].map((id) => [id, 1]))
  const scores = scoresOf(of(topics.scores).flat())
  count.compare('profile.scores', scores.ids, once)
  const cells = of(item).flat()
  const cellIds = cells.map((record) => `${record.key} ${idOf(compiled, record)}`)
  count.compare('entity.item', cellIds, new Map([...expected.cells].map((cell) => [cell, 1])))
  const places = (records: readonly LogRecord[]) => new Map(records.map((record) => [placeOf(record), 1]))
  count.compare('dlq.raw', deadOf(of(topics.deadRaw)), places(expected.deadRaw))
  count.compare('dlq.xdm', deadOf(of(topics.deadXdm)), places(expected.late))
  const sampled = await checkSamples(compiled, expected, of(topics.samples), scores.byId, cells.length, count)
  count.compare('samples', sampled, once)
  await checkStore(compiled, redisUrl, expected, count)

  const { wrong, lost, duplicated, examples } = count
  const progress = of(topics.scores).map((records) => records.map(({ timestamp }) => timestamp as number))
  for (const times of progress) times.sort((a, b) => a - b)
  return { events, scored: scores.byId.size, wrong, lost, duplicated, fallbacks: scores.fallbacks, examples, progress }
}

const idOf = ({ schema }: Compiled, record: LogRecord) => schema.decode(unframe(record.value!)!.payload).id

const placeOf = ({ topic, partition, offset }: Pick<LogRecord, 'topic' | 'partition' | 'offset'>) =>
  `${topic}[${partition}]@${offset}`

const deadOf = (partitions: Partitions) =>
  partitions.flat().map((record) => {
    const letter = parseDeadLetter(record)
    return letter ? placeOf(letter) : `${placeOf(record)}, which can't be read`
  })

/** xdm.events against raw records: each is there as often as it was sent, says the same, and overtook nobody of its kind. */
function checkMapped(compiled: Compiled, expected: Expected, events: Partitions, count: Count): void {
  const found: string[] = []
  const at = new Map<string, number>()
  for (const record of events.flat()) {
    const event = compiled.schema.decode(unframe(record.value!)!.payload)
    found.push(event.id)
    at.set(event.id, record.offset)
    const raw = expected.raw.get(event.id)?.[0]?.event
    if (!raw) continue
    const product = (event.xdm.productListItems as { SKU?: string; priceTotal?: number }[] | undefined)?.[0]
    const isSame =
      event.key === `ECID:${raw.visitor}` &&
      event.key === record.key?.toString() &&
      event.ts === raw.time &&
      event.xdm.eventType === raw.type &&
      product?.SKU === raw.sku &&
      product?.priceTotal === raw.amount
    if (!isSame) count.note('wrong', `xdm.events: ${event.id} differs from what was sent`)
  }
  count.compare('xdm.events', found, new Map([...expected.raw].map(([id, list]) => [id, list.length])))
  const newest = new Map<string, number>()
  const alone = [...expected.raw.values()].filter((list) => list.length === 1).map(([only]) => only!)
  alone.sort((a, b) => a.record.partition - b.record.partition || a.record.offset - b.record.offset)
  for (const { event, record } of alone) {
    const line = `${record.partition} ${event.visitor}`
    const position = at.get(event.id)
    if (position === undefined) continue
    if (position < (newest.get(line) ?? -1)) count.note('wrong', `xdm.events: ${event.id} overtook an earlier event`)
    newest.set(line, position)
  }
}

function scoresOf(records: readonly LogRecord[]) {
  const ids: string[] = []
  const byId = new Map<string, number>()
  let fallbacks = 0
  for (const { value } of records) {
    const { eventId, scores } = decodeScores(value!)
    ids.push(eventId)
    const [score] = scores
    if (score?.fallback !== 'none') fallbacks++
    byId.set(eventId, score?.fallback === 'none' ? score.score : Number.NaN)
  }
  return { byId, fallbacks, ids }
}

/** @returns event ids of all rows */
async function checkSamples(
  { app, featureSet }: Compiled,
  expected: Expected,
  samples: Partitions,
  scores: ReadonlyMap<string, number>,
  cells: number,
  count: Count,
): Promise<string[]> {
  const ids: string[] = []
  const own = featureSet.columns.filter(({ feature }) => feature !== FOREIGN)
  const order = (app.models.trees!.inputs as readonly string[]).flatMap((name) =>
    own.filter(({ feature }) => feature === name),
  )
  const model = await InferenceSession.create(readFileSync(MODEL))
  let asked: { row: Row; score: number }[] = []
  const ask = async () => {
    await compareScores(
      model,
      asked,
      order.map(({ index }) => index),
      count,
    )
    asked = []
  }
  for (const { value } of samples.flat()) {
    const { table, rows } = decodeSamples(value!)
    const idColumn = table.getChild('event_id')!
    const scoreColumn = table.getChild('score.trees')!
    const foreign = table.getChild(FOREIGN)!
    const columns = own.map((column) => [column, table.getChild(column.name)!] as const)
    for (let at = 0; at < rows; at++) {
      const id = idColumn.get(at) as string
      ids.push(id)
      const row = expected.rows.get(id)
      if (!row) continue
      for (const [{ name, index }, column] of columns) {
        const want = row.vector.floats[index]!
        if (!Object.is(column.get(at), want))
          count.note('wrong', `samples: ${name} of ${id} is ${column.get(at)}, the reference has ${want}`)
      }
      const items = foreign.get(at) as number
      if (!(Number.isInteger(items) && items >= 0 && items <= cells))
        count.note('wrong', `samples: ${FOREIGN} of ${id} is ${items}, which it never was`)
      const score = scores.get(id)
      if (score === undefined || Number.isNaN(score)) continue
      if (scoreColumn.get(at) !== score)
        count.note('wrong', `${id} has score ${score}, and ${scoreColumn.get(at)} in samples`)
      asked.push({ row, score })
      if (asked.length === MODEL_ROWS) await ask()
    }
  }
  await ask()
  return ids
}

/** Asks the model about the reference's vectors. */
async function compareScores(
  model: InferenceSession,
  asked: readonly { row: Row; score: number }[],
  inputs: readonly number[],
  count: Count,
): Promise<void> {
  if (asked.length === 0) return
  const data = new Float32Array(asked.length * inputs.length)
  asked.forEach(({ row }, at) => {
    inputs.forEach((index, input) => {
      data[at * inputs.length + input] = row.vector.floats[index]!
    })
  })
  const answer = await model.run({ X: new Tensor('float32', data, [asked.length, inputs.length]) })
  const values = answer[model.outputNames[0]!]!.data as Float32Array
  asked.forEach(({ row, score }, at) => {
    // Batches of another size may add up in another order.
    if (Math.abs(values[at]! - score) > 1e-5 * Math.max(1, Math.abs(score)))
      count.note('wrong', `${row.event.id} has score ${score}, the model says ${values[at]}`)
  })
}

/** States byte for byte; positions at the end of what was read; nothing left to publish. */
async function checkStore({ app }: Compiled, redisUrl: string, expected: Expected, count: Count): Promise<void> {
  const topics = topicNames(app)
  const redis = new Redis(redisUrl)
  try {
    const stages = [
      { name: 'profile', topic: topics.events, states: expected.profiles },
      { name: 'entity.item', topic: topics.entity('item'), states: expected.items },
    ]
    for (const { name, topic, states } of stages) {
      for (const [partition, wanted] of states.entries()) {
        const shard = `rtml:{${groupOf(app, name)}:${topic}:${partition}}`
        const found = await statesOf(redis, `${shard}:s:`)
        for (const [key, packed] of wanted) {
          const state = found.get(key)
          if (!state) count.note('lost', `${name}[${partition}]: no state of ${key}`)
          else if (!state.equals(packed)) count.note('wrong', `${name}[${partition}]: the state of ${key} differs`)
        }
        for (const key of found.keys())
          if (!wanted.has(key)) count.note('wrong', `${name}[${partition}]: a state of ${key}, which has none`)
        const waiting = await redis.xlen(`${shard}:o`)
        if (waiting > 0) count.note('wrong', `${name}[${partition}]: ${waiting} entries were left in the outbox`)
        const isRestoring = await redis.hexists(`${shard}:m`, 'r')
        if (isRestoring) count.note('wrong', `${name}[${partition}]: a restore was left unfinished`)
      }
    }
  } finally {
    redis.disconnect()
  }
}

async function statesOf(redis: Redis, prefix: string): Promise<Map<string, Buffer>> {
  const found = new Map<string, Buffer>()
  const pattern = `${prefix.replace(/[\\*?[\]^-]/g, '\\$&')}*`
  let cursor = '0'
  do {
    const [next, keys] = await redis.scan(cursor, 'MATCH', pattern, 'COUNT', 1_000)
    const values = keys.length > 0 ? await redis.mgetBuffer(...keys) : []
    keys.forEach((key, at) => {
      const value = values[at]
      if (value) found.set(key.slice(prefix.length), value)
    })
    cursor = next
  } while (cursor !== '0')
  return found
}
