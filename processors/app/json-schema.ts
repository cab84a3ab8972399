/** The application file's schema for editors, and its reference page: both made from `applicationSchema`. */
import { z } from 'zod'
import { applicationSchema } from './schema.ts'

/** A name, not an address: the schema comes with the package. */
const SCHEMA_ID = 'urn:rtml:application-file:1'
/** Where a checkout and the packed package have it. */
export const SCHEMA_FILE = 'schemas/application.schema.json'

export interface JsonSchema {
  readonly type?: string | readonly string[]
  readonly description?: string
  readonly default?: unknown
  readonly const?: unknown
  readonly enum?: readonly unknown[]
  readonly pattern?: string
  readonly minimum?: number
  readonly maximum?: number
  readonly exclusiveMinimum?: number
  readonly properties?: Readonly<Record<string, JsonSchema>>
  readonly required?: readonly string[]
  readonly additionalProperties?: JsonSchema | boolean
  readonly items?: JsonSchema
  readonly anyOf?: readonly JsonSchema[]
  readonly oneOf?: readonly JsonSchema[]
  readonly $ref?: string
  readonly $defs?: Readonly<Record<string, JsonSchema>>
}

/**
 * JSON Schema (draft 2020-12) of what may stand in an application file. Texts with a pattern, numbers and flags also
 * accept a reference to the environment.
 */
export function jsonSchema(): JsonSchema {
  const { $schema, ...schema } = z.toJSONSchema(applicationSchema, {
    target: 'draft-2020-12',
    io: 'input',
    override: ({ jsonSchema: node }) => {
      if (node.type === 'string' && node.pattern !== undefined) node.pattern = `${node.pattern}|${REFERENCE}`
      else if (['integer', 'number', 'boolean'].includes(String(node.type)) && node.const === undefined) {
        // `pattern` speaks of texts only and `minimum` of numbers only, so both can stand in one schema.
        node.type = [node.type, 'string'] as unknown as 'string'
        node.pattern = REFERENCE
      }
    },
  })
  return { $schema, $id: SCHEMA_ID, title: 'rtml application', ...schema } as JsonSchema
}

const REFERENCE = '\\$\\{'

/** First line of an application file: editors with the YAML language server complete and check it from here on. */
export function schemaHint(schemaPath = `./node_modules/rtml/${SCHEMA_FILE}`): string {
  return `# yaml-language-server: $schema=${schemaPath}`
}

interface Row {
  readonly path: string
  readonly type: string
  readonly isRequired: boolean
  readonly default: unknown
  readonly description: string
}

/** The reference in Markdown: one table a top-level key, the kinds of features in a table of their own. */
export function referenceMarkdown(schema: JsonSchema = jsonSchema()): string {
  const sections = Object.entries(schema.properties ?? {}).map(([key, value]) => {
    const isRequired = schema.required?.includes(key) ?? false
    const rows = key === 'features' ? [] : rowsBelow(key, value)
    const head = `### ${key}\n\n${sentence(value.description ?? '')}${summary(value, isRequired)}\n`
    if (key === 'features') return `${head}\n${kindsMarkdown(value)}`
    return rows.length === 0 ? head : `${head}\n${table(rows)}`
  })
  return sections.join('\n')
}

/** Every key of the schema, with its description: what the test of completeness reads. */
export function schemaKeys(schema: JsonSchema = jsonSchema()): { path: string; description: string }[] {
  return Object.entries(schema.properties ?? {}).flatMap(([key, value]) => [
    { path: key, description: value.description ?? '' },
    ...rowsBelow(key, value),
  ])
}

function summary(schema: JsonSchema, isRequired: boolean): string {
  const parts = [
    typeText(schema),
    isRequired ? 'required' : schema.default === undefined ? 'optional' : `default ${defaultText(schema.default)}`,
  ]
  return `(${parts.join('; ')})`
}

