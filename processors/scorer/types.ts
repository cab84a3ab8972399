import type { XdmEvent } from '../app/event.ts'
import type { Vector } from '../features/types.ts'

export interface TensorInfo {
  readonly name: string
  readonly type: string
  /** Symbolic or unknown dimensions are -1. Undefined: the value is a sequence or a map. */
  readonly dims: readonly number[] | undefined
}

export interface ModelSignature {
  readonly inputs: readonly TensorInfo[]
  readonly outputs: readonly TensorInfo[]
}

export type TensorData =
  | Float32Array
  | Float64Array
  | Int32Array
  | BigInt64Array
  | BigUint64Array
  | Uint8Array
  | Uint16Array
  | Int8Array
  | Int16Array
  | Uint32Array
  | readonly string[]

export interface Tensor {
  readonly type: string
  readonly dims: readonly number[]
  readonly data: TensorData
}

/** ONNX sessions in worker threads. The calling thread is never blocked by inference or loading. */
export interface ModelPool extends AsyncDisposable {
  /**
   * Loads into every worker under `key` (id@version#hash) and warms up. Loading an already loaded key is free.
   * A ZipMap at the output is taken out and the probabilities exposed as a tensor.
   * @throws RtmlError MODEL_LOAD with opset and IR version when the runtime refuses
   */
  load(key: string, bytes: Uint8Array, options?: { classLabels?: boolean }): Promise<LoadedModel>
  unload(key: string): Promise<void>
  /** Runs one batch on one worker. @throws RtmlError MODEL_LOAD for an unknown key; Error with the runtime's text when the run fails */
  run(
    key: string,
    inputs: Readonly<Record<string, Tensor>>,
    fetches?: readonly string[],
  ): Promise<Record<string, Tensor>>
}

export interface LoadedModel {
  readonly key: string
  readonly signature: ModelSignature
  /** Class labels by probabilities' column, when a ZipMap or the classifier says them. */
  readonly classes: readonly (string | number)[] | undefined
}

export interface Score {
  readonly model: string
  readonly version: string
  readonly service: string
  readonly role: 'champion' | 'arm' | 'shadow'
  /** Name of the output for a model of several; else 'score'. */
  readonly output: string
  readonly value: number
  readonly fallback: 'none' | 'previous' | 'prior' | 'rule'
  readonly explanation?: readonly Attribution[]
}

/** How much a feature moved the score from the baseline vector's: leave-one-out. */
export interface Attribution {
  readonly feature: string
  readonly contribution: number
}

export interface ScoringRow {
  readonly event: XdmEvent
  readonly vector: Vector
  /** Ask for attributions of every model, whatever the sampling says. */
  readonly explain?: boolean
}

/** Routing, batching, deadlines and fallbacks over a pool. */
export interface Scorer {
  /** Scores of each row, in order. Never rejects for a model's failure: that becomes a fallback (or no score when none is declared and it is a shadow). */
  score(rows: readonly ScoringRow[]): Promise<Score[][]>
}
