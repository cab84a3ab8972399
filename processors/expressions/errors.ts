/**
 * What went wrong. `syntax`: the text isn't an expression; `unknown-function`: no such function or method; `argument`: a function
 * refuses a value, or is called with too few or too many; `type`: the types of two operands don't fit; `limit`: a bound was reached.
 */
export type ExpressionErrorKind = 'syntax' | 'unknown-function' | 'type' | 'argument' | 'limit'

const EXCERPT_LENGTH = 60

/** Thrown at compile time and by `evaluate`. The message names the place in the source and the remedy. */
export class ExpressionError extends Error {
  readonly kind: ExpressionErrorKind
  /** What is wrong and what to do, without the place. */
  readonly reason: string
  /** The expression, once the place is known. */
  readonly source: string | undefined
  /** Position in the source, UTF-16 units, 1-based; a tab counts as one. */
  readonly column: number | undefined

  constructor(kind: ExpressionErrorKind, reason: string, place?: { source: string; column: number }) {
    super(place === undefined ? reason : `${placeName(place)}: ${reason} In: ${excerpt(place)}`)
    this.name = 'ExpressionError'
    this.kind = kind
    this.reason = reason
    this.source = place?.source
    this.column = place?.column
  }

  /** The same error with a place; an error that has one keeps it (the innermost place is the useful one). */
  at(source: string, column: number): ExpressionError {
    return this.source === undefined ? new ExpressionError(this.kind, this.reason, { source, column }) : this
  }
}

function placeName({ source, column }: { source: string; column: number }): string {
  const before = source.slice(0, column - 1)
  const lastBreak = before.lastIndexOf('\n')
  if (!source.trimEnd().includes('\n')) return `column ${column}`
  return `line ${before.split('\n').length}, column ${column - 1 - lastBreak}`
}

function excerpt({ source, column }: { source: string; column: number }): string {
  const start = Math.max(0, Math.min(column - 1 - EXCERPT_LENGTH / 2, source.length - EXCERPT_LENGTH))
  const end = Math.min(source.length, start + EXCERPT_LENGTH)
  const text = source.slice(start, end).replaceAll(/\s+/g, ' ')
  return `${start > 0 ? '…' : ''}${text}${end < source.length ? '…' : ''}`
}

/** @throws ExpressionError always; the place is added by the caller that knows it */
export function refuse(kind: ExpressionErrorKind, reason: string): never {
  throw new ExpressionError(kind, reason)
}
