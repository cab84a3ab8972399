/** Messages between the pool and its worker threads. */
import type { Opaque, Opset } from './model-file.ts'
import type { ModelSignature, TensorData } from './types.ts'

/** Fields side by side instead of objects in a list: fewer objects to clone for each run. */
export interface TensorList {
  readonly names: readonly string[]
  readonly types: readonly string[]
  readonly dims: readonly (readonly number[])[]
  readonly data: readonly TensorData[]
}

export type Request =
  | {
      readonly op: 'load'
      readonly id: number
      readonly key: string
      readonly bytes: Uint8Array
      readonly warmRows: number
    }
  | { readonly op: 'unload'; readonly id: number; readonly key: string }
  | {
      readonly op: 'run'
      readonly id: number
      readonly key: string
      readonly inputs: TensorList
      readonly fetches: readonly string[] | undefined
    }
  | { readonly op: 'close'; readonly id: number }

export interface Loaded {
  readonly signature: ModelSignature
  readonly classes: readonly (string | number)[] | undefined
  readonly exposed: readonly string[]
  readonly opaque: readonly Opaque[]
  readonly irVersion: number
  readonly opsets: readonly Opset[]
}

export type Reply =
  | { readonly id: number; readonly ok: true; readonly loaded?: Loaded; readonly outputs?: TensorList }
  | { readonly id: number; readonly ok: false; readonly error: string }
