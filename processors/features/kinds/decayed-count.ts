import { compileDecayed } from './decayed.ts'
import type { Kind } from './kind.ts'

/** Matching events, each counting half after every half-life. No event yet: the default, 0. */
export const decayedCount: Kind<'decayedCount'> = { kind: 'decayedCount', compile: compileDecayed }
