/** What the label join must have made of the samples that are in the log, told in the plainest way. */
import { isNegativeLearned } from '../../processors/learner/labels/joiner.ts'
import { decodeExample, SampleTable, type TrainingExample } from '../../processors/outputs/index.ts'
import type { Plan } from '../../processors/topology.ts'
import type { SimLog } from './sim-log.ts'

interface Row {
  readonly id: string
  readonly pseudonym: string
  readonly ts: number
  readonly due: number
  /** Time of its partition when it came, itself included. */
  readonly time: number
  readonly isSample: boolean
  readonly value: number
  readonly match: string
  /** Features and scores, as they were served. */
  readonly served: string
}

const KIND = { true: 'example', false: 'settled' } as const

/** Every example that is missing, too many or other than it must be. */
export function checkLabels({ labels, topics }: Plan, log: SimLog): string[] {
  const expected = new Map<string, number>()
  for (const { name, rules } of labels) {
    for (const rows of partitionsOf(log, topics.samples, name)) {
      for (const line of expectedOf(name, rows, rules!)) expected.set(line, (expected.get(line) ?? 0) + 1)
    }
  }
  const found = new Map<string, number>()
  for (const { value, key } of log.all(topics.examples)) {
    const example = decodeExample(value!)
    if (key?.toString() !== example.pseudonym) return [`training.examples: ${example.eventId} is keyed by ${key}`]
    const line = lineOf(example, servedOf(example))
    found.set(line, (found.get(line) ?? 0) + 1)
  }
  const problems: string[] = []
  for (const [line, count] of expected) {
    const has = found.get(line) ?? 0
    if (has !== count) problems.push(`training.examples: ${line} is there ${has} times, not ${count}`)
  }
  for (const line of found.keys())
    if (!expected.has(line)) problems.push(`training.examples: ${line} must not be there`)
  return problems
}

function expectedOf(
  label: string,
  rows: readonly Row[],
  rules: NonNullable<Plan['labels'][number]['rules']>,
): string[] {
  const keptMs = rules.windowMs + rules.latenessMs
  const end = Math.max(...rows.map(({ time }) => time))
  const lines: string[] = []
  for (const row of rows) {
    if (!row.isSample || row.due < row.time - keptMs) continue
    const { id: eventId, ts } = row
    // The same rules as the label page: after the sample and in its window, come before it was settled, each id once.
    const found = rows
      .filter((it) => it.pseudonym === row.pseudonym && it.match === row.match && !Number.isNaN(it.value))
      .filter((it) => it.ts > ts && it.ts <= ts + rules.windowMs && it.ts > it.time - keptMs)
      .filter((it, at, all) => all.findIndex(({ id }) => id === it.id) === at)
      .sort((a, b) => a.ts - b.ts)
    const inTime = found.filter(({ time }) => time <= row.due + keptMs)
    const isLearned = isNegativeLearned(eventId, rules.negatives)
    const say = (kind: TrainingExample['kind'], value: number, weight: number, outcomeTime: number | undefined) =>
      lines.push(lineOf({ label, kind, eventId, value, weight, outcomeTime: outcomeTime ?? null }, row.served))
    const isWaitedFor = rules.policy === 'wait'
    if (!isWaitedFor && isLearned) say('copy', 0, 1 / rules.negatives, undefined)
    const first = arrivedFirst(found, row, rows, keptMs)
    if (!isWaitedFor && first) say('copy', 1, 1, first.ts)
    if (!(end > row.due + keptMs)) continue
    if (inTime.length > 0) say(KIND[`${isWaitedFor}`], 1, 1, inTime[0]!.ts)
    else if (!isWaitedFor) say('settled', 0, 1, undefined)
    else say(KIND[`${isLearned}`], 0, isLearned ? 1 / rules.negatives : 1, undefined)
  }
  return lines
}

/** The outcome that gives the positive copy: the earliest of those that overtook the sample, else the first to come. */
function arrivedFirst(found: readonly Row[], sample: Row, rows: readonly Row[], keptMs: number): Row | undefined {
  const at = (row: Row) => rows.indexOf(row)
  const overtook = found.filter((it) => at(it) < at(sample))
  if (overtook.length > 0) return overtook[0]
  const [first] = [...found].sort((a, b) => at(a) - at(b))
  // Noted samples are forgotten when they are settled: what comes then finds nothing.
  return first && sample.ts + keptMs >= first.time ? first : undefined
}

const lineOf = (
  {
    label,
    kind,
    eventId,
    value,
    weight,
    outcomeTime,
  }: Omit<Partial<TrainingExample>, 'outcomeTime'> & {
    outcomeTime: number | null
  },
  served: string,
): string => [label, kind, eventId, value, weight, outcomeTime, served].join(' ')

const servedOf = ({ features, texts, scores }: Pick<TrainingExample, 'features' | 'texts' | 'scores'>): string =>
  `${features.toString('hex')} ${JSON.stringify([texts, scores])}`

/** Rows of each scored partition, in the order of the log. */
function partitionsOf(log: SimLog, topic: string, label: string): Row[][] {
  const partitions = new Map<number, Row[]>()
  for (const { value } of log.all(topic)) {
    // An order to forget somebody has no rows.
    if (value === null) continue
    const table = new SampleTable(value)
    const column = table.label(label)!
    for (let row = 0; row < table.rows; row++) {
      const rows = partitions.get(table.partition(row)) ?? []
      partitions.set(table.partition(row), rows)
      const ts = table.eventTime(row)
      const due = Math.min(ts, table.processedAt(row))
      rows.push({
        id: table.eventId(row),
        pseudonym: table.pseudonym(row)!,
        ts,
        due,
        time: Math.max(due, rows.at(-1)?.time ?? due),
        isSample: column.isSample(row),
        value: column.value(row),
        match: column.match(row),
        served: servedOf({ features: table.features(row), texts: table.texts(row), scores: table.scores(row) }),
      })
    }
  }
  return [...partitions.values()]
}
