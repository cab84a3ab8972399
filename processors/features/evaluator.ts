import type { XdmEvent } from '../app/event.ts'
import type { Expression } from '../expressions/types.ts'

/** Makes expressions of their source text. `createExpressions()` of processors/expressions is one. */
export interface Compiler {
  compile(source: string, options?: { variables?: readonly string[] }): Expression
}

const UNKNOWN = 0
const FALSE = 1
const TRUE = 2

/**
 * The filters and values of a whole feature set. Equal sources are compiled once and evaluated at most once an event,
 * however many features, entities, keys and vectors ask: results are kept until the next event comes. So an event
 * object must not be changed between calls.
 */
export class Evaluator {
  readonly #compiler: Compiler
  readonly #conditions: Expression[] = []
  readonly #values: Expression[] = []
  readonly #numbers = new Map<string, number>()
  #event: XdmEvent | undefined
  readonly #tested: number[] = []
  readonly #evaluated: boolean[] = []
  readonly #results: unknown[] = []

  constructor(compiler: Compiler) {
    this.#compiler = compiler
  }

  /** @returns the number of a condition for `test`; −1 for none. @throws when the source is no expression */
  condition(source: string | undefined): number {
    if (source === undefined) return -1
    return this.#number(`condition ${source}`, source, this.#conditions)
  }

  /** @returns the number of a value for `value`. @throws when the source is no expression */
  expression(source: string): number {
    return this.#number(`value ${source}`, source, this.#values)
  }

  #number(name: string, source: string, list: Expression[]): number {
    const known = this.#numbers.get(name)
    if (known !== undefined) return known
    const number = list.push(this.#compiler.compile(source)) - 1
    this.#numbers.set(name, number)
    return number
  }

  bind(event: XdmEvent): void {
    if (event === this.#event) return
    this.#event = event
    for (let i = 0; i < this.#conditions.length; i++) this.#tested[i] = UNKNOWN
    for (let i = 0; i < this.#values.length; i++) this.#evaluated[i] = false
  }

  /** True when the condition holds for the bound event; a failing or missing condition is false. */
  test(condition: number): boolean {
    if (condition < 0) return true
    if (this.#tested[condition] === UNKNOWN) {
      this.#tested[condition] = this.#conditions[condition]!.test(this.#event!.xdm) ? TRUE : FALSE
    }
    return this.#tested[condition] === TRUE
  }

  /** Value for the bound event; null when it is missing or its evaluation fails. */
  value(expression: number): unknown {
    if (!this.#evaluated[expression]) {
      this.#evaluated[expression] = true
      this.#results[expression] = evaluate(this.#values[expression]!, this.#event!)
    }
    return this.#results[expression]
  }
}

/** A value that can't be computed is a missing value: one odd event must not stop the stream. */
function evaluate(expression: Expression, event: XdmEvent): unknown {
  try {
    return expression.evaluate(event.xdm)
  } catch {
    return null
  }
}
