/** One model over many vectors: chunks, lanes, deadline. Every row ends with a number or a reason why there is none. */
import { setImmediate as nextTurn } from 'node:timers/promises'
import { type Clock, ms } from '../app/units.ts'
import type { Vector } from '../features/types.ts'
import { FAILED, KEPT, STATE } from '../graph/wire.ts'
import type { Binding } from './bind.ts'
import { packInputs, readOutput } from './pack.ts'
import { PoolBusy } from './pool.ts'
import type { GraphAnswer, ModelPool, Tensor } from './types.ts'

/** Why a row has no score of the model itself. */
export const MISSES = ['deadline', 'error', 'busy', 'notFinite', 'input', 'filtered'] as const
export type Miss = (typeof MISSES)[number]

export interface Outcome {
  /** Row-major: value of output `o` of row `r` at `r * outputs + o`. Meaningless where the row has a miss. */
  readonly values: Float64Array
  /** By row; undefined: every output has a finite number, or for a graph at least the service's score. */
  readonly misses: (Miss | undefined)[]
  readonly runs: number
  readonly errors: readonly Error[]
  /** Of a graph, by row, when they were asked for. */
  readonly answers?: (GraphAnswer | undefined)[]
}

export interface RunTarget {
  readonly pool: ModelPool
  readonly clock: Clock
  readonly key: string
  readonly binding: Binding
  readonly maxBatchRows: number
  /** A graph's answers are wanted beside its scores. */
  readonly wantsAnswers?: boolean
}

interface RunningOutcome extends Outcome {
  runs: number
  readonly errors: Error[]
}

/** Chunks at the pool at once: keeps two workers busy without flooding the queue that other callers share. */
const LANES = 4
/** Values packed in one go: float32 takes about a nanosecond a value, BigInt and text up to fifty. Holds the loop ≤ 2 ms a chunk. */
const MAX_PACKED_FLOATS = 262_144
const MAX_PACKED_OTHERS = 32_768

/** @param budgetMs from now; undefined: as long as it takes */
export async function runModel(
  target: RunTarget,
  vectors: readonly Vector[],
  budgetMs: number | undefined,
): Promise<Outcome> {
  const { binding } = target
  const outputs = binding.outputs.length
  const values = new Float64Array(vectors.length * outputs)
  const misses = new Array<Miss | undefined>(vectors.length).fill('deadline')
  const answers = binding.answers && (target.wantsAnswers || binding.answers.areAlwaysWanted)
  const outcome: RunningOutcome = { values, misses, runs: 0, errors: [], ...(answers ? { answers: [] } : {}) }
  const chunkRows = binding.fixedRows ?? chunkSize(target)
  await withBudget(target.clock, budgetMs, async (signal) => {
    let next = 0
    const lane = async () => {
      while (next < vectors.length && !signal?.aborted) {
        const from = next
        next += chunkRows
        await runChunk(target, vectors, from, Math.min(next, vectors.length), outcome, signal)
      }
    }
    await Promise.all(Array.from({ length: Math.min(LANES, Math.ceil(vectors.length / chunkRows)) }, lane))
  })
  return outcome
}

function chunkSize({ binding, maxBatchRows }: RunTarget): number {
  let limit = maxBatchRows
  for (const { type, indexes } of binding.inputs) {
    const packed = type === 'float32' ? MAX_PACKED_FLOATS : MAX_PACKED_OTHERS
    limit = Math.min(limit, Math.max(1, Math.floor(packed / indexes.length)))
  }
  return limit
}

async function runChunk(
  { pool, key, binding }: RunTarget,
  vectors: readonly Vector[],
  from: number,
  to: number,
  outcome: RunningOutcome,
  signal: AbortSignal | undefined,
): Promise<void> {
  const rows = binding.fixedRows ?? to - from
  const unfit = new Uint8Array(rows)
  outcome.runs++
  try {
    const inputs = packInputs(binding, vectors, from, to, rows, unfit)
    const results = await pool.run(key, inputs, binding.fetches, signal)
    outcome.misses.fill(undefined, from, to)
    const stride = binding.outputs.length
    for (const [o, output] of binding.outputs.entries()) {
      readOutput(output, results[output.tensor], rows, to - from, (row, value) => {
        outcome.values[(from + row) * stride + o] = value
        if (!output.isOptional && !Number.isFinite(value)) outcome.misses[from + row] = 'notFinite'
      })
      const kept = output.keptTensor === undefined ? undefined : results[output.keptTensor]
      if (kept)
        dropRows(kept, from, to, (row) => {
          outcome.values[row * stride + o] = Number.NaN
        })
    }
    readState(results[STATE], from, to, outcome.misses)
    const { answers } = outcome
    if (answers)
      for (const [row, it] of binding.answers?.of(results, to - from).entries() ?? []) answers[from + row] = it
    for (let row = 0; row < to - from; row++) if (unfit[row]) outcome.misses[from + row] = 'input'
  } catch (error) {
    if (signal?.aborted && error === signal.reason) return
    outcome.misses.fill(error instanceof PoolBusy ? 'busy' : 'error', from, to)
    outcome.errors.push(error as Error)
  }
}

/** What a graph says of its rows: filtered ones have no score, failed ones get the fallback. */
function readState(state: Tensor | undefined, from: number, to: number, misses: (Miss | undefined)[]): void {
  if (state?.type !== 'uint8') return
  for (let row = from; row < to; row++) {
    const it = state.data[row - from]
    if (it !== KEPT) misses[row] = it === FAILED ? 'input' : 'filtered'
  }
}

function dropRows({ data }: Tensor, from: number, to: number, drop: (row: number) => void): void {
  for (let row = from; row < to; row++) if (data[row - from] !== 1) drop(row)
}

/** Gives `work` a signal that aborts when the budget is used up. */
async function withBudget(
  clock: Clock,
  budgetMs: number | undefined,
  work: (signal: AbortSignal | undefined) => Promise<void>,
): Promise<void> {
  if (budgetMs === undefined) return work(undefined)
  const late = new AbortController()
  const done = new AbortController()
  const watch = async () => {
    await clock.sleep(ms(budgetMs), done.signal)
    // A loop that was held up runs its timers first: results that already lie in the mailbox are read before giving up.
    if (!done.signal.aborted) await nextTurn()
    if (!done.signal.aborted) late.abort(new Error(`no result within ${budgetMs} ms`))
  }
  const watching = watch()
  try {
    await work(late.signal)
  } finally {
    done.abort()
    await watching
  }
}
