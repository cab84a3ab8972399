import { Command } from 'commander'
import { RtmlError } from '../app/errors.ts'
import { systemClock } from '../app/system-clock.ts'
import { fusedSource, groupOf } from '../app/topics.ts'
import { type EpochMs, epochMs } from '../app/units.ts'
import type { Engine, LogRecord, NewRecord } from '../engine/ports.ts'
import { hash48, SEED } from '../features/hash.ts'
import { type FileRecord, openRawFile, records } from '../host/raw-file.ts'
import type { Mapper, RawRecord } from '../mapper/index.ts'
import { frame } from '../outputs/index.ts'
import { HISTORY_HEADER, SOURCE_HEADER } from '../runtime/stages/event-source.ts'
import { historyNote, type Plan, planApplication, topicSpecs } from '../topology.ts'
import { BadUsage, CommandFailed, note, printJson, printLine } from './output.ts'
import { type EngineOptions, withEngine, withOpenEngine } from './shared.ts'

interface BootstrapCommandOptions extends EngineOptions {
  readonly source: string
  readonly outputs: boolean
  readonly until?: EpochMs
  readonly json?: true
}

export interface BootstrapOptions {
  readonly plan: Plan
  readonly engine: Engine
  readonly source: string
  readonly input: AsyncIterable<Pick<FileRecord, 'value' | 'place'>>
  /** False: history changes states, and is neither scored nor sampled. */
  readonly outputs: boolean
  /** Events of this time or later are left to the live topic. */
  readonly until?: EpochMs | undefined
  readonly onRejected?: (place: string, code: string, message: string) => void
}

export interface Bootstrapped {
  readonly topic: string
  readonly records: number
  readonly events: number
  /** Events that the live topic has as well: counted there. */
  readonly overlapping: number
  /** Events at `until` or later. */
  readonly later: number
  readonly rejected: number
  /** How far behind the newest event before it an event came at most; more than events.lateness makes events late. */
  readonly behindMs: number
}

const CHUNK = 500
/** Ids of live events in memory, about 40 bytes each. */
const LIVE_IDS_MAX = 20_000_000
const REJECTED_SHOWN = 20

export function bootstrapCommand(): Command {
  return withEngine(new Command('bootstrap'))
    .description(
      'before the first run: put years of history in front of the live events, with no gap and nothing twice',
    )
    .argument(
      '<from>',
      'file (.jsonl, .csv, .tsv, .gz), - for standard input, or topic: what the source’s topic has now',
    )
    .requiredOption('--source <name>', 'source of the application that the events are of')
    .option('--no-outputs', 'history changes states only: no scores, no samples')
    .option('--until <time>', 'leave out events of this time (ISO 8601) or later', timeOption)
    .option('--json', 'print JSON')
    .action((from: string, options: BootstrapCommandOptions) =>
      withOpenEngine(
        options,
        async (opened, engine) => {
          const schemaById = (id: number) => engine.registry.schema(id)
          const plan = await planApplication({ ...opened.planOptions, schemaById })
          if (!plan.mappers.has(options.source))
            throw new BadUsage(
              `there is no source ${JSON.stringify(options.source)}: ${[...plan.mappers.keys()].join(', ')}`,
            )
          if (from === 'topic') {
            const ends = await markTopic(plan, engine, options.source)
            if (options.json) printJson({ topic: plan.topics.raw(options.source), ends })
            else
              printLine(
                `${ends.reduce((sum, end) => sum + end, 0)} records of the topic are history: no scores, no samples`,
              )
            return
          }
          let shown = 0
          const result = await bootstrap({
            plan,
            engine,
            source: options.source,
            input: records(openRawFile(from), from, plan.formats.get(options.source) ?? 'json'),
            outputs: options.outputs,
            until: options.until,
            onRejected: (place, code, message) => {
              if (shown++ < REJECTED_SHOWN) note(`${place}: ${code} ${message}`)
            },
          })
          report(result, plan, options)
        },
        { create: true },
      ),
    )
}

function report(result: Bootstrapped, plan: Plan, options: BootstrapCommandOptions): void {
  const { lateness } = plan.app.events
  if (result.behindMs > lateness)
    note(
      `the file is out of order by up to ${Math.round(result.behindMs / 1_000)} s, events.lateness allows ${Math.round(lateness / 1_000)} s: ` +
        'events that are later than that for their own key will be refused as LATE. Sort the file by time to keep them.',
    )
  if (options.json) return printJson(result)
  printLine(`${result.events} events of ${result.records} records appended to ${result.topic}`)
  if (result.overlapping > 0) printLine(`${result.overlapping} left out: the live topic has them`)
  if (result.later > 0) printLine(`${result.later} left out: at --until or later`)
  if (result.rejected > 0) printLine(`${result.rejected} rejected; they are not in the log`)
}

/**
 * Puts history in front of the live events: into `xdm.events` before any live event was mapped, or into the raw topic of a
 * fused source while it is empty. From there it goes through the same stages, exactly once, and can be replayed like
 * everything else. Events that the live topic has too are left out by their ids, whatever their number: the states' own
 * memory of ids is far too short for an overlap of days.
 * @throws RtmlError CONFIG when the application has run already
 */
