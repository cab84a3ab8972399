/** zod's issues in our words: what was found, what was expected, the nearest valid name. */
import type { z } from 'zod'
import type { Issue, Path } from './load-source-map.ts'
import { didYouMean, nearest } from './suggest.ts'

type Schema = z.core.$ZodType
type ZodIssue = z.core.$ZodIssue

/** The parts of zod's definitions that are read here. */
interface Definition {
  readonly type: string
  readonly innerType?: Schema
  readonly in?: Schema
  readonly getter?: () => Schema
  readonly shape?: Readonly<Record<string, Schema>>
  readonly valueType?: Schema
  readonly element?: Schema
  readonly options?: readonly Schema[]
  readonly discriminator?: string
  readonly values?: readonly unknown[]
  readonly entries?: Readonly<Record<string, unknown>>
  readonly format?: string
}

const MAX_SHOWN = 60

/** A value as a message shows it: texts in quotes and cut, maps and lists by their kind only. */
export function show(value: unknown): string {
  if (typeof value === 'string') {
    return JSON.stringify(value.length > MAX_SHOWN ? `${value.slice(0, MAX_SHOWN)}…` : value)
  }
  if (value === undefined || value === null) return 'nothing'
  if (Array.isArray(value)) return 'a list'
  return typeof value === 'object' ? 'a map' : String(value)
}

export function valueAt(tree: unknown, path: Path): unknown {
  let value = tree
  for (const step of path) {
    if (typeof value !== 'object' || value === null || !Object.hasOwn(value, step)) return undefined
    value = (value as Record<string | number, unknown>)[step]
  }
  return value
}

/** All problems of `tree` that zod found, each at the deepest path it can be pinned to. */
export function explainIssues(issues: readonly ZodIssue[], tree: unknown, schema: Schema): Issue[] {
  const explain = (issue: ZodIssue, base: Path): Issue[] => {
    const path = [...base, ...(issue.path as Path)]
    const found = valueAt(tree, path)
    switch (issue.code) {
      case 'unrecognized_keys':
        return issue.keys.map((key) => unknownKey([...path, key], keysAt(schema, path, tree)))
      case 'invalid_union':
        if (issue.discriminator !== undefined) {
          const { discriminator, options } = issue as { discriminator: string; options?: readonly unknown[] }
          const at = path.at(-1) === discriminator ? path : [...path, discriminator]
          return [kindIssue(at, tree, (options ?? []).map(String))]
        }
        return explainUnion(issue.errors, path, found)
      case 'invalid_value': {
        const names = issue.values.map(String)
        if (found === undefined) return [{ path, message: `is missing. Valid: ${names.join(', ')}.` }]
        return [{ path, message: notOneOf(found, names) }]
      }
      case 'invalid_type':
        return [
          { path, message: typeMessage(issue.message, found, schemasAt(schema, path, tree)), expected: issue.expected },
        ]
      case 'invalid_key':
        return [
          { path, atKey: true, message: `${show(path.at(-1))}: ${issue.issues[0]?.message ?? 'not a valid key'}.` },
        ]
      case 'too_small':
        return [{ path, message: `${sizeOf(found, issue.origin)} is too small. The least is ${issue.minimum}.` }]
      case 'too_big':
        return [{ path, message: `${sizeOf(found, issue.origin)} is too large. The most is ${issue.maximum}.` }]
      case 'invalid_format':
        return [{ path, message: withFound(issue.message, found) }]
      default:
        return [{ path, message: withFound(issue.message, found) }]
    }
  }

  /** A union failed in every branch: speak of the branch that was meant. */
  const explainUnion = (branches: readonly (readonly ZodIssue[])[], path: Path, found: unknown): Issue[] => {
    const isOtherType = ({ path: at, code }: ZodIssue) =>
      at.length === 0 && (code === 'invalid_type' || (code === 'invalid_value' && typeof found !== 'string'))
    const fits = branches.filter((branch) => !branch.some(isOtherType))
    if (fits.length === 0) {
      const words = branches.flat().find(({ code, message }) => code === 'invalid_type' && !isDefault(message))
      const message = typeMessage(words?.message ?? '', found, schemasAt(schema, path, tree))
      return [{ path, message, expected: expectedOf(branches) }]
    }
    if (fits.length > 1 && typeof found === 'object' && found !== null) {
      const known = keysAt(schema, path, tree)
      const unknown = Object.keys(found).filter((key) => !known.includes(key))
      if (unknown.length > 0) return unknown.map((key) => unknownKey([...path, key], known))
    }
    const best = fits.reduce((least, branch) => (branch.length < least.length ? branch : least))
    return best.flatMap((issue) => explain(issue, path))
  }

  return issues.flatMap((issue) => explain(issue, []))
}

function expectedOf(branches: readonly (readonly ZodIssue[])[]): string {
  for (const [issue] of branches) {
    if (issue?.code === 'invalid_type' && ['number', 'int', 'boolean'].includes(issue.expected)) return issue.expected
  }
  return 'union'
}

