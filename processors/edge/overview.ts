import type { StageStatus } from '../runtime/service.ts'

/** Figures of a worker. */
export interface Overview {
  readonly app: string
  readonly engine: string
  readonly topics: readonly { readonly name: string; readonly events: number }[]
  readonly stages: readonly { readonly name: string; readonly state: string; readonly shards: number }[]
  readonly counts: Readonly<Record<string, number>>
  readonly latencyMs: { readonly p50: number | null; readonly p99: number | null }
}

/** Text of a stage's shards: the worst state wins. */
export function stageState({ shards }: Pick<StageStatus, 'shards'>): string {
  const states = [...shards.values()].map(({ state }) => state)
  return states.find((state) => state !== 'running') ?? (states.length > 0 ? 'running' : 'waiting')
}
