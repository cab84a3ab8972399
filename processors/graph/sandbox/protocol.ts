/** Messages between the thread that runs graphs and the one that runs custom modules. */
import type { Dtype } from '../frame.ts'

export interface ModuleSpec {
  /** JavaScript with one default export. */
  readonly source: string
  readonly outputs: readonly { readonly name: string; readonly type: Dtype }[]
  readonly timeoutMs: number
  readonly memoryMb: number
}

/** Columns side by side. Numbers of every type in a Float64Array. */
export interface ColumnList {
  readonly names: readonly string[]
  readonly types: readonly Dtype[]
  readonly data: readonly (Float64Array | readonly (string | null)[])[]
}

export type SandboxRequest =
  | { readonly op: 'load'; readonly id: number; readonly key: string; readonly spec: ModuleSpec }
  | { readonly op: 'unload'; readonly id: number; readonly key: string }
  | {
      readonly op: 'call'
      readonly id: number
      readonly key: string
      readonly columns: ColumnList
      readonly rows: number
    }

export type SandboxReply =
  | { readonly id: number; readonly ok: true; readonly columns?: ColumnList }
  /** `isBroken`: the interpreter itself can't be trusted any more; the thread is replaced. */
  | { readonly id: number; readonly ok: false; readonly error: string; readonly isBroken: boolean }
