/** What an op becomes when its place in a graph is known. */
import type { ModelSignature, Tensor } from '../scorer/types.ts'
import type { Column, Frame, Schema } from './frame.ts'
import type { Where } from './problem.ts'

/** Why a row has no answer. */
export interface Failure {
  readonly node: string
  readonly column: string
}

/** What steps of one run share. */
export interface RunContext {
  readonly rows: number
  /** The first failure of each row. */
  readonly failures: (Failure | undefined)[]
  /** What went wrong with whole batches, in words. */
  readonly problems: string[]
  /** Columns of sources, by node. */
  source(node: string): Frame
  /** Runs the model of an `onnx` node. @throws Error when the run fails */
  runModel(
    sha256: string,
    feeds: Readonly<Record<string, Tensor>>,
    fetches: readonly string[],
  ): Promise<Record<string, Tensor>>
  /** Calls the module of a `custom` node. @throws Error when it breaks a bound, throws, or answers in another form */
  callModule(node: string, columns: ReadonlyMap<string, Column>, rows: number): Promise<ReadonlyMap<string, Column>>
}

export interface Step {
  readonly schema: Schema
  /** Columns that the node makes or changes. */
  readonly changed: readonly string[]
  run(inputs: readonly Frame[], context: RunContext): Frame | Promise<Frame>
}

/** What checking a node needs to know of the rest. */
export interface StepContext {
  /** Of a model that the runtime has loaded; undefined: not loaded, checks of it come later. */
  signature(sha256: string): ModelSignature | undefined
}

export const at = (node: { readonly id: string }, port?: string): Where => ({ node: node.id, port })

/** Takes rows out of a frame and notes why. `bad`: 1 for a row that failed. */
export function failRows(frame: Frame, bad: Uint8Array, context: RunContext, node: string, column: string): Frame {
  let kept: Uint8Array | undefined
  for (let row = 0; row < frame.rows; row++) {
    if (bad[row] !== 1 || frame.kept?.[row] === 0) continue
    kept ??= frame.kept?.slice() ?? new Uint8Array(frame.rows).fill(1)
    kept[row] = 0
    context.failures[row] ??= { node, column }
  }
  return kept ? { ...frame, kept } : frame
}
