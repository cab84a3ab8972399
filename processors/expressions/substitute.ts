import { ExpressionError } from './errors.ts'
import { type ASTNode, parse } from './parse.ts'

/** An argument as it was written, and its value when it is a literal. */
export interface Argument {
  readonly source: string
  readonly literal: unknown
  /** Of a list literal. */
  readonly elements: readonly Argument[] | undefined
}

/** What an expression is made of, as far as it may stand for something that is kept elsewhere. */
export interface Visitor {
  /** A call that is no method, `count(…)`. @returns what stands in its place; undefined = look inside */
  call(name: string, args: readonly Argument[], column: number): string | undefined
  /** A path of plain names, `scores.propensity`; names of comprehensions are left out. @returns what stands in its place */
  path(steps: readonly string[], column: number): string | undefined
}

/**
 * Replaces calls and paths of an expression by other texts, so that a language on top of CEL needs no grammar of its own.
 * @throws ExpressionError `syntax` or `limit`, with the column
 */
export function substitute(source: string, visitor: Visitor): string {
  const { node, columnOf } = parse(source)
  const edits: { from: number; to: number; text: string }[] = []
  const place = (position: number) => columnOf(position) - 1
  const edit = ({ start, end }: ASTNode, text: string) =>
    edits.push({ from: place(start), to: place(end - 1) + 1, text })
  const slice = ({ start, end }: ASTNode) => source.slice(place(start), place(end - 1) + 1)
  const argument = (it: ASTNode): Argument => ({
    source: slice(it),
    literal: it.op === 'value' ? it.args : undefined,
    elements: it.op === 'list' ? (it.args as readonly ASTNode[]).map(argument) : undefined,
  })

  const visit = (it: ASTNode, bound: ReadonlySet<string>): void => {
    if (it.op === 'value') return
    const steps = pathOf(it)
    if (steps) {
      if (bound.has(steps[0]!)) return
      const text = visitor.path(steps, columnOf(it.start))
      if (text !== undefined) edit(it, text)
      return
    }
    if (it.op === 'call') {
      const [name, args] = it.args as unknown as [string, readonly ASTNode[]]
      const text = visitor.call(name, args.map(argument), columnOf(it.start))
      if (text !== undefined) edit(it, text)
      else visitAll(args, bound)
      return
    }
    if (it.op === 'rcall') {
      const [, receiver, args] = it.args as unknown as [string, ASTNode, readonly ASTNode[]]
      const name = args.length > 1 && args[0]!.op === 'id' ? String(args[0]!.args) : undefined
      visit(receiver, bound)
      visitAll(name === undefined ? args : args.slice(1), name === undefined ? bound : new Set([...bound, name]))
      return
    }
    visitAll(it.args, bound)
  }
  const visitAll = (args: unknown, bound: ReadonlySet<string>): void => {
    if (Array.isArray(args)) for (const it of args) visitAll(it, bound)
    else if (isNode(args)) visit(args, bound)
  }
  visit(node, new Set())

  let text = source
  for (const { from, to, text: instead } of edits.sort((a, b) => b.from - a.from))
    text = text.slice(0, from) + instead + text.slice(to)
  return text
}

/** An error at a column of the source, in the form of the parser's own. */
export const refusal = (reason: string, source: string, column: number): ExpressionError =>
  new ExpressionError('argument', reason, { source, column })

const isNode = (value: unknown): value is ASTNode => typeof value === 'object' && value !== null && 'op' in value

/** Names of a chain of plain fields. */
function pathOf(it: ASTNode): string[] | undefined {
  if (it.op === 'id') return [String(it.args)]
  if (it.op !== '.') return undefined
  const [object, field] = it.args as unknown as [ASTNode, string]
  const steps = pathOf(object)
  return steps && [...steps, field]
}
