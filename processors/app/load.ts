import { posix } from 'node:path'
import type { z } from 'zod'
import { RtmlError } from './errors.ts'
import { concealReferences, type Environment, substitute } from './load-environment.ts'
import { explainIssues, show, valueAt } from './load-issues.ts'
import { checkReferences, type Declared } from './load-references.ts'
import { formatProblem, type Issue, type Path, type Problem, placeOf, type SourceMap } from './load-source-map.ts'
import { readYaml } from './load-yaml.ts'
import { type Application, applicationSchema, type MappingDefinition, mappingSchema } from './schema.ts'

/** Problems that one error lists. */
const MAX_PROBLEMS = 50
const MAX_MESSAGE_LENGTH = 500

export interface LoadOptions {
  /** Name of the file as messages show it; paths inside the file are relative to its folder. */
  readonly file: string
  readonly env: Environment
  /** Text of a file, or undefined when there is none. Asked for `mapping: ./file.yaml` only. */
  readonly readFile?: (path: string) => string | undefined
  /** Names of the ready mappings; given, an unknown one is a problem. */
  readonly mappings?: readonly string[]
}

export interface LoadedApplication {
  readonly app: Application
  /** Places of values, for messages of later checks. */
  readonly source: SourceMap
}

/** Thrown for an application file with problems: all of them, sorted by position. */
export class ConfigError extends RtmlError {
  readonly problems: readonly Problem[]
  constructor(problems: readonly Problem[]) {
    const [first] = problems
    const more = problems.slice(1, MAX_PROBLEMS).map((problem) => `\n${formatProblem(problem)}`)
    const hidden = problems.length - MAX_PROBLEMS
    const tail = hidden > 0 ? `\n… and ${hidden} more` : ''
    const message = `${first?.message ?? 'not valid.'}${more.join('')}${tail}`
    super('CONFIG', message, first ? { place: placeOf(first) } : {})
    this.name = 'ConfigError'
    this.problems = problems.slice(0, MAX_PROBLEMS)
  }
}

export type Parsed =
  | ({ readonly kind: 'valid' } & LoadedApplication)
  | { readonly kind: 'invalid'; readonly problems: readonly Problem[] }

/**
 * Reads an application file: YAML, then `${ENV}` references, then `mapping: ./file.yaml`, then the schema, then all
 * cross references. Values from the environment are shown as `${NAME}` in messages and in JSON dumps.
 * @throws ConfigError (code CONFIG) with every problem that was found
 */
export function loadApplication(text: string, options: LoadOptions): LoadedApplication {
  const parsed = parseApplication(text, options)
  if (parsed.kind === 'invalid') throw new ConfigError(parsed.problems)
  return { app: parsed.app, source: parsed.source }
}

/** The same as a value. Problems are sorted by position and not bounded. */
export function parseApplication(text: string, options: LoadOptions): Parsed {
  const yaml = readYaml(text, options.file)
  if (yaml.value === undefined) return invalid(yaml.problems, options.file)
  const { value: tree, source } = yaml
  const issues = substitute(tree, options.env, source)
  const unset = new Set(issues.map((issue) => JSON.stringify(issue.path)))
  const problems = [...yaml.problems, ...includeMappings(tree, source, options)]

  const parsed = parseTree(tree, applicationSchema, source)
  // A reference without a value also fails its type: one problem is enough.
  issues.push(...parsed.issues.filter((issue) => !unset.has(JSON.stringify(issue.path))))
  const app = parsed.output ?? withoutFaults(tree, parsed.issues)
  if (app !== undefined) issues.push(...checkReferences(app, declaredIn(tree, app, options)))
  if (issues.length + problems.length > 0) {
    const concealed = issues.map((issue) => source.problem(conceal(issue, tree, source)))
    return invalid([...problems, ...concealed], options.file)
  }
  concealReferences(parsed.output as Application, source)
  return { kind: 'valid', app: parsed.output as Application, source }
}

/**
 * Reads a mapping file.
 * @throws ConfigError (code CONFIG)
 */
export function loadMapping(text: string, file: string): MappingDefinition {
  const yaml = readYaml(text, file)
  const parsed = parseTree(yaml.value, mappingSchema, yaml.source)
  const problems = yaml.problems.length > 0 ? yaml.problems : parsed.issues.map((issue) => yaml.source.problem(issue))
  if (parsed.output === undefined || problems.length > 0) throw new ConfigError(sorted(problems, file))
  return parsed.output
}

function parseTree<S extends z.ZodType>(
  tree: unknown,
  schema: S,
  source: SourceMap,
): { output?: z.output<S>; issues: Issue[] } {
  let result = schema.safeParse(tree)
  if (result.success) return { output: result.data, issues: [] }
  let issues = explainIssues(result.error.issues, tree, schema)
  // The environment has only texts; where the schema wants a number or a flag, the text is read as one.
  if (issues.filter((issue) => readAs(issue, tree, source)).length > 0) {
    result = schema.safeParse(tree)
    if (result.success) return { output: result.data, issues: [] }
    issues = explainIssues(result.error.issues, tree, schema)
  }
  return { issues }
}

