import { groupOf } from '../../processors/app/topics.ts'
import type { LogRecord } from '../../processors/engine/ports.ts'
import type { EntityKernel, FeatureSet } from '../../processors/features/types.ts'
import {
  decodeSamples,
  decodeScores,
  type ProfileScores,
  parseDeadLetter,
  parseErased,
  unframe,
} from '../../processors/outputs/index.ts'
import type { Plan } from '../../processors/topology.ts'
import { COMMON_FEATURES, expectedScore, INPUTS, PRIOR } from './application.ts'
import { type Dead, type Reference, referenceOf } from './reference.ts'
import type { SimLog } from './sim-log.ts'
import type { SimStore } from './sim-store.ts'

export interface Checked {
  readonly plan: Plan
  /** Kernels of the common features that know the layouts of all versions. */
  readonly featureSet: FeatureSet
  readonly log: SimLog
  readonly store: SimStore
  readonly isFused: boolean
  readonly publishesFused: boolean
  /** At least once: outputs may repeat. */
  readonly mayRepeat: boolean
  /** The run ended with a reported loss: what did come out must be right, but need not be all. */
  readonly isPartial: boolean
}

/** Every rule that the final log and store break. Empty = all well. */
export function check(world: Checked): string[] {
  const { plan, log, store, isFused } = world
  const { topics, app } = plan
  const logs = {
    raw: log.partitions(topics.raw('web')).map(({ all }) => all),
    events: log.partitions(topics.events).map(({ all }) => all),
    item: log.partitions(topics.entity('item')).map(({ all }) => all),
  }
  const reference = referenceOf(plan, world.featureSet, isFused, logs)
  const problems = [...log.violations, ...store.violations]
  if (!isFused) problems.push(...checkMapped(world, reference))
  problems.push(...checkOutputs(world, reference))
  problems.push(...checkDead(world, log.all(topics.deadRaw), reference.deadRaw, 'dlq.raw'))
  problems.push(...checkDead(world, log.all(topics.deadXdm), reference.deadXdm, 'dlq.xdm'))
  if (world.isPartial) return problems
  const profileTopic = isFused ? topics.raw('web') : topics.events
  const shards = [
    { name: 'profile', topic: profileTopic, states: reference.profiles, prefix: 8 },
    { name: 'entity.item', topic: topics.entity('item'), states: reference.items, prefix: 0 },
  ]
  for (const { name, topic, states, prefix } of shards) {
    const kernel = world.featureSet.entities.get(prefix > 0 ? 'profile' : 'item')!
    states.forEach((expected, partition) => {
      const found = store.shard({ group: groupOf(app, name), topic, partition }).states
      problems.push(...compareStates(`${name}[${partition}]`, found, expected, kernel, prefix))
    })
  }
  return problems
}

/** States of whatever version, as states of the common features; with one version that changes nothing. */
function compareStates(
  shard: string,
  found: ReadonlyMap<string, Buffer>,
  expected: ReadonlyMap<string, Buffer>,
  kernel: EntityKernel,
  prefix: number,
): string[] {
  const problems: string[] = []
  for (const [key, want] of expected) {
    const packed = found.get(key)
    if (!packed) problems.push(`${shard}: no state of ${key}`)
    else if (!migrated(kernel, packed, prefix).equals(want)) problems.push(`${shard}: the state of ${key} differs`)
  }
  for (const key of found.keys()) if (!expected.has(key)) problems.push(`${shard}: a state of ${key}, which has none`)
  return problems
}

function migrated(kernel: EntityKernel, packed: Buffer, prefix: number): Buffer {
  if (packed.readUInt32LE(prefix) === kernel.layout.id) return packed
  return Buffer.concat([packed.subarray(0, prefix), kernel.encode(kernel.decode(packed.subarray(prefix)))])
}

function checkMapped(world: Checked, { mapped }: Reference): string[] {
  const problems: string[] = []
  const { plan, log } = world
  const counts = new Map<string, number>()
  const last = new Map<string, number>()
  for (const record of log.all(plan.topics.events)) {
    if (record.headers['rtml-source'] === undefined) continue
    const id = `${record.key} ${plan.schema.decode(unframe(record.value!)!.payload).id}`
    counts.set(id, (counts.get(id) ?? 0) + 1)
    last.set(id, record.offset)
  }
  const expected = new Map<string, number>()
  for (const { key, event } of mapped) expected.set(`${key} ${event.id}`, (expected.get(`${key} ${event.id}`) ?? 0) + 1)
  compareCounts('xdm.events', counts, expected, world, problems)
  if (world.mayRepeat || world.isPartial) return problems
  // One raw partition's events keep their order within each partition that they go to.
  const newest = new Map<string, number>()
  for (const { key, event, raw } of mapped) {
    if (expected.get(`${key} ${event.id}`) !== 1) continue
    const target = `${raw.partition} ${key}`
    const at = last.get(`${key} ${event.id}`) ?? Number.POSITIVE_INFINITY
    if (at < (newest.get(target) ?? -1)) problems.push(`xdm.events: ${event.id} overtook an earlier event of ${key}`)
    newest.set(target, at)
  }
  return problems
}

