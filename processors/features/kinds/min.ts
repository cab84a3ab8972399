import { compileExtreme } from './extreme.ts'
import type { Kind } from './kind.ts'

/** Least value inside the window. Empty: the default, missing. */
export const min: Kind<'min'> = { kind: 'min', compile: compileExtreme }
