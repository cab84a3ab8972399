/** Creating topics and comparing those that exist with what the application wants. */
import type { Admin } from 'kafkajs'
import type { TopicProblem, TopicSpec } from '../ports.ts'
import { isRefused } from './protocol/errors.ts'

const CLEANUP = { delete: 'delete', compact: 'compact', 'compact+delete': 'compact,delete' } as const
const KEPT_FOR_EVER = '-1'
/** `ConfigResourceTypes.TOPIC` of kafkajs, an export that Node's import of CommonJS doesn't see. */
const TOPIC_RESOURCE = 2

/** Settings of a spec, by Kafka's names. */
function settingsOf(spec: TopicSpec): Record<'cleanup.policy' | 'retention.ms', string> {
  return {
    'cleanup.policy': CLEANUP[spec.cleanup],
    // Retention means nothing to a compacted topic, but an explicit value survives a change of the broker's default.
    'retention.ms': spec.retentionMs === undefined ? KEPT_FOR_EVER : String(spec.retentionMs),
  }
}

/** What a broker says of one topic that it doesn't create. */
interface Refusal {
  readonly topic: string
  readonly type: string
}

/** A topic that came into being meanwhile. */
const EXISTS = 'TOPIC_ALREADY_EXISTS'
/** Refusals that pass by themselves. */
const PASSING: ReadonlySet<string> = new Set(['NOT_CONTROLLER', 'REQUEST_TIMED_OUT', 'THROTTLING_QUOTA_EXCEEDED'])

/**
 * Creates topics.
 * @returns why, for each topic that the broker will not create for us
 */
export async function createTopics(
  admin: Admin,
  specs: readonly TopicSpec[],
  options: { replicationFactor: number; timeoutMs: number },
): Promise<Map<string, string>> {
  if (specs.length === 0) return new Map()
  try {
    await admin.createTopics({
      timeout: options.timeoutMs,
      // kafkajs waits by asking once a second or so, and fails when a topic is not known everywhere yet.
      waitForLeaders: false,
      topics: specs.map((spec) => ({
        topic: spec.topic,
        numPartitions: spec.partitions,
        replicationFactor: options.replicationFactor,
        configEntries: Object.entries(settingsOf(spec)).map(([name, value]) => ({ name, value })),
      })),
    })
    return new Map()
  } catch (error) {
    const refusals = refusalsOf(error).filter(({ type }) => type !== EXISTS)
    if (refusals.length === 0 || refusals.some(({ type }) => PASSING.has(type))) throw error
    return new Map(refusals.map(({ topic, type }) => [topic, type]))
  }
}

function refusalsOf(error: unknown): Refusal[] {
  if (!(error instanceof Error) || !('errors' in error) || !Array.isArray(error.errors)) return []
  return error.errors.filter(
    (one: unknown): one is Refusal =>
      one instanceof Error && 'topic' in one && 'type' in one && typeof one.type === 'string',
  )
}

/** A topic that doesn't exist and that we can't make. */
export function absent({ topic, partitions }: TopicSpec, why: string): TopicProblem {
  const wanted = `a topic of ${partitions} partitions`
  return { topic, setting: 'existence', wanted, found: `none, and it cannot be created: ${why}`, fatal: true }
}

export interface FoundTopic {
  readonly partitions: number
  readonly settings: ReadonlyMap<string, string>
}

export async function describeTopics(admin: Admin, topics: readonly string[]): Promise<Map<string, FoundTopic>> {
  if (topics.length === 0) return new Map()
  const { topics: found } = await admin.fetchTopicMetadata({ topics: [...topics] })
  const { resources } = await admin
    .describeConfigs({
      includeSynonyms: false,
      resources: topics.map((name) => ({ type: TOPIC_RESOURCE, name })),
    })
    .catch((error: unknown) => {
      // Without DESCRIBE_CONFIGS only the number of partitions is checked.
      if (isRefused(error)) return { resources: [] }
      throw error
    })
  const settings = new Map(
    resources.map(({ resourceName, configEntries }) => [
      resourceName,
      new Map(configEntries.map(({ configName, configValue }) => [configName, configValue])),
    ]),
  )
  return new Map(
    found.map(({ name, partitions }) => [
      name,
      { partitions: partitions.length, settings: settings.get(name) ?? new Map<string, string>() },
    ]),
  )
}

/** How an existing topic differs from its spec. */
export function compare(spec: TopicSpec, found: FoundTopic): TopicProblem[] {
  const { topic } = spec
  const problems: TopicProblem[] = []
  if (found.partitions !== spec.partitions) {
    const [wanted, there] = [String(spec.partitions), String(found.partitions)]
    problems.push({ topic, setting: 'partitions', wanted, found: there, fatal: true })
  }
  for (const [setting, wanted] of Object.entries(settingsOf(spec))) {
    const there = found.settings.get(setting)
    if (there === undefined || sameSetting(there, wanted)) continue
    problems.push({ topic, setting, wanted, found: there, fatal: false })
  }
  return problems
}

/** Lists are sets: `delete,compact` is `compact,delete`. */
function sameSetting(a: string, b: string): boolean {
  const sorted = (text: string) =>
    text
      .split(',')
      .map((one) => one.trim())
      .sort()
      .join(',')
  return sorted(a) === sorted(b)
}
