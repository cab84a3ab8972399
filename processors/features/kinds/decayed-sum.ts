import { compileDecayed } from './decayed.ts'
import type { Kind } from './kind.ts'

/** Values of matching events, each counting half after every half-life. No event yet: the default, 0. */
export const decayedSum: Kind<'decayedSum'> = { kind: 'decayedSum', compile: compileDecayed }
