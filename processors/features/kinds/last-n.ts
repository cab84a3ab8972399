import type { Kind } from './kind.ts'
import { compileOrdered } from './ordered.ts'

/** Values of the n latest matching events inside the window, newest in `[0]`. Places without one: the default, missing. */
export const lastN: Kind<'lastN'> = { kind: 'lastN', compile: (feature) => compileOrdered(feature, 'last') }