function unknownKey(path: Path, known: readonly string[]): Issue {
  const key = String(path.at(-1))
  return { path, atKey: true, message: `unknown key ${show(key)}.${didYouMean(key, known)}` }
}

/** The key that says which kind of map it is has a wrong value, or is missing, perhaps because it is misspelt. */
function kindIssue(path: Path, tree: unknown, kinds: readonly string[]): Issue {
  const key = String(path.at(-1))
  const found = valueAt(tree, path)
  const around = valueAt(tree, path.slice(0, -1))
  const slip = found === undefined && around !== undefined ? nearest(key, Object.keys(around as object)) : undefined
  return slip === undefined
    ? { path, message: notOneOf(found, kinds) }
    : unknownKey([...path.slice(0, -1), slip], [key])
}

function notOneOf(found: unknown, names: readonly string[]): string {
  if (found === undefined) return `is missing. Valid: ${names.join(', ')}.`
  return `${show(found)} is not one of the valid values.${typeof found === 'string' ? didYouMean(found, names) : ` Valid: ${names.join(', ')}.`}`
}

function sizeOf(found: unknown, origin: string): string {
  if (typeof found === 'string') return `a text of ${found.length} characters`
  if (Array.isArray(found)) return `a list of ${found.length}`
  return origin === 'record' || origin === 'object' ? 'a map of this size' : show(found)
}

/** Messages of the schema read "a name is …"; they get the value in front unless they speak of it themselves. */
function withFound(message: string, found: unknown): string {
  const text = /[.!?]$/.test(message) ? message : `${message}.`
  if (typeof found !== 'string' || text.startsWith('"')) return text
  return `${show(found)} is not valid: ${text}`
}

const isDefault = (message: string): boolean => message.startsWith('Invalid input')

function typeMessage(message: string, found: unknown, schemas: readonly Schema[]): string {
  // The schema's own words (they are not zod's default) are better than ours.
  if (message !== '' && !isDefault(message) && found !== undefined) return message
  const expected = [...new Set(schemas.flatMap(kindsOf))].join(' or ')
  if (found === undefined) return `is missing.${expected === '' ? '' : ` Expected ${expected}.`}`
  return `${show(found)} is not ${expected || 'valid here'}.`
}

const definitionOf = (schema: Schema): Definition => schema._zod.def as unknown as Definition

function unwrap(schema: Schema): Schema {
  let inner = schema
  for (;;) {
    const { innerType, in: input, getter } = definitionOf(inner)
    const next = innerType ?? input ?? getter?.()
    if (next === undefined) return inner
    inner = next
  }
}

/** Schemas that may describe the value at `path`: several where unions leave it open. */
function schemasAt(root: Schema, path: Path, tree: unknown): Schema[] {
  let schemas = [root]
  for (const [depth, step] of path.entries()) {
    const value = valueAt(tree, path.slice(0, depth))
    schemas = schemas.flatMap((schema) => branchesOf(schema, value)).flatMap((schema) => below(schema, step))
  }
  return schemas
}

function branchesOf(schema: Schema, value: unknown): Schema[] {
  const inner = unwrap(schema)
  const { options, discriminator } = definitionOf(inner)
  if (options === undefined) return [inner]
  if (discriminator === undefined) return options.flatMap((option) => branchesOf(option, value))
  const wanted = valueAt(value, [discriminator])
  const matching = options.filter((option) => {
    const literal = definitionOf(unwrap(option)).shape?.[discriminator]
    return literal !== undefined && definitionOf(unwrap(literal)).values?.includes(wanted)
  })
  return matching.map(unwrap)
}

function below(schema: Schema, step: string | number): Schema[] {
  const { shape, valueType, element } = definitionOf(schema)
  const next = shape === undefined ? (valueType ?? element) : Object.hasOwn(shape, step) ? shape[step] : undefined
  return next === undefined ? [] : [next]
}

function keysAt(root: Schema, path: Path, tree: unknown): string[] {
  const value = valueAt(tree, path)
  const shapes = schemasAt(root, path, tree).flatMap((schema) => branchesOf(schema, value))
  return [...new Set(shapes.flatMap((schema) => Object.keys(definitionOf(schema).shape ?? {})))]
}

const KINDS: Readonly<Record<string, string>> = {
  string: 'a text',
  boolean: 'true or false',
  array: 'a list',
  object: 'a map',
  record: 'a map',
  null: 'null',
}

function kindsOf(schema: Schema): string[] {
  const inner = unwrap(schema)
  const { type, options, values, entries, format } = definitionOf(inner)
  if (options !== undefined) return options.flatMap(kindsOf)
  if (type === 'number') return [format === 'safeint' ? 'a whole number' : 'a number']
  if (type === 'literal') return (values ?? []).map((value) => JSON.stringify(value))
  if (type === 'enum') return [`one of ${Object.values(entries ?? {}).join(', ')}`]
  return [KINDS[type] ?? 'another type']
}
