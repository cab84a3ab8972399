import type { Eval } from './access.ts'
import { type ArithmeticOperator, arithmetic } from './arithmetic.ts'
import type { Code, Compiler } from './code.ts'
import { refuse } from './errors.ts'
import type { ASTNode } from './parse.ts'
import { compare, equal, field, isMap, show, typeName } from './values.ts'
import { spend } from './work.ts'

export type Comparison = '<' | '<=' | '>' | '>='

const isScalar = (value: unknown): boolean =>
  typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean'

/** `a op b` on numbers, texts, lists, dates. Null in, null out. */
export function compileArithmetic(
  compiler: Compiler,
  node: ASTNode,
  operator: ArithmeticOperator,
  left: Code,
  right: Code,
): Code {
  const a = left.eval
  const b = right.eval
  const general: Eval = (root, variables, locals) => {
    const x = a(root, variables, locals)
    const y = b(root, variables, locals)
    return x === null || x === undefined || y === null || y === undefined ? null : arithmetic(operator, x, y)
  }
  return { eval: compiler.guard(node, compiler.specialize ? onNumbers(operator, a, b, general) : general) }
}

/** Two finite numbers are the case of nearly every event; the closures below keep it to a check and an instruction. */
function onNumbers(operator: ArithmeticOperator, a: Eval, b: Eval, general: Eval): Eval {
  const of =
    (run: (x: number, y: number) => number): Eval =>
    (root, variables, locals) => {
      const x = a(root, variables, locals)
      const y = b(root, variables, locals)
      if (typeof x === 'number' && typeof y === 'number') {
        const result = run(x, y)
        if (Number.isFinite(result)) return result
      }
      if (x === null || x === undefined || y === null || y === undefined) return null
      return arithmetic(operator, x, y)
    }
  switch (operator) {
    case '+':
      return of((x, y) => x + y)
    case '-':
      return of((x, y) => x - y)
    case '*':
      return of((x, y) => x * y)
    case '/':
      return of((x, y) => x / y)
    default:
      return general
  }
}

export function compileNegation(compiler: Compiler, node: ASTNode, operand: Code): Code {
  const { eval: a, literal } = operand
  if (literal !== undefined && (typeof literal.value === 'number' || typeof literal.value === 'bigint')) {
    const value = typeof literal.value === 'bigint' ? -literal.value : 0 - literal.value
    return { eval: () => value, literal: { value }, total: true }
  }
  return {
    eval: compiler.guard(node, (root, variables, locals) => {
      const x = a(root, variables, locals)
      return x === null || x === undefined ? null : arithmetic('*', -1, x)
    }),
  }
}

/** `==` and `!=`: only `== null` asks whether a value is missing; beside anything else a missing value makes the result null. */
export function compileEquality(
  compiler: Compiler,
  node: ASTNode,
  left: Code,
  right: Code,
  { negated }: { negated: boolean },
): Code {
  if (right.literal?.value === null) return isMissing(left, negated)
  if (left.literal?.value === null) return isMissing(right, negated)
  if (right.literal !== undefined && isScalar(right.literal.value))
    return equalsScalar(compiler, left, right.literal.value, negated)
  if (left.literal !== undefined && isScalar(left.literal.value))
    return equalsScalar(compiler, right, left.literal.value, negated)
  const a = left.eval
  const b = right.eval
  return {
    boolean: true,
    eval: compiler.guard(node, (root, variables, locals) => {
      const x = a(root, variables, locals)
      const y = b(root, variables, locals)
      if (x === null || x === undefined || y === null || y === undefined) return null
      return equal(x, y) !== negated
    }),
  }
}

function isMissing(operand: Code, negated: boolean): Code {
  const a = operand.eval
  return {
    boolean: true,
    total: operand.total === true,
    eval: (root, variables, locals) => {
      const x = a(root, variables, locals)
      return (x === null || x === undefined) !== negated
    },
  }
}

function equalsScalar(compiler: Compiler, operand: Code, value: unknown, negated: boolean): Code {
  const a = operand.eval
  const general: Eval = (root, variables, locals) => {
    const x = a(root, variables, locals)
    return x === null || x === undefined ? null : equal(x, value) !== negated
  }
  // Two values of unlike types are never equal, but for a date beside a text and a bigint beside a number.
  const fast: Eval = (root, variables, locals) => {
    const x = a(root, variables, locals)
    if (x === value) return !negated
    if (x === null || x === undefined) return null
    return typeof x === 'object' || typeof x === 'bigint' ? equal(x, value) !== negated : negated
  }
  return { boolean: true, total: operand.total === true, eval: compiler.specialize ? fast : general }
}

export function compileComparison(
  compiler: Compiler,
  node: ASTNode,
  operator: Comparison,
  left: Code,
  right: Code,
): Code {
  const a = left.eval
  const b = right.eval
  const of =
    (holds: (order: number) => boolean, onNumbers: (x: number, y: number) => boolean): Eval =>
    (root, variables, locals) => {
      const x = a(root, variables, locals)
      const y = b(root, variables, locals)
      if (typeof x === 'number' && typeof y === 'number') return onNumbers(x, y)
      if (x === null || x === undefined || y === null || y === undefined) return null
      return holds(compare(x, y))
    }
  const run = {
    '<': () =>
      of(
        (order) => order < 0,
        (x, y) => x < y,
      ),
    '<=': () =>
      of(
        (order) => order <= 0,
        (x, y) => x <= y,
      ),
    '>': () =>
      of(
        (order) => order > 0,
        (x, y) => x > y,
      ),
    '>=': () =>
      of(
        (order) => order >= 0,
        (x, y) => x >= y,
      ),
  }[operator]()
  return { boolean: true, eval: compiler.guard(node, run) }
}