function compareCounts(
  topic: string,
  found: ReadonlyMap<string, number>,
  expected: ReadonlyMap<string, number>,
  { mayRepeat, isPartial }: Checked,
  problems: string[],
): void {
  for (const [id, count] of expected) {
    const has = found.get(id) ?? 0
    if (has < count && !isPartial) problems.push(`${topic}: ${id} is there ${has} times, not ${count}`)
    if (has > count && !mayRepeat) problems.push(`${topic}: ${id} is there ${has} times, not ${count}`)
  }
  for (const id of found.keys()) if (!expected.has(id)) problems.push(`${topic}: ${id} should not be there`)
}

function checkOutputs(world: Checked, reference: Reference): string[] {
  const problems: string[] = []
  const { plan, log } = world
  const { topics } = plan
  const once = new Map([...reference.rows].map(([id, rows]) => [id, rows.length]))

  const scores = log.all(topics.scores).flatMap(({ value }) => (value ? [decodeScores(value)] : []))
  compareCounts('profile.scores', countsOf(scores.map(({ eventId }) => eventId)), once, world, problems)
  // An order to forget somebody has no rows.
  const samples = log.all(topics.samples).flatMap(({ value }) => (value ? sampleRows(value) : []))
  compareCounts('samples', countsOf(samples.map(({ id }) => id)), once, world, problems)

  problems.push(...checkErasures(world, reference))

  const cells = new Map<string, number>()
  for (const { event } of [...reference.rows.values()].flat()) {
    for (const key of world.featureSet.entities.get('item')!.keys(event)) {
      cells.set(`${key} ${event.id}`, (cells.get(`${key} ${event.id}`) ?? 0) + 1)
    }
  }
  const items = log.all(topics.entity('item')).flatMap((it) => (it.value ? [`${it.key} ${idOf(plan, it)}`] : []))
  compareCounts('entity.item', countsOf(items), cells, world, problems)
  if (world.isFused) {
    const published = log.all(topics.events).map((it) => idOf(plan, it))
    compareCounts('xdm.events', countsOf(published), world.publishesFused ? once : new Map(), world, problems)
  }

  const itemsMax = items.length
  const rowOf = new Map<string, SampleRow[]>()
  for (const row of samples) {
    problems.push(...checkSample(row, reference, world.featureSet, itemsMax))
    rowOf.set(row.id, [...(rowOf.get(row.id) ?? []), row])
  }
  const arms = new Map<string, string>()
  for (const score of scores) {
    const rows = rowOf.get(score.eventId) ?? []
    // A copy that comes after its person was forgotten counts anew, and may be in the same batch: either row may be the score's.
    const right = rows.filter((row) => row.processedAt === score.processedAt)
    const found = (right.length > 0 ? right : [rows[0]]).map((row) => checkScore(score, row, arms))
    problems.push(...found.reduce((least, some) => (some.length < least.length ? some : least)))
  }
  return problems
}

/** Each order has its answer, its tombstone among the scores and its order to the item, once; and nothing of before comes after. */
function checkErasures(world: Checked, { erased, rows }: Reference): string[] {
  const { plan, log } = world
  const { topics } = plan
  const problems: string[] = []
  const placeOf = (record: LogRecord) => `${record.topic}[${record.partition}]@${record.offset}`
  const expected = new Map(erased.map((record) => [placeOf(record), 1]))
  const answers = log.all(topics.control).map((record) => parseErased(record)!.place)
  compareCounts('control', countsOf(answers), expected, world, problems)
  const tombstones = log.all(topics.scores).filter(({ value }) => value === null)
  const keys = countsOf(erased.map(({ key }) => key!.toString()))
  compareCounts(
    'profile.scores tombstones',
    countsOf(tombstones.map(({ key }) => key!.toString())),
    keys,
    world,
    problems,
  )
  if (world.mayRepeat || world.isPartial) return problems
  for (const partition of log.partitions(topics.scores)) {
    const forgotten = new Map<string, number>()
    for (const { key, value } of partition.all) {
      const name = key!.toString()
      if (value === null) {
        forgotten.set(name, (forgotten.get(name) ?? 0) + 1)
        continue
      }
      const count = forgotten.get(name) ?? 0
      const order = erased.filter((it) => it.key!.toString() === name)[count - 1]
      const row = rows.get(decodeScores(value).eventId)?.at(-1)
      if (order && row && row.record.offset < order.offset)
        problems.push(`profile.scores: ${row.event.id} comes after ${name} was forgotten`)
    }
  }
  return problems
}

