/** Seeded rows with what usually goes wrong in them: NaN and its payloads, signed zeros, empty and wide texts, no score. */
import { epochMs, offset } from '../../../processors/app/units.ts'
import type { Column } from '../../../processors/features/types.ts'
import type { SampleLayout, SampleRow } from '../../../processors/outputs/samples.ts'
import type { Score } from '../../../processors/scorer/types.ts'

export const LAYOUT: SampleLayout = {
  app: 'shop',
  featureSetVersion: '0123456789ab',
  columns: [
    ...['views_1h', 'amount_1d', 'last_types[0]=a'].map(
      (name, index): Column => ({ name, feature: name, type: 'float', index }),
    ),
    ...['category', 'städte'].map((name, index): Column => ({ name, feature: name, type: 'string', index })),
  ],
  scores: [
    { model: 'propensity', output: 'score' },
    { model: 'basket', output: 'size' },
    { model: 'basket', output: 'value' },
  ],
}

const BITS = [0x7fc00000, 0xffc00001, 0x80000000, 0, 1, 0x7f800000, 0xff800000, 0x00800000]
const TEXTS = ['', 'shoes', 'shoes', 'Zürich', '東京', '😀'.repeat(20), 'a\u0000b']

/** No float of JavaScript is a signalling NaN; the processor makes it quiet on the first move. */
function quiet(bits: number): number {
  const isNan = (bits & 0x7f800000) === 0x7f800000 && (bits & 0x007fffff) !== 0
  return isNan ? (bits | 0x00400000) >>> 0 : bits
}

export function sampleRows(count: number): SampleRow[] {
  let state = 42
  const next = (): number => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return state
  }
  return Array.from({ length: count }, (_, index) => {
    const bits = Uint32Array.from({ length: 3 }, () => (next() % 3 === 0 ? BITS[next() % BITS.length]! : quiet(next())))
    const at = index * 997
    return {
      eventId: `event-${index}-${next().toString(36)}`,
      pseudonym: index % 7 === 0 ? undefined : Uint8Array.from({ length: 8 }, () => next() >>> 24),
      eventTime: epochMs(index === 0 ? -1 : 1_700_000_000_000 + at),
      processedAt: epochMs(1_700_000_000_005 + at),
      partition: index % 4,
      position: offset(index === 1 ? Number.MAX_SAFE_INTEGER : at),
      vector: {
        floats: new Float32Array(bits.buffer),
        strings: [TEXTS[next() % TEXTS.length]!, TEXTS[next() % TEXTS.length]!],
      },
      scores: scoresOf(index, next() / 2 ** 32),
    }
  })
}

function scoresOf(index: number, value: number): Score[] {
  const score = (model: string, output: string, version: string): Score => ({
    model,
    output,
    version,
    service: model,
    role: index % 2 === 0 ? 'champion' : 'shadow',
    value,
    fallback: index % 11 === 0 ? 'prior' : 'none',
  })
  if (index % 5 === 3) return []
  if (index % 5 === 4) return [score('propensity', 'score', '4')]
  return [score('basket', 'value', '1'), score('propensity', 'score', '3'), score('basket', 'size', '1')]
}

/** What a reader must find, as JSON: float bits as whole numbers, so that NaN and -0 count. */
export function expected(rows: readonly SampleRow[]): Record<string, unknown[]> {
  const scored = (model: string, output?: string) => (row: SampleRow) =>
    row.scores.find((it) => it.model === model && (output === undefined || it.output === output))
  const bits = (index: number) => (row: SampleRow) => new Uint32Array(row.vector.floats.slice().buffer)[index]!
  const columns: Record<string, (row: SampleRow) => unknown> = {
    event_id: (row) => row.eventId,
    event_ts: (row) => row.eventTime,
    processed_at: (row) => row.processedAt,
    partition: (row) => row.partition,
    position: (row) => row.position,
    pseudonym: (row) => (row.pseudonym ? String(Buffer.from(row.pseudonym).readBigUInt64LE()) : null),
  }
  for (const { name, type, index } of LAYOUT.columns) {
    columns[name] = type === 'float' ? bits(index) : (row) => row.vector.strings[index]
  }
  columns['score.propensity'] = (row) => scored('propensity', 'score')(row)?.value ?? null
  columns['score.basket.size'] = (row) => scored('basket', 'size')(row)?.value ?? null
  columns['score.basket.value'] = (row) => scored('basket', 'value')(row)?.value ?? null
  for (const model of ['propensity', 'basket']) {
    columns[`version.${model}`] = (row) => scored(model)(row)?.version ?? null
    columns[`role.${model}`] = (row) => scored(model)(row)?.role ?? null
    columns[`fallback.${model}`] = (row) => scored(model)(row)?.fallback ?? null
  }
  return Object.fromEntries(Object.entries(columns).map(([name, read]) => [name, rows.map(read)]))
}
