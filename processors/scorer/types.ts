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
   * @param options.warmRows rows of the first, discarded run; default 1, 0 = none
   * @throws RtmlError MODEL_LOAD with opset and IR version when the runtime refuses
   */
  load(key: string, bytes: Uint8Array, options?: { classLabels?: boolean; warmRows?: number }): Promise<LoadedModel>
  unload(key: string): Promise<void>
  /**
   * Runs one batch on one worker. An input array that owns its whole buffer is handed over: the caller must not use it again.
   * @param signal on abort the promise rejects at once with its reason; a run still queued is dropped, a started one is ignored
   * @throws RtmlError MODEL_LOAD for an unknown key; Error with the runtime's text when the run fails; PoolBusy when the queue is full
   */
  run(
    key: string,
    inputs: Readonly<Record<string, Tensor>>,
    fetches?: readonly string[],
    signal?: AbortSignal,
  ): Promise<Record<string, Tensor>>
}

export interface LoadedModel {
  readonly key: string
  readonly signature: ModelSignature
  /** Class labels by probabilities' column, when a ZipMap or the classifier says them. */
  readonly classes: readonly (string | number)[] | undefined
  /** Outputs that stay a sequence, a map or an optional, each with the remedy. They can't be fetched. */
  readonly opaque?: readonly { readonly name: string; readonly kind: string; readonly remedy: string }[]
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
  /** Of a shadow whose model also serves in another version: `model@version`, where samples keep it. Else the model's name. */
  readonly column?: string
  /** Of a graph's first score, when it writes attributes or the row asks for it. */
  readonly answer?: GraphAnswer
}

/** What a graph says of a row besides its scores. */
export interface GraphAnswer {
  /** Columns of the answer; null: the row was filtered or has failed. */
  readonly output: Readonly<Record<string, number | string | boolean | null>> | null
  /** What it writes of the profile, by path. */
  readonly attributes: Readonly<Record<string, number | string | boolean>>
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
  /** What is known of the profile besides its features, for graphs that read it. */
  readonly profile?:
    | {
        readonly scores?: Readonly<Record<string, unknown>>
        readonly segments?: Readonly<Record<string, unknown>>
        readonly attributes?: unknown
      }
    | undefined
  /** Ask graphs for the columns of their answers. */
  readonly answers?: boolean
  /** Columns of a request, for graphs that read more than features. */
  readonly record?: Readonly<Record<string, unknown>> | undefined
  /** Only models of this service. Absent: all. */
  readonly service?: string
  /** Who asks: models that are deployed elsewhere only are left out. Absent: all models. */
  readonly at?: 'hub' | 'edge'
  /** A "what if": its scores are never remembered as the profile's last ones. */
  readonly hypothetical?: boolean
}

/** Routing, batching, deadlines and fallbacks over a pool. */
export interface Scorer {
  /** Scores of each row, in order. Never rejects for a model's failure: that becomes a fallback (or no score when none is declared and it is a shadow). */
  score(rows: readonly ScoringRow[]): Promise<Score[][]>
  /** Forgets the previous scores of a profile. Absent: none are remembered. */
  forget?(profile: string): void
  /**
   * What a call of `score` that begins now can give in samples, by column and output. The same array as long as the same
   * models serve.
   */
  outputs(): readonly ScoreOutput[]
}

/** A named score, as samples have a column for it. */
export interface ScoreOutput {
  /** `Score.column`, or the model's name. */
  readonly model: string
  readonly output: string
}
