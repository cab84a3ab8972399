import { type ASTNode, Environment } from '@marcbachmann/cel-js'
import { ExpressionError } from './errors.ts'
import { MAX_ARGUMENTS, MAX_LITERAL_ENTRIES, MAX_NODES, MAX_SOURCE_LENGTH } from './limits.ts'
import { type Rewritten, rewrite } from './rewrite.ts'

export type { ASTNode }

export interface Parsed {
  readonly node: ASTNode
  readonly marks: Rewritten['marks']
  /** 1-based column in the source of a position in the parsed text. */
  columnOf(position: number): number
}

/** Only the grammar is used: the tree is evaluated by our own closures (see docs/decisions/010-expressions.md). */
const grammar = new Environment({
  unlistedVariablesAreDyn: true,
  limits: {
    maxAstNodes: MAX_NODES,
    maxDepth: 250,
    maxListElements: MAX_LITERAL_ENTRIES,
    maxMapEntries: MAX_LITERAL_ENTRIES,
    maxCallArguments: MAX_ARGUMENTS,
  },
})

/** @throws ExpressionError `syntax` or `limit`, with the column */
export function parse(source: string): Parsed {
  if (typeof source !== 'string') throw new ExpressionError('syntax', 'An expression is a text.')
  if (source.length > MAX_SOURCE_LENGTH)
    throw new ExpressionError(
      'limit',
      `An expression may have ${MAX_SOURCE_LENGTH} characters; this one has ${source.length}.`,
    )
  if (source.trim() === '') throw new ExpressionError('syntax', 'The expression is empty.')
  const rewritten = rewrite(source)
  const columnOf = (position: number) => rewritten.sourceOf(position) + 1
  try {
    return { node: grammar.parse(rewritten.text).ast, marks: rewritten.marks, columnOf }
  } catch (error) {
    throw toExpressionError(error, source, columnOf)
  }
}

function toExpressionError(error: unknown, source: string, columnOf: (position: number) => number): unknown {
  if (error instanceof RangeError)
    return new ExpressionError('limit', 'The expression nests too deep.', { source, column: 1 })
  if (!isParseError(error)) return error
  const column = columnOf(Math.min(error.range?.start ?? 0, Number.MAX_SAFE_INTEGER))
  const kind = error.code === 'limit_exceeded' ? 'limit' : 'syntax'
  return new ExpressionError(kind, reasonOf(error, source), { source, column })
}

interface ParseFailure {
  readonly name: string
  readonly code: string
  readonly summary: string
  readonly range?: { readonly start: number }
}

function isParseError(error: unknown): error is ParseFailure {
  return error instanceof Error && 'summary' in error && 'code' in error
}

const WORD_OPERATORS: Readonly<Record<string, string>> = {
  and: '&&',
  or: '||',
  not: '!',
  eq: '==',
  ne: '!=',
  lt: '<',
  le: '<=',
  gt: '>',
  ge: '>=',
  mod: '%',
  div: '/',
}

function reasonOf(error: ParseFailure, source: string): string {
  const reserved = /^Reserved identifier: (\w+)$/.exec(error.summary)?.[1]
  if (reserved !== undefined)
    return `"${reserved}" is a reserved word. A field of that name is written \${${reserved}}.`
  if (error.summary === 'Unexpected character: =') return 'One "=" has no meaning here. Equality is "==".'
  if (error.summary === 'Unexpected character: &' || error.summary === 'Unexpected character: |')
    return `${error.summary}. Use && and ||.`
  const word = /\s(and|or|not|eq|ne|lt|le|gt|ge|mod|div)\s/.exec(` ${source} `)?.[1]
  const hint = word === undefined ? '' : ` The operator "${word}" is written ${WORD_OPERATORS[word]}.`
  return `${error.summary}.${hint}`
}