/** Replaces a text from the environment by the number or flag that it spells. @returns true when it did */
function readAs({ path, expected }: Issue, tree: unknown, source: SourceMap): boolean {
  if (expected === undefined || source.referenceAt(path) === undefined) return false
  const text = valueAt(tree, path)
  if (typeof text !== 'string') return false
  const value = expected === 'boolean' ? { true: true, false: false }[text] : numberOf(text)
  const last = path.at(-1)
  if (value === undefined || last === undefined) return false
  const container = valueAt(tree, path.slice(0, -1)) as Record<string | number, unknown>
  container[last] = value
  return true
}

function numberOf(text: string): number | undefined {
  return /^-?\d+(\.\d+)?([eE][-+]?\d+)?$/.test(text) ? Number(text) : undefined
}

/** Puts the content of `mapping: ./file.yaml` in the place of its name. */
function includeMappings(tree: unknown, source: SourceMap, { file, readFile }: LoadOptions): Problem[] {
  const sources = valueAt(tree, ['sources'])
  if (typeof sources !== 'object' || sources === null) return []
  const problems: Problem[] = []
  for (const [name, definition] of Object.entries(sources)) {
    const mapping = valueAt(definition, ['mapping'])
    if (typeof mapping !== 'string' || !isMappingFile(mapping)) continue
    const path: Path = ['sources', name, 'mapping']
    const folder = posix.dirname(file.replaceAll('\\', '/'))
    const target = posix.isAbsolute(mapping) ? mapping : posix.join(folder, mapping)
    const text = readFile?.(target)
    if (text === undefined) {
      const shown = source.referenceAt(path) ?? target
      problems.push(source.problem({ path, message: `${JSON.stringify(shown)} can't be read. Is the path right?` }))
      continue
    }
    const yaml = readYaml(text, target)
    problems.push(...yaml.problems)
    if (yaml.value === undefined) continue
    source.include(path, yaml.source)
    ;(definition as Record<string, unknown>).mapping = yaml.value
  }
  return problems
}

/** A ready mapping's name has none of these characters. */
const isMappingFile = (mapping: string): boolean => /[./\\]/.test(mapping)

/**
 * What is left of a faulty file when the faulty entries are taken out, so that references are still checked in the rest
 * and one run shows all problems.
 */
function withoutFaults(tree: unknown, issues: readonly Issue[]): Application | undefined {
  if (typeof tree !== 'object' || tree === null || Array.isArray(tree)) return undefined
  const rest: Record<string, unknown> = structuredClone(tree) as Record<string, unknown>
  for (const { path } of issues) {
    const [root, entry] = path
    if (root === undefined) continue
    const section = rest[root]
    if (entry === undefined || typeof section !== 'object' || section === null) delete rest[root]
    else if (root === 'tests') delete rest[root]
    else delete (section as Record<string | number, unknown>)[entry]
  }
  rest.rtml ??= 1
  rest.name ??= 'unnamed'
  const hasSources = Object.keys((rest.sources as object | undefined) ?? {}).length > 0
  if (!hasSources) rest.sources = { unnamed: { mapping: 'none' } }
  return applicationSchema.safeParse(rest).data
}

const SECTIONS = ['sources', 'entities', 'lookups', 'features', 'models', 'labels'] as const

function declaredIn(tree: unknown, app: Application, { env, mappings }: LoadOptions): Declared {
  const names = {} as Record<(typeof SECTIONS)[number], ReadonlySet<string>>
  const incomplete = new Set<string>()
  for (const section of SECTIONS) {
    const raw = valueAt(tree, [section])
    const found = typeof raw === 'object' && raw !== null ? Object.keys(raw) : []
    names[section] = new Set(found)
    if (found.some((name) => !Object.hasOwn(app[section], name))) incomplete.add(section)
    if (found.length !== Object.keys(app[section]).length) incomplete.add(section)
  }
  return { ...names, incomplete, env, ...(mappings ? { mappings } : {}) }
}

/** Values from the environment never reach a message: neither the one at the issue's path nor any other, whole or cut. */
function conceal(issue: Issue, tree: unknown, source: SourceMap): Issue {
  let { message } = issue
  for (const path of source.referencePaths()) {
    const value = valueAt(tree, path)
    const reference = source.referenceAt(path)
    if (reference === undefined || typeof value === 'object') continue
    const text = String(value)
    const isHere = path.join('\u0000') === issue.path.join('\u0000')
    // Away from its own path, a short value is only a coincidence ("1h", "prod").
    if (text.length === 0 || (!isHere && text.length < 8)) continue
    for (const form of [show(text), JSON.stringify(text), text]) message = message.replaceAll(form, show(reference))
  }
  return message === issue.message ? issue : { ...issue, message }
}

function invalid(problems: readonly Problem[], file: string): Parsed {
  return { kind: 'invalid', problems: sorted(problems, file) }
}

/** By position; the main file first; equal problems (a file that two sources share) once. */
function sorted(problems: readonly Problem[], main: string): Problem[] {
  const unique = new Map(problems.map((problem) => [formatProblem(problem), problem]))
  return [...unique.values()]
    .map((problem) => ({ ...problem, message: cut(problem.message) }))
    .sort(
      (a, b) =>
        Number(a.file !== main) - Number(b.file !== main) ||
        a.file.localeCompare(b.file) ||
        a.line - b.line ||
        a.col - b.col,
    )
}

function cut(message: string): string {
  return message.length > MAX_MESSAGE_LENGTH ? `${message.slice(0, MAX_MESSAGE_LENGTH)}…` : message
}
