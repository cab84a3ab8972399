import type { EpochMs, Random } from '../../app/units.ts'
import type { Zone } from '../dates/zones.ts'

export const GROUPS = [
  'CEL',
  'Text',
  'Regular expressions',
  'Hashes',
  'URLs',
  'Dates',
  'Objects',
  'Maps',
  'Arrays',
  'Logic',
  'Aggregation',
  'Conversion',
  'JSON',
  'Identifiers',
  'User agents',
  'Analytics',
] as const
type Group = (typeof GROUPS)[number]

/** What a function may know besides its arguments. */
export interface FunctionContext {
  readonly clock: (() => EpochMs) | undefined
  readonly random: Random | undefined
  /** Zone of texts that name none. */
  readonly zone: Zone
}

export type Implementation = (a?: unknown, b?: unknown, c?: unknown, ...rest: unknown[]) => unknown

/** An argument that is a literal, known when the expression is compiled. */
export type Literal = { readonly value: unknown } | undefined

/** A function as people see it; docs/expressions.md and editors' completion are made from these. */
export interface FunctionReference {
  readonly name: string
  /** Other names of the same function. */
  readonly aliases?: readonly string[]
  readonly group: Group
  /** `name(argument, [optional], more…)`. */
  readonly signature: string
  /** One line: what it gives. */
  readonly about: string
  readonly example: string
  /** What the example gives, as JSON-like value; absent when it depends on the clock, chance or the input. */
  readonly result?: unknown
  /** `function`: name(x, …); `method`: x.name(…); `both`. Default `function`. */
  readonly form?: 'function' | 'method' | 'both'
}

export interface FunctionSpec extends FunctionReference {
  /** Least and most arguments, the receiver of a method counted. */
  readonly arity: readonly [min: number, max: number]
  /** True when null arguments reach the function; else one of them makes the result null. */
  readonly seesNull?: true
  /** What it needs that a replay doesn't have. */
  readonly needs?: 'clock' | 'random'
  /** True when the result is, or may hold, a new date. */
  readonly givesDates?: true
  /**
   * Binds the function to what it may know. Literal arguments are given so that patterns are compiled and checked once.
   * `special`: the compiler itself evaluates it, because its arguments aren't all evaluated, or not as values.
   */
  readonly bind: 'special' | ((context: FunctionContext, literals: readonly Literal[]) => Implementation)
}

export const MANY = Number.POSITIVE_INFINITY
