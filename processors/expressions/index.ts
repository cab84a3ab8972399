import type { EpochMs, Random } from '../app/units.ts'
import { compileExpression } from './compile.ts'
import { findZone, UTC, type Zone } from './dates/zones.ts'
import type { Expression } from './types.ts'

export { ExpressionError } from './errors.ts'
export { functionReference } from './functions/registry.ts'

export interface ExpressionsOptions {
  /** Current time, for `now()` and `timestamp()`. Without it they are refused at compile time. */
  readonly clock?: () => EpochMs
  /** For `uuid()`. Without it it is refused at compile time. */
  readonly random?: Random
  /** True where a replay must give the same result: refuses `now`, `timestamp()`, `uuid`, `guid` at compile time. */
  readonly replayable?: boolean
  /** Zone of texts that name none, e.g. `Europe/Paris`; default UTC. */
  readonly timeZone?: string
}

interface CompileOptions {
  /** Names that are given to `evaluate` beside the root, e.g. `item`, `index`. They hide fields of the same name. */
  readonly variables?: readonly string[]
}

/** Compiles expressions: CEL with Data Prep's functions (docs/expressions.md). */
export interface Expressions {
  /**
   * Compile once, evaluate many times.
   * @throws ExpressionError `syntax`, `unknown-function`, `argument` or `limit`, with the column and the remedy
   */
  compile(source: string, options?: CompileOptions): Expression
}

/** @throws RangeError when the time zone is not known */
export function createExpressions(options: ExpressionsOptions = {}): Expressions {
  const context = { clock: options.clock, random: options.random, zone: zoneOf(options.timeZone) }
  const replayable = options.replayable ?? false
  return {
    compile(source, { variables = [] } = {}) {
      return compileExpression(source, { variables: new Set(variables), context, replayable, specialize: true })
    },
  }
}

function zoneOf(name: string | undefined): Zone {
  const zone = name === undefined ? UTC : findZone(name)
  if (zone === undefined) throw new RangeError(`${JSON.stringify(name)} is not a time zone. Use UTC or Europe/Paris.`)
  return zone
}