/** `x in list`, `key in map`. A missing list or map holds nothing; a missing x is in a list that holds null. Never null. */
export function compileMembership(
  compiler: Compiler,
  node: ASTNode,
  left: Code,
  right: Code,
  listed: readonly Code[] | undefined,
): Code {
  const a = left.eval
  if (
    compiler.specialize &&
    listed?.every((item) => item.literal !== undefined && (item.literal.value === null || isScalar(item.literal.value)))
  )
    return inScalars(
      left,
      listed.map((item) => item.literal!.value),
    )
  const b = right.eval
  return {
    boolean: true,
    eval: compiler.guard(node, (root, variables, locals) =>
      isMember(a(root, variables, locals), b(root, variables, locals)),
    ),
  }
}

function inScalars(operand: Code, values: readonly unknown[]): Code {
  const a = operand.eval
  const set = new Set(values)
  const hasNull = set.has(null)
  return {
    boolean: true,
    total: operand.total === true,
    eval: (root, variables, locals) => {
      const x = a(root, variables, locals)
      if (x === null || x === undefined) return hasNull
      if (typeof x === 'object' || typeof x === 'bigint') return values.some((value) => equal(x, value))
      return set.has(x)
    },
  }
}

function isMember(x: unknown, container: unknown): boolean {
  if (container === null || container === undefined) return false
  if (Array.isArray(container)) {
    spend(container.length / 8)
    return container.some((item) => equal(x, item))
  }
  if (isMap(container))
    return (typeof x === 'string' || typeof x === 'number') && field(container, String(x)) !== undefined
  refuse('type', `"in" wants a list or a map on its right, not ${show(container)}. For texts use x.contains(y).`)
}

/** `!x`: null stays null. */
export function compileNot(compiler: Compiler, node: ASTNode, operand: Code): Code {
  const a = operand.eval
  const run: Eval = (root, variables, locals) => {
    const x = a(root, variables, locals)
    if (x === true) return false
    if (x === false) return true
    return x === null || x === undefined ? null : notBoolean('!', x)
  }
  if (operand.boolean && operand.total) return { boolean: true, total: true, eval: run }
  return { boolean: true, eval: compiler.guard(node, run) }
}

function notBoolean(where: string, value: unknown): never {
  refuse('type', `${where} wants true or false, not ${typeName(value)}. Compare it: x == "…", x > 0, x != null.`)
}

/**
 * A chain of `&&` (stop = false) or `||` (stop = true), CEL's way: the deciding value wins wherever it stands, also over an error beside it;
 * a missing value makes the result null unless another operand decides.
 */
export function compileLogic(
  compiler: Compiler,
  node: ASTNode,
  operands: readonly Code[],
  { stop }: { stop: boolean },
): Code {
  const name = stop ? '||' : '&&'
  const total = operands.every((operand) => operand.total && operand.boolean)
  const evals = operands.map((operand) => operand.eval)
  if (total && compiler.specialize) return { boolean: true, total: true, eval: totalLogic(evals, stop) }
  const run: Eval = (root, variables, locals) => {
    let result: boolean | null = !stop
    let failure: unknown
    for (let index = 0; index < evals.length; index++) {
      try {
        const x = evals[index]!(root, variables, locals)
        if (x === stop) return stop
        if (x === null || x === undefined) result = null
        else if (x !== !stop) notBoolean(name, x)
      } catch (error) {
        failure ??= error
      }
    }
    if (failure !== undefined) throw failure
    return result
  }
  return { boolean: true, total, eval: total ? run : compiler.guard(node, run) }
}

function totalLogic(evals: readonly Eval[], stop: boolean): Eval {
  if (evals.length === 2) {
    const [a, b] = evals as [Eval, Eval]
    return (root, variables, locals) => {
      const x = a(root, variables, locals)
      if (x === stop) return stop
      const y = b(root, variables, locals)
      if (y === stop) return stop
      return x === !stop && y === !stop ? !stop : null
    }
  }
  return (root, variables, locals) => {
    let result: boolean | null = !stop
    for (let index = 0; index < evals.length; index++) {
      const x = evals[index]!(root, variables, locals)
      if (x === stop) return stop
      if (x !== !stop) result = null
    }
    return result
  }
}

/** `c ? x : y` and `iif(c, x, y)`: a condition that is null counts as false. */
export function compileChoice(
  compiler: Compiler,
  node: ASTNode,
  condition: Code,
  then: Code,
  otherwise: Code,
  name: string,
): Code {
  const { eval: c } = condition
  const { eval: x } = then
  const { eval: y } = otherwise
  const run: Eval = (root, variables, locals) => {
    const chosen = c(root, variables, locals)
    if (chosen === true) return x(root, variables, locals)
    if (chosen === false || chosen === null || chosen === undefined) return y(root, variables, locals)
    return notBoolean(name, chosen)
  }
  const boolean = then.boolean === true && otherwise.boolean === true
  if (condition.boolean && condition.total && then.total && otherwise.total) return { eval: run, total: true, boolean }
  return { eval: compiler.guard(node, run), boolean }
}
