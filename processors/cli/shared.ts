import { existsSync } from 'node:fs'
import type { Command } from 'commander'
import { parseDuration } from '../app/duration.ts'
import { type Ms, offset } from '../app/units.ts'
import type { Engine, TopicPartition } from '../engine/ports.ts'
import { DEFAULT_FILE, type OpenedApplication, openApplicationFile } from '../host/application-file.ts'
import { dataDirOf, openEngine } from '../host/open-engine.ts'
import type { Mapper } from '../mapper/index.ts'
import type { Plan } from '../topology.ts'
import { BadUsage, CommandFailed } from './output.ts'

export interface AppOptions {
  readonly app: string
}

export interface EngineOptions extends AppOptions {
  readonly data?: string
}

/** `--app FILE`. */
export function withApp(command: Command): Command {
  return command.option('--app <file>', 'application file', DEFAULT_FILE)
}

/** `--app FILE --data DIR`: commands that look into a running application's engine. */
export function withEngine(command: Command): Command {
  return withApp(command).option('--data <dir>', 'directory of the embedded engine (default: RTML_DATA_DIR or .rtml)')
}

export const openApp = (options: AppOptions): OpenedApplication => openApplicationFile(options.app, process.env)

/** The source that `--source` names; the only one when it names none. @throws BadUsage */
export function sourceNamed(
  plan: Plan,
  { app, source }: AppOptions & { readonly source?: string | undefined },
): { name: string; mapper: Mapper; format: string } {
  const names = [...plan.mappers.keys()]
  if (source === undefined && names.length > 1) {
    throw new BadUsage(`${app} has several sources; name one with --source: ${names.join(', ')}`)
  }
  const name = source ?? names[0]!
  const mapper = plan.mappers.get(name)
  if (!mapper) throw new BadUsage(`there is no source ${JSON.stringify(name)}. Sources: ${names.join(', ')}`)
  return { name, mapper, format: plan.formats.get(name) ?? 'json' }
}

/**
 * Opens application and engine for a command, and closes the engine after it.
 * @param open `create`: make the embedded engine's directory when there is none, for a command that writes
 */
export async function withOpenEngine<T>(
  options: EngineOptions,
  work: (opened: OpenedApplication, engine: Engine) => Promise<T>,
  open: { create: boolean } = { create: false },
): Promise<T> {
  const opened = openApp(options)
  const dir = dataDirOf(process.env, options.data)
  if (dir !== undefined && !open.create && !existsSync(dir)) {
    throw new CommandFailed(
      `there is no ${dir} here: the application has not run yet, or with another --data. rtml run makes it.`,
    )
  }
  await using engine = await openEngine(process.env, { dataDir: options.data, role: 'look' })
  return await work(opened, engine)
}

/** Examples at the end of a command's help. */
export const examples = (...lines: string[]): string => `\nExamples:\n${lines.map((line) => `  ${line}`).join('\n')}`

/** `dlq.raw[3]@918` → its parts. */
export function parsePlace(text: string): TopicPartition & { offset: ReturnType<typeof offset> } {
  const match = /^([a-zA-Z0-9._-]+)\[(\d+)\]@(\d+)$/.exec(text)
  if (!match)
    throw new BadUsage(`${JSON.stringify(text)} is not a place. Write topic[partition]@offset, such as dlq.raw[0]@12.`)
  return { topic: match[1]!, partition: Number(match[2]), offset: offset(Number(match[3])) }
}

export function integerOption(text: string): number {
  const value = Number(text)
  if (!Number.isSafeInteger(value) || value < 0)
    throw new BadUsage(`${JSON.stringify(text)} is not a whole number ≥ 0.`)
  return value
}

export function portOption(text: string): number {
  const port = integerOption(text)
  if (port > 65_535) throw new BadUsage(`${text} is not a port. Ports go from 1 to 65535; 0 takes any free one.`)
  return port
}

/** `500ms`, `30s`, `5m` → milliseconds. */
export function durationOption(text: string): Ms {
  const parsed = parseDuration(text)
  if (parsed !== undefined) return parsed
  throw new BadUsage(`${JSON.stringify(text)} is not a duration. Write 500ms, 30s or 5m.`)
}
