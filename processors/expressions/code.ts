import type { Eval } from './access.ts'
import type { Step } from './field-path.ts'
import type { FunctionContext } from './functions/spec.ts'
import type { ASTNode } from './parse.ts'

/** A compiled node and what is known about it before it runs. */
export interface Code {
  readonly eval: Eval
  /** Never throws and spends no work: `&&`, `||` and `test` need no guard around it. */
  readonly total?: boolean
  /** Gives only true, false or a missing value. */
  readonly boolean?: boolean
  /** The value, when it is the same each time. */
  readonly literal?: { readonly value: unknown }
  /** The path from the root, when it is nothing else than that. */
  readonly path?: readonly Step[]
}

/** A name that a comprehension or cel.bind declares. */
export interface Scope {
  readonly name: string
  readonly slot: number
  /** Path of the value, where it is an element of a list at a path. */
  readonly path: readonly Step[] | undefined
  readonly outer: Scope | undefined
}

/** Where a node stands. */
export interface Place {
  readonly scope: Scope | undefined
  readonly depth: number
}

/** One compilation: what the parts of the compiler share. */
export interface Compiler {
  readonly source: string
  readonly variables: ReadonlySet<string>
  readonly context: FunctionContext
  readonly replayable: boolean
  /** False compiles everything to the general closures; tests compare both. */
  readonly specialize: boolean
  readonly marks: ReadonlyMap<number, 'each' | 'name'>
  columnOf(node: ASTNode): number
  compile(node: ASTNode, place: Place): Code
  /** A fresh slot for a declared name. */
  newSlot(): number
  recordPath(path: readonly Step[]): void
  /** The result may hold a date, which has to become text. */
  noteDates(): void
  /** Adds the place to what the closure throws. */
  guard(node: ASTNode, run: Eval, name?: string): Eval
}
