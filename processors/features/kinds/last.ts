import type { Kind } from './kind.ts'
import { compileOrdered } from './ordered.ts'

/** Value of the latest matching event inside the window, by (event time, id hash). Empty: the default, missing. */
export const last: Kind<'last'> = { kind: 'last', compile: (feature) => compileOrdered(feature, 'last') }
