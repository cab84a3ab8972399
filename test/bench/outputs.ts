/**
 * Microseconds of processor time (user time, so that a busy machine doesn't count) to write one event's outputs:
 * `node test/bench/outputs.ts [--json]`. Baseline of a row of samples: the same row as a line of JSON.
 */
import { epochMs, offset } from '../../processors/app/units.ts'
import type { Column } from '../../processors/features/types.ts'
import { encodeSamples, SampleBatch, type SampleRow } from '../../processors/outputs/samples.ts'
import { decodeScores, encodeScores, profileScores } from '../../processors/outputs/scores.ts'
import type { Score } from '../../processors/scorer/types.ts'

const ROWS = 512
const SECONDS = 1

function columnsOf(floats: number, strings: number): Column[] {
  const column = (type: Column['type']) => (_: unknown, index: number) => {
    const name = `${type}_${index}`
    return { name, feature: name, type, index }
  }
  return [...Array.from({ length: floats }, column('float')), ...Array.from({ length: strings }, column('string'))]
}

function scoresOf(models: number, value: number): Score[] {
  return Array.from({ length: models }, (_, index) => {
    const model = `model_${index}`
    return { model, version: '3', service: model, role: 'champion', output: 'score', value, fallback: 'none' }
  })
}

function rowsOf(floats: number, strings: number, models: number): SampleRow[] {
  return Array.from({ length: ROWS }, (_, index) => ({
    eventId: `7f3c2a10-1111-4222-8333-${String(index).padStart(12, '0')}`,
    pseudonym: Uint8Array.from({ length: 8 }, (__, byte) => index * byte),
    eventTime: epochMs(1_700_000_000_000 + index),
    processedAt: epochMs(1_700_000_000_900),
    partition: 1,
    position: offset(index),
    vector: {
      floats: Float32Array.from({ length: floats }, (__, at) => index * at),
      strings: Array.from({ length: strings }, (__, at) => `commerce.${(index * 7 + at) % 5}`),
    },
    scores: scoresOf(models, index / ROWS),
  }))
}

/** Runs `work` for a while after a warm-up. @returns µs of user time for each of its `units` */
function measure(units: number, work: () => void): number {
  const until = (seconds: number): number => {
    const end = performance.now() + seconds * 1_000
    let rounds = 0
    while (performance.now() < end) {
      work()
      rounds++
    }
    return rounds
  }
  until(SECONDS / 2)
  const before = process.cpuUsage()
  const rounds = until(SECONDS)
  return process.cpuUsage(before).user / (rounds * units)
}

const results: { name: string; microseconds: number }[] = []
const report = (name: string, microseconds: number) => {
  results.push({ name, microseconds: Number(microseconds.toFixed(3)) })
}

for (const [floats, strings, models] of [
  [10, 1, 1],
  [50, 5, 1],
  [50, 5, 3],
] as const) {
  const shape = `${floats} floats, ${strings} texts, ${models} model${models > 1 ? 's' : ''}`
  const rows = rowsOf(floats, strings, models)
  const scores = scoresOf(models, 0).map(({ model, output }) => ({ model, output }))
  const layout = { app: 'bench', featureSetVersion: '0123456789ab', columns: columnsOf(floats, strings), scores }
  const batch = new SampleBatch(layout, ROWS)
  const add = () => {
    batch.clear()
    for (const row of rows) batch.add(row)
  }
  report(
    `samples, a row of ${ROWS}: ${shape}`,
    measure(ROWS, () => {
      add()
      encodeSamples(batch)
    }),
  )
  report(`samples, adding alone: ${shape}`, measure(ROWS, add))
  report(
    `baseline, a line of JSON: ${shape}`,
    measure(ROWS, () => {
      const lines = rows.map((row) =>
        JSON.stringify({ ...row, pseudonym: undefined, vector: { ...row.vector, floats: [...row.vector.floats] } }),
      )
      Buffer.from(lines.join('\n'))
    }),
  )
}

const event = {
  id: '7f3c2a10-1111-4222-8333-444455556666',
  ts: epochMs(1_700_000_000_000),
  key: 'ECID:12345678901234567890',
  xdm: { _id: '', timestamp: '' },
}
const context = { processedAt: epochMs(1_700_000_000_005), featureSetVersion: '0123456789ab', source: 'web' }
for (const models of [1, 3]) {
  const scores = scoresOf(models, 0.123)
  const record = profileScores(event, scores, context)
  const bytes = encodeScores(record, 7)
  report(
    `scores, encode: ${models} model${models > 1 ? 's' : ''}, ${bytes.length} bytes`,
    measure(100, () => {
      for (let index = 0; index < 100; index++) encodeScores(profileScores(event, scores, context), 7)
    }),
  )
  report(
    `scores, decode: ${models} model${models > 1 ? 's' : ''}`,
    measure(100, () => {
      for (let index = 0; index < 100; index++) decodeScores(bytes)
    }),
  )
  report(
    `baseline, JSON.stringify: ${models} model${models > 1 ? 's' : ''}`,
    measure(100, () => {
      for (let index = 0; index < 100; index++) Buffer.from(JSON.stringify(record))
    }),
  )
}

if (process.argv.includes('--json')) process.stdout.write(`${JSON.stringify(results)}\n`)
else
  for (const { name, microseconds } of results)
    process.stdout.write(`${microseconds.toFixed(3).padStart(8)} µs  ${name}\n`)
