/** Compiles what a rule reads: a plain path to a direct look-up, anything else to a CEL expression. */
import type { Expression, Variables } from '../expressions/types.ts'

/** What rules are evaluated over: bare names are fields of `root`, unless a variable has the name. */
export interface Scope {
  root: Record<string, unknown>
  readonly vars: Record<string, unknown>
}

/** @throws whatever the expression throws; never for a missing field, which is null */
export type Value = (scope: Scope) => unknown

export type CompileExpression = (source: string, options: { variables: readonly string[] }) => Expression

const PLAIN_PATH = /^[A-Za-z_]\w*(?:\.[A-Za-z_]\w*|\[\d{1,4}\])*$/
const KEYWORDS = new Set(['true', 'false', 'null', 'in'])
/** Names that plain objects, lists and texts inherit; a look-up of them must not find the inherited thing. */
const INHERITED = new Set(
  [Object.prototype, Array.prototype, String.prototype, Number.prototype, Boolean.prototype].flatMap((it) =>
    Object.getOwnPropertyNames(it),
  ),
)

/**
 * @param variables names that are read from `scope.vars`
 * Most rules of real mappings are plain paths, and a direct look-up costs a third of an expression's evaluation.
 */
export function compileValue(source: string, variables: readonly string[], compile: CompileExpression): Value {
  const text = source.trim()
  if (PLAIN_PATH.test(text)) {
    const steps = text.split(/[.[\]]+/).filter((step) => step !== '')
    const [first, ...rest] = steps as [string, ...string[]]
    if (!KEYWORDS.has(first) && !steps.some((step) => INHERITED.has(step))) {
      return compilePath(first, rest, variables.includes(first))
    }
  }
  const expression = compile(source, { variables })
  return (scope) => expression.evaluate(scope.root, scope.vars as Variables)
}

export function compileTest(
  source: string,
  variables: readonly string[],
  compile: CompileExpression,
): (scope: Scope) => boolean {
  const expression = compile(source, { variables })
  return (scope) => expression.test(scope.root, scope.vars as Variables)
}

function compilePath(first: string, rest: readonly string[], isVariable: boolean): Value {
  const [second, third] = rest
  if (second === undefined) {
    return isVariable ? (scope) => scope.vars[first] ?? null : (scope) => scope.root[first] ?? null
  }
  if (third === undefined) {
    return isVariable
      ? (scope) => step(scope.vars[first], second)
      : (scope) => step(scope.root[first], second)
  }
  return (scope) => {
    let value: unknown = isVariable ? scope.vars[first] : scope.root[first]
    for (let i = 0; i < rest.length; i++) {
      if (typeof value !== 'object' || value === null) return null
      value = (value as Record<string, unknown>)[rest[i] as string]
    }
    return value ?? null
  }
}

const step = (value: unknown, name: string): unknown =>
  typeof value === 'object' && value !== null ? ((value as Record<string, unknown>)[name] ?? null) : null
