import { compileExtreme } from './extreme.ts'
import type { Kind } from './kind.ts'

/** Greatest value inside the window. Empty: the default, missing. */
export const max: Kind<'max'> = { kind: 'max', compile: compileExtreme }
