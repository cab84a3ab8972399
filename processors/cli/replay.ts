import { statSync } from 'node:fs'
import { Command } from 'commander'
import { RtmlError } from '../app/errors.ts'
import { systemClock } from '../app/system-clock.ts'
import { ms, offset } from '../app/units.ts'
import type { Engine, NewRecord } from '../engine/ports.ts'
import { openRawFile, records } from '../host/raw-file.ts'
import { keyedRecord } from '../host/raw-record.ts'
import { planApplication } from '../topology.ts'
import { BadUsage, printJson, printLine, progress } from './output.ts'
import { type EngineOptions, examples, integerOption, withEngine, withOpenEngine } from './shared.ts'

interface ReplayOptions extends EngineOptions {
  readonly source: string
  readonly speed: string
  readonly partition?: number
  readonly from?: number
  readonly until?: number
  readonly json?: true
}

const CHUNK = 500

export function replayCommand(): Command {
  return withEngine(new Command('replay'))
    .description('append raw events of a file, or of a topic range, to the topic of a source')
    .argument('<from>', 'file (.jsonl, .csv, .tsv, .gz), - for standard input, or topic:<name>')
    .requiredOption('--source <name>', 'source of the application that takes them')
    .option('--speed <n>', 'max, or a multiple of the speed at which the events happened, such as 1 or 60', 'max')
    .option('--partition <n>', 'topic: only this partition', integerOption)
    .option('--from <offset>', 'topic: first offset', integerOption)
    .option('--until <offset>', 'topic: offset after the last one', integerOption)
    .option('--json', 'print JSON')
    .addHelpText(
      'after',
      examples(
        'rtml replay events.jsonl --source web',
        'rtml replay events.jsonl.gz --source web --speed 60',
        'rtml replay topic:raw.web --source web --partition 0 --from 100 --until 200',
      ),
    )
    .action((from: string, options: ReplayOptions) =>
      withOpenEngine(
        options,
        async (opened, engine) => {
          const plan = await planApplication(opened.planOptions)
          const mapper = plan.mappers.get(options.source)
          if (!mapper)
            throw new RtmlError(
              'CONFIG',
              `there is no source ${JSON.stringify(options.source)}. Sources: ${[...plan.mappers.keys()].join(', ')}`,
            )
          const topic = plan.topics.raw(options.source)
          await engine.log.ensureTopics([{ topic, partitions: opened.app.partitions, cleanup: 'delete' }])
          const pace = paceOf(options.speed)
          const input = from.startsWith('topic:')
            ? topicRecords(engine, from.slice(6), options)
            : fileRecords(from, plan.formats.get(options.source) ?? 'json')
          const bar = progress(sizeOf(from), 'replay')
          let count = 0
          let bytes = 0
          let chunk: NewRecord[] = []
          const flush = async () => {
            if (chunk.length > 0) await engine.log.append(chunk)
            chunk = []
            bar.update(bytes)
          }
          for await (const record of input) {
            const { record: keyed, event } = await keyedRecord(mapper, topic, record)
            const wait = pace && event ? pace(event.ts) : 0
            if (wait > 0) {
              await flush()
              await systemClock.sleep(ms(wait))
            }
            chunk.push(keyed)
            count++
            bytes += record.value?.length ?? 0
            if (chunk.length >= CHUNK) await flush()
          }
          await flush()
          bar.stop()
          if (options.json) printJson({ topic, records: count })
          else printLine(`${count} records appended to ${topic}`)
        },
        { create: true },
      ),
    )
}

/** @returns milliseconds to wait before an event of time `ts`, or undefined for full speed */
function paceOf(speed: string): ((ts: number) => number) | undefined {
  if (speed === 'max') return undefined
  const factor = Number(speed.replace(/x$/, ''))
  if (!(factor > 0)) throw new BadUsage(`--speed ${JSON.stringify(speed)}: write max, or a number above 0.`)
  let start: { wall: number; ts: number } | undefined
  return (ts) => {
    start ??= { wall: systemClock.now(), ts }
    return start.wall + (ts - start.ts) / factor - systemClock.now()
  }
}

async function* fileRecords(
  path: string,
  format: string,
): AsyncGenerator<Pick<NewRecord, 'key' | 'value' | 'headers'>> {
  for await (const { value } of records(openRawFile(path), path, format)) yield { key: null, value }
}

async function* topicRecords(
  engine: Engine,
  topic: string,
  options: ReplayOptions,
): AsyncGenerator<Pick<NewRecord, 'key' | 'value' | 'headers'>> {
  const all = await engine.log.bounds(topic)
  if (all.length === 0)
    throw new RtmlError('CONFIG', `there is no topic ${JSON.stringify(topic)}. rtml topics lists them.`)
  for (const bounds of all) {
    if (options.partition !== undefined && options.partition !== bounds.partition) continue
    const from = offset(Math.max(bounds.start, options.from ?? 0))
    const until = offset(Math.min(bounds.end, options.until ?? Number.POSITIVE_INFINITY))
    if (from >= until) continue
    for await (const run of engine.log.read(bounds, from, { until })) yield* run.records
  }
}

function sizeOf(path: string): number {
  if (path === '-' || path.startsWith('topic:')) return 0
  const found = statSync(path, { throwIfNoEntry: false })
  if (!found?.isFile()) throw new BadUsage(`${JSON.stringify(path)} is not a file. For a topic write topic:<name>.`)
  return found.size
}
