/** Gaps in the progress of outputs, and which faults they belong to. */
import type { Injected } from './inject.ts'
import type { FaultKind } from './plan.ts'

/** Append times of one partition's outputs, ascending, epoch ms. */
export type Progress = readonly number[]

/** After a planned hand-over, or after the end of any other fault, a gap that begins within this time belongs to it. */
const WINDOW_MS = 8_000
const PLANNED: readonly FaultKind[] = ['worker-join', 'worker-leave']

export interface Gaps {
  readonly count: number
  readonly p50Ms: number
  readonly p99Ms: number
}

export interface PauseReport {
  /** Joins and graceful leaves: one figure a partition and hand-over. */
  readonly planned: Gaps
  /** SIGKILL of a worker: one figure a partition and kill. */
  readonly kills: Gaps
  /** The longest gap of any partition, by kind: one figure a fault. */
  readonly byKind: Readonly<Record<string, Gaps>>
}

/**
 * Only faults that stand alone count: with another one within `WINDOW_MS` before or after, a gap could be of either.
 * @param progress by partition
 */
export function pausesOf(faults: readonly Injected[], progress: readonly Progress[]): PauseReport {
  const planned: number[] = []
  const kills: number[] = []
  const byKind = new Map<FaultKind, number[]>()
  for (const fault of faults) {
    if (!isAlone(fault, faults)) continue
    const from = fault.startedAt
    const to = fault.endedAt + WINDOW_MS
    const gaps = progress.map((times) => longestGap(times, from, to)).filter((gap) => gap !== undefined)
    if (PLANNED.includes(fault.kind)) planned.push(...gaps)
    if (fault.kind === 'worker-kill') kills.push(...gaps)
    byKind.set(fault.kind, [...(byKind.get(fault.kind) ?? []), Math.max(0, ...gaps)])
  }
  const summed = [...byKind].sort(([a], [b]) => (a < b ? -1 : 1)).map(([kind, gaps]) => [kind, gapsOf(gaps)] as const)
  return { planned: gapsOf(planned), kills: gapsOf(kills), byKind: Object.fromEntries(summed) }
}

function isAlone(fault: Injected, faults: readonly Injected[]): boolean {
  return faults.every(
    (other) =>
      other === fault || other.endedAt + WINDOW_MS <= fault.startedAt || other.startedAt >= fault.endedAt + WINDOW_MS,
  )
}

/** The longest time without an output that overlaps [from, to]; a gap that began before is counted whole. */
function longestGap(times: Progress, from: number, to: number): number | undefined {
  let longest: number | undefined
  for (let index = 1; index < times.length; index++) {
    const [begin, end] = [times[index - 1]!, times[index]!]
    if (begin > to) break
    if (end < from) continue
    longest = Math.max(longest ?? 0, end - begin)
  }
  return longest
}

function gapsOf(gaps: readonly number[]): Gaps {
  const sorted = gaps.toSorted((a, b) => a - b)
  // Nearest rank: with few figures, the 99th percentile is the largest.
  const at = (share: number) => sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)] ?? 0
  return { count: sorted.length, p50Ms: at(0.5), p99Ms: at(0.99) }
}
