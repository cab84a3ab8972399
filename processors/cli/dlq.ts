import { readFileSync } from 'node:fs'
import { Command } from 'commander'
import { RtmlError } from '../app/errors.ts'
import type { Application } from '../app/schema.ts'
import { topicNames } from '../app/topics.ts'
import { offset } from '../app/units.ts'
import type { Engine, LogRecord, NewRecord } from '../engine/ports.ts'
import { type DeadLetter, parseDeadLetter } from '../outputs/index.ts'
import { hiddenLetters } from '../privacy/control-topic.ts'
import { auditedCommand, type CommandChange } from './audit.ts'
import { BadUsage, CommandFailed, printJson, printLine, printTable } from './output.ts'
import { type EngineOptions, examples, integerOption, parsePlace, withEngine, withOpenEngine } from './shared.ts'

interface Letter {
  readonly place: string
  readonly record: LogRecord
  readonly letter: DeadLetter
}

interface Filter extends EngineOptions {
  readonly code?: string
  readonly limit: number
  readonly json?: true
}

interface ReplayOptions extends Filter {
  readonly all?: true
  readonly value?: string
  readonly set: string[]
  readonly dryRun?: true
}

export function deadLettersCommand(): Command {
  const command = new Command('dlq').description('dead letters: list, show, repair and replay')
  command.addCommand(
    withEngine(new Command('list'))
      .description('list dead letters, newest last')
      .option('--code <code>', 'only this reason, such as MAP_TYPE')
      .option('--limit <n>', 'at most so many, the newest', integerOption, 50)
      .option('--json', 'print JSON')
      .addHelpText('after', examples('rtml dlq list', 'rtml dlq list --code MAP_TYPE --json'))
      .action((options: Filter) =>
        withOpenEngine(options, async ({ app }, engine) => {
          const letters = (await lettersOf(engine, topicNames(app), options.code)).slice(-options.limit)
          if (options.json) return printJson({ letters: letters.map(summary) })
          if (letters.length === 0) return printLine('no dead letters')
          printTable(
            ['place', 'code', 'from', 'path', 'message'],
            letters.map(({ place, letter }) => [
              place,
              letter.rejection.code,
              origin(letter),
              letter.rejection.path,
              letter.rejection.message.slice(0, 100),
            ]),
          )
        }),
      ),
  )
  command.addCommand(
    withEngine(new Command('show'))
      .description('show one dead letter whole, with its original bytes')
      .argument('<place>', 'topic[partition]@offset, as dlq list prints it')
      .option('--json', 'print JSON')
      .addHelpText('after', examples("rtml dlq show 'dlq.raw[0]@12'"))
      .action((place: string, options: Filter) =>
        withOpenEngine(options, async ({ app }, engine) => {
          const { letter } = await letterAt(engine, topicNames(app), place)
          const value = letter.value?.toString('utf8') ?? null
          if (options.json)
            return printJson({ place, ...detail(letter), value, valueBase64: letter.value?.toString('base64') ?? null })
          for (const [name, text] of Object.entries(detail(letter)))
            printLine(`${name}: ${typeof text === 'object' ? JSON.stringify(text) : text}`)
          printLine()
          printLine(value ?? '(no value)')
        }),
      ),
  )
  command.addCommand(
    withEngine(new Command('replay'))
      .description(
        'append dead letters to the topic that they came from, repaired where asked; ids keep them from counting twice',
      )
      .argument('[place...]', 'topic[partition]@offset …; or use --code, --all')
      .option('--code <code>', 'all with this reason')
      .option('--all', 'all of them')
      .option('--value <file>', 'new bytes for one letter; - for standard input')
      .option(
        '--set <path=json>',
        'set a field of a JSON value first; may be repeated',
        (text, all: string[]) => [...all, text],
        [],
      )
      .option('--dry-run', 'print what would be appended')
      .option('--limit <n>', 'at most so many', integerOption, 100_000)
      .option('--json', 'print JSON')
      .addHelpText(
        'after',
        examples(
          "rtml dlq replay 'dlq.raw[0]@12' --set order.total=12.5",
          "rtml dlq replay 'dlq.raw[0]@12' --value repaired.json",
          'rtml dlq replay --code SCHEMA_ID --dry-run',
        ),
      )
      .action((places: string[], options: ReplayOptions) =>
        withOpenEngine(options, async ({ app }, engine) => {
          const chosen = await choose(engine, topicNames(app), places, options)
          if (options.value !== undefined && chosen.length !== 1)
            throw new BadUsage('--value repairs exactly one letter: name its place.')
          const repairs = options.set.map(parseAssignment)
          const repaired = chosen.map(({ letter, place }) => repair(letter, place, options.value, repairs))
          if (options.dryRun && options.json)
            return printJson({
              replayed: 0,
              wouldReplay: repaired.map(({ topic, value }) => ({ topic, value: value?.toString('utf8') ?? null })),
            })
          if (options.dryRun)
            for (const record of repaired) printLine(`${record.topic} ${record.value?.toString('utf8') ?? ''}`)
          else await append(engine, app, repaired, places)
          const count = options.dryRun ? 0 : repaired.length
          if (options.json) printJson({ replayed: count })
          else printLine(`${count} replayed`)
        }),
      ),
  )
  return command
}