export async function bootstrap(options: BootstrapOptions): Promise<Bootstrapped> {
  const { plan, engine, source } = options
  const mapper = plan.mappers.get(source)!
  const isFused = fusedSource(plan.app) === source
  const topic = isFused ? plan.topics.raw(source) : plan.topics.events
  await engine.log.ensureTopics(topicSpecs(plan.app))
  await requireUntouched(plan, engine, source, topic)
  const schemaId = await engine.registry.register(`${plan.topics.events}-value`, plan.schema.avroSchema)
  const live = isFused ? new Set<number>() : await liveIds(plan, engine, source)
  const headers = {
    ...(isFused ? {} : { [SOURCE_HEADER]: Buffer.from(source) }),
    ...(options.outputs ? {} : { [HISTORY_HEADER]: Buffer.from('1') }),
  }
  const counts = { records: 0, events: 0, overlapping: 0, later: 0, rejected: 0, behindMs: 0 }
  let newest = Number.NEGATIVE_INFINITY
  let chunk: NewRecord[] = []
  for await (const { value, place } of options.input) {
    const raw = { key: null, value, headers: {}, timestamp: systemClock.now(), place }
    await mapper.prepare([raw])
    const { events, rejected } = mapper.map(raw)
    counts.records++
    counts.rejected += rejected.length
    for (const { code, message } of rejected) options.onRejected?.(place, code, message)
    const wanted = events.filter((event) => {
      if (options.until !== undefined && event.ts >= options.until) counts.later++
      else if (live.has(hash48(event.id, SEED.id))) counts.overlapping++
      else return true
      return false
    })
    for (const { ts } of wanted) {
      counts.behindMs = Math.max(counts.behindMs, newest - ts)
      newest = Math.max(newest, ts)
    }
    counts.events += wanted.length
    if (isFused) {
      // A record is kept whole: a fused source maps it again.
      const key = wanted[0]?.key
      if (key !== undefined) chunk.push({ topic, key: Buffer.from(key), value, headers })
    } else {
      for (const event of wanted)
        chunk.push({ topic, key: Buffer.from(event.key), value: frame(schemaId, plan.schema.encode(event)), headers })
    }
    if (chunk.length < CHUNK) continue
    await engine.log.append(chunk)
    chunk = []
  }
  if (chunk.length > 0) await engine.log.append(chunk)
  return { topic, ...counts }
}

/** Everything that the source's topic has now is history. @throws RtmlError CONFIG when the application has run already */
async function markTopic(plan: Plan, engine: Engine, source: string): Promise<number[]> {
  const topic = plan.topics.raw(source)
  await requireUntouched(plan, engine, source, undefined)
  const ends = (await engine.log.bounds(topic)).map(({ end }) => Number(end))
  if (ends.length === 0) throw new RtmlError('CONFIG', 'the topic does not exist yet', { place: topic })
  await engine.store.setNote(historyNote(topic), Buffer.from(JSON.stringify(ends)))
  return ends
}

/** History must come before everything else. */
async function requireUntouched(plan: Plan, engine: Engine, source: string, empty: string | undefined): Promise<void> {
  const raw = plan.topics.raw(source)
  const group = groupOf(plan.app, fusedSource(plan.app) === source ? 'profile' : `map.${source}`)
  for (const bounds of await engine.log.bounds(raw)) {
    const committed = await engine.log.committed(group, bounds)
    if (committed !== undefined && committed > bounds.start)
      throw new RtmlError(
        'CONFIG',
        'live events of this source were processed already, and history can only come before them. Give the application a new name, bootstrap that, then run it.',
        { place: `${raw}[${bounds.partition}]` },
      )
  }
  for (const { partition, start, end } of empty === undefined ? [] : await engine.log.bounds(empty)) {
    if (end > start)
      throw new RtmlError(
        'CONFIG',
        'the topic has records already, of an interrupted bootstrap or of producers. History comes first: begin with an empty topic.',
        { place: `${empty}[${partition}]` },
      )
  }
}

/** Ids of all events that the source's topic has now, hashed as the states' own memory of ids is. */
async function liveIds(plan: Plan, engine: Engine, source: string): Promise<Set<number>> {
  const mapper = plan.mappers.get(source)!
  const ids = new Set<number>()
  for (const bounds of await engine.log.bounds(plan.topics.raw(source))) {
    if (bounds.start >= bounds.end) continue
    for await (const run of engine.log.read(bounds, bounds.start, { until: bounds.end })) {
      for (const event of await eventsOf(mapper, run.records)) ids.add(hash48(event.id, SEED.id))
      if (ids.size > LIVE_IDS_MAX)
        throw new CommandFailed(
          `the live topic has more than ${LIVE_IDS_MAX} events. Cut the history where the topic begins: --until <time of its first event>.`,
        )
    }
  }
  return ids
}

async function eventsOf(mapper: Mapper, run: readonly LogRecord[]) {
  const raw: RawRecord[] = run.map(({ topic, partition, offset, key, value, headers, timestamp }) => ({
    key,
    value,
    headers,
    timestamp,
    place: `${topic}[${partition}]@${offset}`,
  }))
  await mapper.prepare(raw)
  return raw.flatMap((record) => mapper.map(record).events)
}

function timeOption(text: string): EpochMs {
  const time = Date.parse(text)
  if (Number.isNaN(time))
    throw new BadUsage(`--until ${JSON.stringify(text)} is not a time, such as 2026-01-01T00:00:00Z.`)
  return epochMs(time)
}
