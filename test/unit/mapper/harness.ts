import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import {
  type Application,
  applicationSchema,
  type MappingDefinition,
  mappingSchema,
} from '../../../processors/app/schema.ts'
import { epochMs } from '../../../processors/app/units.ts'
import { createExpressions } from '../../../processors/expressions/index.ts'
import { createMapper, loadMapping, type Mapper, type RawRecord } from '../../../processors/mapper/index.ts'
import { composeSchema, type XdmSchema } from '../../../processors/xdm/index.ts'

const root = new URL('../../../', import.meta.url)
export const readFile = (file: string): string => readFileSync(fileURLToPath(new URL(file, root)), 'utf8')
export const testdata = new URL('./testdata/', import.meta.url)

/** After every fixture's own time: nothing is in the future. */
export const NOW = epochMs(Date.parse('2026-06-01T00:00:00Z'))

export const record = (value: unknown, over: Partial<RawRecord> = {}): RawRecord => ({
  key: null,
  value:
    value === null || Buffer.isBuffer(value)
      ? value
      : Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)),
  headers: {},
  timestamp: NOW,
  place: 'raw.shop[0]@7',
  ...over,
})

export const headers = (texts: Record<string, string>): Record<string, Buffer> =>
  Object.fromEntries(Object.entries(texts).map(([name, text]) => [name, Buffer.from(text)]))

export interface Setup {
  readonly name?: string
  readonly source?: Record<string, unknown>
  readonly app?: Record<string, unknown>
  readonly secrets?: Record<string, string>
  readonly schemaById?: (id: number) => Promise<object>
}

const schemas = new Map<string, XdmSchema>()
function schemaOf(app: Application): XdmSchema {
  const key = JSON.stringify(app.schema)
  const known = schemas.get(key) ?? composeSchema(app.schema)
  schemas.set(key, known)
  return known
}

export interface TestMapper extends Mapper {
  readonly schema: XdmSchema
}

/** A mapper of a ready mapping's name, or of an inline definition. */
export async function mapperOf(mapping: string | Record<string, unknown>, setup: Setup = {}): Promise<TestMapper> {
  const name = setup.name ?? (typeof mapping === 'string' ? mapping.replace(/-/g, '_') : 'shop')
  const inline = typeof mapping === 'string' ? undefined : mappingSchema.parse({ mapping: 'inline', ...mapping })
  const app = applicationSchema.parse({
    rtml: 1,
    name: 'test',
    sources: {
      [name]: {
        mapping: mapping as string | MappingDefinition,
        ...setup.source,
        ...(inline ? { mapping: inline } : {}),
      },
    },
    ...setup.app,
  })
  const schema = schemaOf(app)
  const mapper = createMapper({
    name,
    source: app.sources[name] as Application['sources'][string],
    mapping: await loadMapping(inline ?? (mapping as string), readFile),
    app,
    schema,
    expressions: createExpressions(),
    secrets: (env) => setup.secrets?.[env],
    ...(setup.schemaById ? { schemaById: setup.schemaById } : {}),
  })
  return { ...mapper, schema }
}
