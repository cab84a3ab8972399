import type { Table } from 'apache-arrow'
import type { z } from 'zod'
import { decodeSamples } from '../../outputs/index.ts'
import { type Distribution, distributionOfNumbers, distributionOfTexts } from '../distribution.ts'
import type { Edge } from '../edge.ts'
import { newestOf } from '../log-search.ts'
import { featuresAnswer } from '../schemas-operations.ts'
import { answers, type RouteContext } from './route.ts'

type Answer = z.output<typeof featuresAnswer>

/** Rows that distributions are made of: enough for a 99th percentile, little enough to be exact about. */
const MAX_ROWS = 5_000
const BACK = { maxOffsets: 4_000, maxMs: 500, limit: 200 }
/** One computation serves everybody who asks meanwhile: it reads megabytes. */
const FRESH_MS = 5_000

export function featureRoutes({ server, edge }: RouteContext): void {
  let cached: { readonly edge: Edge; readonly at: number; readonly answer: Promise<Answer> } | undefined
  server.route({
    method: 'GET',
    url: '/v1/features',
    config: { scope: 'features:read' },
    schema: {
      tags: ['operations'],
      summary: 'Feature definitions, and how their newest served values are distributed',
      response: answers({ 200: featuresAnswer }),
    },
    handler: () => {
      const it = edge()
      const now = it.clock.now()
      if (cached?.edge === it && now - cached.at < FRESH_MS) return cached.answer
      const answer = featuresOf(it)
      cached = { edge: it, at: now, answer }
      answer.catch(() => {
        cached = undefined
      })
      return answer
    },
  })
}

async function featuresOf(edge: Edge): Promise<Answer> {
  const { plan } = edge
  const { tables, sample } = await newestSamples(edge)
  const rows = sample?.rows ?? 0
  const numbers = (column: string): Distribution | null =>
    rows === 0 ? null : distributionOfNumbers(floatsOf(tables, column, rows))
  return {
    featureSetVersion: plan.featureSet.version,
    sample,
    features: plan.featureSet.columns.map(({ name, feature, type }) => {
      const definition = plan.app.features[feature]
      return {
        feature,
        column: name,
        type: type === 'float' ? ('number' as const) : ('text' as const),
        kind: definition?.kind ?? 'value',
        entity: definition && 'entity' in definition ? String(definition.entity ?? 'profile') : 'profile',
        definition: { ...definition },
        usedBy: plan.models.filter(({ name: model }) => readsOf(edge, model).has(feature)).map((model) => model.name),
        distribution: type === 'float' ? numbers(name) : rows === 0 ? null : distributionOfTexts(textsOf(tables, name)),
      }
    }),
    scores: plan.models.flatMap((model) =>
      Object.keys(model.outputs).flatMap((output) => {
        const column = output === 'score' ? `score.${model.name}` : `score.${model.name}.${output}`
        const distribution = numbers(column)
        return distribution ? [{ model: model.name, output, distribution }] : []
      }),
    ),
  }
}

/** Features that a model reads. */
function readsOf({ scorer }: Edge, model: string): Set<string> {
  const found = scorer?.serving().find((it) => it.model === model)
  return new Set(found?.binding.inputs.flatMap(({ columns }) => columns.map(({ feature }) => feature)))
}

async function newestSamples(edge: Edge): Promise<{ tables: Table[]; sample: Answer['sample'] }> {
  const { plan, engine, clock } = edge
  const all = await engine.log.bounds(plan.topics.samples)
  const found: { table: Table; at: number }[] = []
  const perPartition = Math.ceil(MAX_ROWS / Math.max(1, all.length))
  for (const bounds of all) {
    let rows = 0
    const read = ({ value, timestamp }: { value: Buffer | null; timestamp: number }) => {
      if (value === null || rows >= perPartition) return undefined
      const { table, featureSetVersion } = decodeSamples(value)
      if (featureSetVersion !== plan.featureSet.version) return undefined
      rows += table.numRows
      return { table, at: timestamp }
    }
    const newest = await newestOf(engine.log, bounds, read, BACK, clock)
    found.push(...newest.found.map(({ value }) => value))
  }
  if (found.length === 0) return { tables: [], sample: null }
  const tables = found.map(({ table }) => table)
  const times = found.map(({ at }) => at)
  return {
    tables,
    sample: {
      rows: tables.reduce((sum, { numRows }) => sum + numRows, 0),
      records: tables.length,
      from: new Date(Math.min(...times)).toISOString(),
      to: new Date(Math.max(...times)).toISOString(),
    },
  }
}

function floatsOf(tables: readonly Table[], column: string, rows: number): Float64Array {
  const values = new Float64Array(rows).fill(Number.NaN)
  let at = 0
  for (const table of tables) {
    const cells = table.getChild(column)
    for (let row = 0; row < table.numRows; row++, at++) {
      const cell: unknown = cells?.get(row)
      if (typeof cell === 'number') values[at] = cell
    }
  }
  return values
}

const textsOf = (tables: readonly Table[], column: string): string[] =>
  tables.flatMap((table) => {
    const cells = table.getChild(column)
    return Array.from({ length: table.numRows }, (_, row) => String(cells?.get(row) ?? ''))
  })
