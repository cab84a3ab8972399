import type { Guards } from './guards.ts'
import type { Scenario } from './scenario.ts'
import { simulate } from './world.ts'

/** Indexes of the records and faults that stay; undefined = all. */
export interface Mask {
  readonly events?: readonly number[] | undefined
  readonly faults?: readonly number[] | undefined
}

export function masked(scenario: Scenario, { events, faults }: Mask): Scenario {
  return {
    ...scenario,
    events: events ? scenario.events.filter((_, index) => events.includes(index)) : scenario.events,
    faults: faults ? scenario.faults.filter((_, index) => faults.includes(index)) : scenario.faults,
  }
}

/**
 * Takes faults and records away for as long as the scenario still fails, in ever smaller pieces (delta debugging).
 * What is left may fail for another reason than before: it is shorter to read all the same.
 * @param maxRuns bound of the work
 */
export async function shrink(scenario: Scenario, guards: Guards | undefined, maxRuns: number): Promise<Mask> {
  let runs = 0
  const fails = async (mask: Mask) => {
    runs++
    return (await simulate(masked(scenario, mask), guards ? { guards } : {})).problems.length > 0
  }
  let mask: Required<Mask> = { events: scenario.events.map((_, i) => i), faults: scenario.faults.map((_, i) => i) }
  for (const part of ['faults', 'events', 'faults'] as const) {
    for (let size = Math.ceil(mask[part]!.length / 2); size >= 1; size = size === 1 ? 0 : Math.ceil(size / 2)) {
      for (let from = 0; from < mask[part]!.length && runs < maxRuns; ) {
        const fewer = { ...mask, [part]: mask[part]!.toSpliced(from, size) }
        if (await fails(fewer)) mask = fewer
        else from += size
      }
    }
  }
  return mask
}
