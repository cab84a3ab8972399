import { Command } from 'commander'
import { topicNames } from '../app/topics.ts'
import { epochMs, offset } from '../app/units.ts'
import { partitionOf } from '../engine/murmur2.ts'
import type { Engine } from '../engine/ports.ts'
import type { Vector } from '../features/types.ts'
import { valuesOf } from '../host/profile-view.ts'
import { decodeSamples, type ProfileScores, scoresReader } from '../outputs/index.ts'
import { type Plan, planApplication } from '../topology.ts'
import { CommandFailed, printJson, printLine, printTable } from './output.ts'
import { withScorer } from './plan-scorer.ts'
import { type EngineOptions, examples, integerOption, withEngine, withOpenEngine } from './shared.ts'

interface ExplainOptions extends EngineOptions {
  readonly event?: string
  readonly top: number
  readonly json?: true
}

export function explainCommand(): Command {
  return withEngine(new Command('explain'))
    .description("explain a profile's last score: what the model saw, and how much each feature moved the score")
    .argument('<key>', 'primary identity, <NAMESPACE>:<id>')
    .option('--event <id>', 'the score of this event instead of the last one')
    .option('--top <n>', 'features to show', integerOption, 10)
    .option('--json', 'print JSON')
    .addHelpText('after', examples('rtml explain ECID:123', 'rtml explain ECID:123 --event 5f2c --top 5 --json'))
    .action((key: string, options: ExplainOptions) =>
      withOpenEngine(options, async (opened, engine) => {
        const plan = await planApplication(opened.planOptions)
        const record = await lastScores(engine, topicNames(opened.app).scores, key, options.event)
        if (!record)
          throw new CommandFailed(
            `there is no score of ${key}${options.event ? ` for event ${options.event}` : ''} in the log.`,
          )
        const vector = await vectorOf(plan, engine, record.eventId)
        if (!vector)
          throw new CommandFailed(
            `the sample of event ${record.eventId} is no longer in ${plan.topics.samples}: its retention is over.`,
          )
        const scores = await explainVector(plan, record, vector)
        const values = new Map(valuesOf(plan, vector).map(({ column, value }) => [column, value]))
        const result = {
          key,
          eventId: record.eventId,
          eventTime: new Date(record.eventTime).toISOString(),
          processedAt: new Date(record.processedAt).toISOString(),
          featureSetVersion: record.featureSetVersion,
          scores: record.scores.map((served) => ({
            ...served,
            explanation: (
              scores.find(({ model, output }) => model === served.model && output === served.output)?.explanation ?? []
            )
              .slice(0, options.top)
              .map(({ feature, contribution }) => ({ feature, value: values.get(feature) ?? null, contribution })),
          })),
        }
        if (options.json) return printJson(result)
        printLine(`${key}  event ${result.eventId} at ${result.eventTime}  scored ${result.processedAt}`)
        if (result.scores.length === 0) printLine('no scores: the application had no model for this event')
        for (const { model, version, role, score, fallback, explanation } of result.scores) {
          printLine(
            `\n${model}@${version} (${role}): ${score.toFixed(6)}${fallback === 'none' ? '' : `, fallback ${fallback}`}`,
          )
          printTable(
            ['feature', 'value', 'contribution'],
            explanation.map((it) => [it.feature, String(it.value ?? '–'), it.contribution.toFixed(6)]),
          )
        }
      }),
    )
}

/** The newest score record of a profile. Reads its partition once. */
async function lastScores(
  engine: Engine,
  topic: string,
  key: string,
  eventId: string | undefined,
): Promise<ProfileScores | undefined> {
  const all = await engine.log.bounds(topic)
  const bounds = all[partitionOf(Buffer.from(key), Math.max(1, all.length))]
  if (!bounds || bounds.start >= bounds.end) return undefined
  const read = scoresReader((id) => engine.registry.schema(id))
  let last: ProfileScores | undefined
  const bytes = Buffer.from(key)
  for await (const run of engine.log.read(bounds, bounds.start, { until: bounds.end })) {
    for (const record of run.records) {
      if (!record.key?.equals(bytes)) continue
      if (!record.value) {
        // The person was erased here: what came before is nobody's.
        last = undefined
        continue
      }
      const scores = await read(record.value)
      if (eventId === undefined || scores.eventId === eventId) last = scores
    }
  }
  return last
}

/** What the models saw of an event, from the samples. */
async function vectorOf(plan: Plan, engine: Engine, eventId: string): Promise<Vector | undefined> {
  for (const bounds of await engine.log.bounds(plan.topics.samples)) {
    if (bounds.start >= bounds.end) continue
    for await (const run of engine.log.read(bounds, offset(bounds.start), { until: bounds.end })) {
      for (const { value } of run.records) {
        const vector = value && rowOf(plan, value, eventId)
        if (vector) return vector
      }
    }
  }
  return undefined
}

/** @throws CommandFailed when the sample was written by another version of the feature set */
function rowOf(plan: Plan, value: Buffer, eventId: string): Vector | undefined {
  const { table, featureSetVersion } = decodeSamples(value)
  const ids = table.getChild('event_id')
  if (!ids) return undefined
  for (let row = 0; row < table.numRows; row++) {
    if (ids.get(row) !== eventId) continue
    if (featureSetVersion !== plan.featureSet.version) {
      throw new CommandFailed(
        `event ${eventId} was scored with feature set ${featureSetVersion}, the application file has ${plan.featureSet.version}. Use the file that was running then.`,
      )
    }
    const vector = plan.featureSet.newVector()
    for (const { name, type, index } of plan.featureSet.columns) {
      const cell = table.getChild(name)?.get(row) as number | string
      if (type === 'float') vector.floats[index] = cell as number
      else vector.strings[index] = cell as string
    }
    return vector
  }
  return undefined
}

async function explainVector(plan: Plan, record: ProfileScores, vector: Vector) {
  if (plan.models.length === 0) return []
  const key = `${record.profile.namespace}:${record.profile.id}`
  const event = {
    id: record.eventId,
    ts: epochMs(record.eventTime),
    key,
    xdm: { _id: record.eventId, timestamp: new Date(record.eventTime).toISOString() },
  }
  const [scores] = await withScorer(plan, (scorer) => scorer.score([{ event, vector, explain: true }]))
  return scores ?? []
}
