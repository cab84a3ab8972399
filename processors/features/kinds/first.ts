import type { Kind } from './kind.ts'
import { compileOrdered } from './ordered.ts'

/** Value of the earliest matching event inside the window, by (event time, id hash). Empty: the default, missing. */
export const first: Kind<'first'> = { kind: 'first', compile: (feature) => compileOrdered(feature, 'first') }
