/**
 * How many cases run, and how. A hunt is longer with RTML_FUZZ_FACTOR=10; a failure prints its seed and path, and
 * RTML_FUZZ_SEED=<seed> runs the same cases again.
 */
import type fc from 'fast-check'

/** Cases of one ordinary run, by property. Their sum is what CI promises: see cases.test.ts. */
export const CASES = {
  /** Of each ready mapping. */
  mutatedPayloads: 2_500,
  batches: 300,
  /** Of each format. */
  randomBytes: 6_000,
  /** Through the stages, dead letters included. */
  stages: 3_000,
  wireMutations: 24_000,
  wireGarbage: 8_000,
  applicationStructure: 1_200,
  applicationText: 1_200,
} as const

/** No case may take longer: the event loop that heartbeats would be late. */
export const CASE_MS_MAX = 1_000

const { RTML_FUZZ_FACTOR, RTML_FUZZ_SEED } = process.env
const FACTOR = Number(RTML_FUZZ_FACTOR ?? 1)
/** Generous: a machine that is shared, and a factor. */
export const TIMEOUT_MS = 300_000 * Math.max(1, FACTOR)

export function parameters<T>(cases: number): fc.Parameters<T> {
  return {
    numRuns: Math.ceil(cases * FACTOR),
    ...(RTML_FUZZ_SEED === undefined ? {} : { seed: Number(RTML_FUZZ_SEED) }),
    endOnFailure: false,
  }
}

/** Processor time since `started`, milliseconds: on a busy machine a quick case may stand still for a second. */
export function cpuMs(started: NodeJS.CpuUsage): number {
  const { user, system } = process.cpuUsage(started)
  return (user + system) / 1_000
}

/** Runs the work and fails when it takes longer than a case may. */
export function promptly<T>(work: () => T): T {
  const started = process.cpuUsage()
  const result = work()
  const took = cpuMs(started)
  if (took > CASE_MS_MAX) throw new Error(`took ${Math.round(took)} ms`)
  return result
}
