/** What rules read, compiled. */
import type { Expression, Variables } from '../expressions/types.ts'

/** What rules are evaluated over: bare names are fields of `root`, unless a variable has the name. */
export interface Scope {
  root: Record<string, unknown>
  readonly vars: Record<string, unknown>
}

/** @throws ExpressionError; never for a missing field, which is null */
export type Value = (scope: Scope) => unknown
export type Test = (scope: Scope) => boolean

export type CompileExpression = (source: string, options: { variables: readonly string[] }) => Expression

export function compileValue(source: string, variables: readonly string[], compile: CompileExpression): Value {
  const expression = compile(source, { variables })
  return ({ root, vars }) => expression.evaluate(root, vars as Variables)
}

/** A condition that fails or has nothing to look at is false. */
export function compileTest(source: string, variables: readonly string[], compile: CompileExpression): Test {
  const expression = compile(source, { variables })
  return ({ root, vars }) => expression.test(root, vars as Variables)
}
