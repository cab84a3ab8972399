/**
 * Replays the bundles of models/python/kinds.py with the scorer, and times it: `node test/python/kinds.ts DIR` prints a line a kind.
 */
import { readdirSync, readFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import { readBundle } from '../../processors/graph/bundle.ts'
import { compileGraph } from '../../processors/graph/program.ts'
import { type Question, readQuestions } from '../../processors/graph/questions.ts'
import { fetchesOf } from '../../processors/graph/wire.ts'
import { createModelPool } from '../../processors/scorer/index.ts'
import { openBundle, replayTests, tensorsFor } from '../../processors/scorer/replay-bundle.ts'

/** Rows of a run: as on the stream. */
const ROWS = 256
const RUNS = 20

export interface Replayed {
  readonly kind: string
  readonly rows: number
  readonly largest: number
  readonly difference: unknown
  /** Of the call of the pool, micro-batches of 256, best of 20. */
  readonly usPerRow: number
}

export async function replayKinds(dir: string): Promise<Replayed[]> {
  await using pool = await createModelPool({})
  const replayed: Replayed[] = []
  for (const file of readdirSync(dir)
    .filter((name) => name.endsWith('.rtml'))
    .sort()) {
    const bytes = readFileSync(join(dir, file))
    await using loaded = await openBundle(bytes, pool)
    const { rows, largest, difference } = await replayTests(bytes, loaded.key, pool)
    const { graph, tests } = readBundle(bytes)
    const program = compileGraph(graph)
    const questions = tests.slice(0, ROWS).map(({ question }) => question as Question)
    let best = Number.POSITIVE_INFINITY
    for (let run = 0; run < RUNS; run++) {
      // The pool takes the tensors over: each run needs its own.
      const tensors = tensorsFor(readQuestions(program, questions))
      const started = performance.now()
      await pool.run(loaded.key, tensors, fetchesOf(program))
      best = Math.min(best, performance.now() - started)
    }
    const usPerRow = (best * 1_000) / Math.min(ROWS, tests.length)
    replayed.push({ kind: basename(file, '.rtml'), rows, largest, difference, usPerRow })
  }
  return replayed
}

const [, script, dir] = process.argv
if (script === import.meta.filename && dir !== undefined)
  for (const line of await replayKinds(dir)) process.stdout.write(`${JSON.stringify(line)}\n`)