function rowsBelow(path: string, schema: JsonSchema): Row[] {
  const rows: Row[] = []
  const seen = new Set<string>()
  const visit = (at: string, node: JsonSchema): void => {
    for (const branch of node.anyOf ?? node.oneOf ?? []) visit(at, branch)
    if (node.items) visit(`${at}[]`, node.items)
    if (typeof node.additionalProperties === 'object') visit(`${at}.<name>`, node.additionalProperties)
    for (const [key, value] of Object.entries(node.properties ?? {})) {
      const below = `${at}.${key}`
      if (seen.has(below)) continue
      seen.add(below)
      const isRequired = node.required?.includes(key) ?? false
      const description = value.description ?? ''
      rows.push({ path: below, type: typeText(value), isRequired, default: value.default, description })
      visit(below, value)
    }
  }
  visit(path, schema)
  return rows
}

/** Keys that mean the same in most kinds get one table; the kinds follow with what each has. */
function kindsMarkdown(features: JsonSchema): string {
  const definition = features.additionalProperties as JsonSchema
  const kinds = definition.oneOf ?? definition.anyOf ?? []
  const keys = new Map<string, Row>()
  for (const kind of kinds)
    for (const row of rowsBelow('features.<name>', kind)) if (!keys.has(row.path)) keys.set(row.path, row)
  const shared = [...keys.values()]
    .filter(({ path }) => path !== 'features.<name>.kind')
    .map((row) => ({ ...row, isRequired: false, default: undefined }))
  const lines = kinds.map((kind) => {
    const has = Object.entries(kind.properties ?? {}).filter(([key]) => key !== 'kind' && key !== 'description')
    const text = has.map(([key, value]) => {
      if (kind.required?.includes(key)) return `**${key}**`
      return value.default === undefined ? key : `${key} (${defaultText(value.default)})`
    })
    return `| \`${String(kind.properties?.kind?.const)}\` | ${cell(kind.properties?.kind?.description ?? '')} | ${text.join(', ')} |`
  })
  return [
    `| kind | value | keys (**required**, default in brackets) |\n|---|---|---|\n${lines.join('\n')}\n`,
    table(shared),
  ].join('\n')
}

function table(rows: readonly Row[]): string {
  const lines = rows.map((row) => {
    const fallback = row.isRequired ? '**required**' : row.default === undefined ? '' : defaultText(row.default)
    return `| \`${row.path}\` | ${row.type} | ${fallback} | ${cell(row.description)} |`
  })
  return `| key | type | default | meaning |\n|---|---|---|---|\n${lines.join('\n')}\n`
}

const cell = (text: string): string => text.replaceAll('|', '\\|').replaceAll('<', '&lt;')

function sentence(text: string): string {
  return text === '' ? '' : `${cell(text.charAt(0).toUpperCase() + text.slice(1))}. `
}

function defaultText(value: unknown): string {
  if (value === undefined) return 'none'
  if (typeof value === 'string') return value === '' ? 'empty' : `\`${value}\``
  return `\`${JSON.stringify(value)}\``
}

function typeText(node: JsonSchema): string {
  if (node.$ref !== undefined) return 'field rule'
  if (node.const !== undefined) return `\`${String(node.const)}\``
  if (node.enum) return node.enum.map((it) => `\`${String(it)}\``).join(', ')
  const options = node.anyOf ?? node.oneOf
  if (options) return [...new Set(options.map(typeText))].join(' or ')
  const type = Array.isArray(node.type) ? node.type[0] : node.type
  switch (type) {
    case 'string':
      return node.pattern?.includes('(ms|s|m|h|d|w)') ? 'duration' : 'text'
    case 'integer':
      return `whole number${rangeText(node)}`
    case 'number':
      return `number${rangeText(node)}`
    case 'boolean':
      return 'true or false'
    case 'null':
      return 'null'
    case 'array':
      return node.items && Object.keys(node.items).length > 0 ? `list of ${typeText(node.items)}` : 'list'
    case 'object':
      return typeof node.additionalProperties === 'object' ? 'map by name' : 'map'
    default:
      return 'anything'
  }
}

function rangeText({ minimum, maximum, exclusiveMinimum }: JsonSchema): string {
  const isUnbounded = (value: number | undefined) => value === undefined || Math.abs(value) >= Number.MAX_SAFE_INTEGER
  if (exclusiveMinimum !== undefined) return ` above ${exclusiveMinimum}`
  if (isUnbounded(minimum)) return isUnbounded(maximum) ? '' : ` up to ${maximum}`
  return isUnbounded(maximum) ? ` from ${minimum}` : ` ${minimum}–${maximum}`
}
