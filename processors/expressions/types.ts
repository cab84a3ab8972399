/** What an expression may read besides the fields of `root`. Names must have been declared at compile time. */
export type Variables = Readonly<Record<string, unknown>>

/** A compiled CEL expression. Evaluation is synchronous, pure and bounded. */
export interface Expression {
  readonly source: string
  /** Field paths that the expression reads, in dot notation, array steps as `[]`; for checks, labels and "did you mean". */
  readonly paths: readonly string[]
  /**
   * Evaluates over the fields of `root` (bare identifiers are its fields) and the declared variables.
   * @returns a JSON-like value: integers come back as numbers (bigint only beyond 2^53), bytes as Buffer; null when a field on the
   *   way is missing and the expression doesn't handle that itself (`coalesce`, `has`, `iif`, `is_set`…)
   * @throws ExpressionError when a function refuses its arguments or types don't fit
   */
  evaluate(root: object, variables?: Variables): unknown
  /** `evaluate(…) === true`. A failing or missing condition is false. */
  test(root: object, variables?: Variables): boolean
}
