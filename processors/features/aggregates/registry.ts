import type { Aggregate } from './aggregate.ts'
import { countAggregate } from './count.ts'
import { Decayed } from './decayed.ts'
import { Distinct } from './distinct.ts'
import { Extreme } from './extreme.ts'
import { Frequencies } from './frequencies.ts'
import { Moments } from './moments.ts'
import { Ordered } from './ordered.ts'
import { Sum, Total } from './total.ts'

const ordered = (which: 'first' | 'last', most: number) => (n: string, type: string) =>
  integer(n, 1, most) && (type === 'number' || type === 'text') ? new Ordered(which, Number(n), type) : undefined
const scaled = (make: (scale: number) => Aggregate) => (scale: string) =>
  Number(scale) > 0 ? make(Number(scale)) : undefined

/** How an aggregate is made again from its id, for blobs of an older layout. */
const MAKERS: Record<string, (...parameters: string[]) => Aggregate | undefined> = {
  count: () => countAggregate,
  total: scaled((scale) => new Total(scale)),
  sum: scaled((scale) => new Sum(scale)),
  moments: scaled((scale) => new Moments(scale)),
  min: () => new Extreme('min'),
  max: () => new Extreme('max'),
  first: ordered('first', 1),
  last: ordered('last', 100),
  distinct: (precision) => (integer(precision, 4, 14) ? new Distinct(Number(precision)) : undefined),
  frequencies: (capacity, scale) =>
    integer(capacity, 1, 1_000) && Number(scale) > 0 ? new Frequencies(Number(capacity), Number(scale)) : undefined,
  decayed: (halfLifeMs) => (Number(halfLifeMs) > 0 ? new Decayed(Number(halfLifeMs)) : undefined),
}

/** @returns undefined when no aggregate has that id */
export function aggregateOf(id: string): Aggregate | undefined {
  const [name = '', ...parameters] = id.split(':')
  const made = Object.hasOwn(MAKERS, name) ? MAKERS[name]!(...parameters) : undefined
  return made?.id === id ? made : undefined
}

function integer(text: string | undefined, min: number, max: number): boolean {
  const value = Number(text)
  return Number.isInteger(value) && value >= min && value <= max
}