const countsOf = (ids: readonly string[]): Map<string, number> => {
  const counts = new Map<string, number>()
  for (const id of ids) counts.set(id, (counts.get(id) ?? 0) + 1)
  return counts
}

const idOf = (plan: Plan, record: LogRecord): string => plan.schema.decode(unframe(record.value!)!.payload).id

interface SampleRow {
  readonly id: string
  readonly processedAt: number
  readonly partition: number
  readonly position: number
  readonly values: ReadonlyMap<string, number>
}

const READ = [...COMMON_FEATURES, 'item_views']

function sampleRows(value: Buffer): SampleRow[] {
  const { table, rows } = decodeSamples(value)
  const ids = table.getChild('event_id')!
  const times = table.getChild('processed_at')!
  const partitions = table.getChild('partition')!
  const positions = table.getChild('position')!
  const columns = READ.map((name) => [name, table.getChild(name)!] as const)
  return Array.from({ length: rows }, (_, at) => ({
    id: ids.get(at) as string,
    processedAt: Number(times.get(at)),
    partition: Number(partitions.get(at)),
    position: Number(positions.get(at)),
    values: new Map(columns.map(([name, column]) => [name, column.get(at) as number])),
  }))
}

function checkSample(row: SampleRow, { rows }: Reference, { columns }: FeatureSet, itemsMax: number): string[] {
  const problems: string[] = []
  const same = rows.get(row.id) ?? []
  const reference = same.find(({ record }) => record.offset === row.position) ?? same[0]
  if (!reference) return problems
  const { record, vector } = reference
  if (row.partition !== record.partition) problems.push(`samples: ${row.id} names partition ${row.partition}`)
  for (const { name, index } of columns) {
    if (name === 'item_views') continue
    const found = row.values.get(name)
    const want = vector.floats[index]!
    if (!Object.is(found, want)) problems.push(`samples: ${name} of ${row.id} is ${found}, the reference has ${want}`)
  }
  const views = row.values.get('item_views')!
  if (!Number.isInteger(views) || views < 0 || views > itemsMax)
    problems.push(`samples: item_views of ${row.id} is ${views}, which it never was`)
  return problems
}

function checkScore(record: ProfileScores, row: SampleRow | undefined, arms: Map<string, string>): string[] {
  const problems: string[] = []
  const { eventId, scores, profile } = record
  const versions = new Set(scores.map(({ version }) => version))
  if (versions.size > 1) problems.push(`${eventId} was scored by versions ${[...versions].join(' and ')}`)
  const roles = scores.map(({ role }) => role)
  const serving = roles.filter((role) => role !== 'shadow')
  if (serving.length !== 1) problems.push(`${eventId} has ${serving.length} scores that serve`)
  if (roles.length - serving.length > 1)
    problems.push(`${eventId} has ${roles.length - serving.length} shadows' scores`)
  const arm = arms.get(profile.id) ?? serving[0]
  if (arm !== serving[0]) problems.push(`${profile.id} was scored by ${arm} and by ${serving[0]}`)
  if (arm) arms.set(profile.id, arm)
  if (!row) return problems
  const inputs = INPUTS.map((name) => row.values.get(name)!)
  for (const { model, version, score, fallback } of scores) {
    const want = fallback === 'none' ? expectedScore(model, version, inputs) : PRIOR
    if (score !== want) problems.push(`${model}@${version} of ${eventId} is ${score} (${fallback}), not ${want}`)
  }
  return problems
}

function checkDead(world: Checked, records: readonly LogRecord[], expected: readonly Dead[], topic: string): string[] {
  const problems: string[] = []
  const wanted = new Map(expected.map((dead) => [placeOf(dead.record, dead.code), dead.record]))
  const found = new Map<string, number>()
  for (const record of records) {
    const letter = parseDeadLetter(record)
    if (!letter) {
      problems.push(`${topic}: a dead letter that can't be read`)
      continue
    }
    const place = placeOf(letter, letter.rejection.code)
    found.set(place, (found.get(place) ?? 0) + 1)
    const original = wanted.get(place)
    if (original && !(same(letter.key, original.key) && same(letter.value, original.value)))
      problems.push(`${topic}: the bytes of ${place} are not the original ones`)
  }
  compareCounts(topic, found, countsOf([...wanted.keys()]), world, problems)
  return problems
}

const placeOf = ({ topic, partition, offset }: Pick<LogRecord, 'topic' | 'partition' | 'offset'>, code: string) =>
  `${code} ${topic}[${partition}]@${offset}`

const same = (a: Buffer | null, b: Buffer | null) => (a === null || b === null ? a === b : a.equals(b))