function append(engine: Engine, app: Application, records: readonly NewRecord[], places: readonly string[]) {
  const change: CommandChange = {
    action: 'dead-letters.replay',
    subject: places.length === 1 ? places[0]! : `${records.length} dead letters`,
    detail: { records: records.length },
  }
  return auditedCommand(engine, app, change, async () => {
    for (let at = 0; at < records.length; at += 500) await engine.log.append(records.slice(at, at + 500))
  })
}

type Topics = ReturnType<typeof topicNames>

async function lettersOf(engine: Engine, topics: Topics, code: string | undefined): Promise<Letter[]> {
  const letters: Letter[] = []
  const hidden = await hiddenLetters(engine, topics)
  for (const topic of [topics.deadRaw, topics.deadXdm]) {
    for (const bounds of await engine.log.bounds(topic)) {
      if (bounds.start >= bounds.end) continue
      for await (const run of engine.log.read(bounds, bounds.start, { until: bounds.end })) {
        for (const record of run.records) {
          const letter = parseDeadLetter(record)
          if (letter && (code === undefined || letter.rejection.code === code) && !hidden.has(placeOf(record)))
            letters.push({ place: placeOf(record), record, letter })
        }
      }
    }
  }
  return letters.sort((a, b) => a.record.timestamp - b.record.timestamp || a.record.offset - b.record.offset)
}

async function letterAt(engine: Engine, topics: Topics, text: string): Promise<Letter> {
  const place = parsePlace(text)
  if ((await hiddenLetters(engine, topics)).has(text))
    throw new CommandFailed(`the dead letter at ${text} belongs to a person who was erased.`)
  const bounds = (await engine.log.bounds(place.topic))[place.partition]
  if (bounds && place.offset >= bounds.start && place.offset < bounds.end) {
    for await (const run of engine.log.read(place, place.offset, { until: offset(place.offset + 1) })) {
      for (const record of run.records) {
        const letter = parseDeadLetter(record)
        if (letter) return { place: text, record, letter }
      }
    }
  }
  throw new CommandFailed(`there is no dead letter at ${text}. rtml dlq list shows them.`)
}

async function choose(
  engine: Engine,
  topics: Topics,
  places: readonly string[],
  options: ReplayOptions,
): Promise<Letter[]> {
  if (places.length > 0) return Promise.all(places.map((place) => letterAt(engine, topics, place)))
  if (!options.all && options.code === undefined) throw new BadUsage('name places, or use --code CODE or --all.')
  return (await lettersOf(engine, topics, options.code)).slice(0, options.limit)
}

interface Assignment {
  readonly path: readonly string[]
  readonly value: unknown
}

function parseAssignment(text: string): Assignment {
  const at = text.indexOf('=')
  if (at < 1) throw new BadUsage(`--set ${JSON.stringify(text)}: write path=json, such as order.total=12.5.`)
  try {
    return { path: text.slice(0, at).split('.'), value: JSON.parse(text.slice(at + 1)) }
  } catch {
    throw new BadUsage(`--set ${JSON.stringify(text)}: the part after = is not JSON. Texts need quotes: path='"text"'.`)
  }
}

function repair(
  letter: DeadLetter,
  place: string,
  file: string | undefined,
  assignments: readonly Assignment[],
): NewRecord {
  let { value } = letter
  if (file !== undefined) value = readFileSync(file === '-' ? 0 : file)
  if (assignments.length > 0) value = assign(value, place, assignments)
  return { topic: letter.topic, key: letter.key, value, headers: letter.headers }
}

function assign(value: Buffer | null, place: string, assignments: readonly Assignment[]): Buffer {
  let root: unknown
  try {
    root = JSON.parse(value?.toString('utf8') ?? '')
  } catch {
    throw new RtmlError(
      'DECODE',
      'the value is not JSON, so --set can do nothing. Repair the bytes with --value FILE.',
      { place },
    )
  }
  for (const { path, value: next } of assignments) {
    let node = root as Record<string, unknown>
    for (const step of path.slice(0, -1)) {
      const child = Object.hasOwn(node, step) ? node[step] : undefined
      if (typeof child !== 'object' || child === null)
        throw new RtmlError('DECODE', `there is no ${path.join('.')} in the value`, { place })
      node = child as Record<string, unknown>
    }
    Object.defineProperty(node, path.at(-1)!, { value: next, enumerable: true, configurable: true, writable: true })
  }
  return Buffer.from(JSON.stringify(root))
}

const placeOf = (record: LogRecord) => `${record.topic}[${record.partition}]@${record.offset}`
const origin = (letter: DeadLetter) => `${letter.topic}[${letter.partition}]@${letter.offset}`
const summary = ({ place, letter }: Letter) => ({ place, ...detail(letter) })

function detail(letter: DeadLetter) {
  const { code, path, message } = letter.rejection
  const headers = Object.fromEntries(
    Object.entries(letter.headers).map(([name, value]) => [name, value.toString('utf8')]),
  )
  return {
    code,
    path,
    message,
    from: origin(letter),
    at: new Date(letter.timestamp).toISOString(),
    key: letter.key?.toString('utf8') ?? null,
    headers,
  }
}
