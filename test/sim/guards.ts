import type { LogGuards } from './sim-log.ts'
import type { StoreGuards } from './sim-store.ts'
import type { KernelChange } from './worker-plan.ts'

/** Which safeguards of the simulated surroundings hold; a mutant switches one off. */
export interface Guards {
  readonly store: StoreGuards
  readonly log: LogGuards
  readonly kernel: KernelChange | undefined
}

export const ALL_GUARDS: Guards = {
  store: { epochCheck: true, positionCheck: true, outbox: true },
  log: { publisherFence: true },
  kernel: undefined,
}
