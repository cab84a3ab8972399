import { type Ms, ms } from '../../app/units.ts'
import type { CompiledLabel } from '../../learner/labels/definition.ts'
import { keptMs } from '../../learner/labels/outcomes.ts'

/** Key of a shard's clocks among its states: no pseudonym looks like it. */
export const CLOCKS_KEY = 'clocks'

const DAY_MS = 86_400_000
const LEAST_IDLE_MS = 120_000

export interface LabelTiming {
  /** How long an outcome is remembered, in processing time. A sample that is settled later than that can't be, and is left out. */
  readonly keepMs: Ms
  /** See `StreamClocks`. */
  readonly idleMs: Ms
  /** How long the store keeps an untouched state, in wall time. */
  readonly expireMs: Ms
}

export function labelTiming(labels: readonly CompiledLabel[]): LabelTiming {
  const rules = labels.flatMap(({ rules }) => (rules ? [rules] : []))
  const keepMs = ms(2 * Math.max(0, ...rules.map(keptMs)) + DAY_MS)
  const idleMs = ms(Math.max(LEAST_IDLE_MS, ...rules.map(({ latenessMs }) => latenessMs)))
  return { keepMs, idleMs, expireMs: ms(2 * keepMs) }
}
