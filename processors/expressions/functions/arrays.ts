import { refuse } from '../errors.ts'
import { MAX_VALUE_DEPTH } from '../limits.ts'
import { checkListLength, compare, isMap, show, typeName } from '../values.ts'
import { toList, toText } from './arguments.ts'
import { type FunctionSpec, MANY } from './spec.ts'
import { joinTexts } from './text.ts'

/** The arguments, or the elements of the only argument when that is a list. */
function elements(values: readonly unknown[]): readonly unknown[] {
  return values.length === 1 && Array.isArray(values[0]) ? values[0] : values
}

/** Code points of a text, as CEL counts; a text without surrogates is counted at once. */
function textSize(text: string): number {
  let size = text.length
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at)
    if (code >= 0xd800 && code <= 0xdbff && (text.charCodeAt(at + 1) & 0xfc00) === 0xdc00) {
      size--
      at++
    }
  }
  return size
}

export function size(value: unknown): number {
  if (typeof value === 'string') return textSize(value)
  if (Array.isArray(value)) return value.length
  if (value instanceof Uint8Array) return value.length
  if (isMap(value)) return Object.keys(value).length
  refuse('argument', `${show(value)} has no size; lists, maps, texts and bytes do.`)
}

function flatten(list: readonly unknown[], into: unknown[], depth: number): unknown[] {
  if (depth > MAX_VALUE_DEPTH) refuse('limit', `The list nests more than ${MAX_VALUE_DEPTH} levels.`)
  for (const item of list) {
    if (Array.isArray(item)) flatten(item, into, depth + 1)
    else {
      checkListLength(into.length + 1)
      into.push(item)
    }
  }
  return into
}

/** Nulls inside a list are passed over. */
function extreme(values: readonly unknown[], sign: 1 | -1): unknown {
  let best: unknown = null
  for (const value of elements(values)) {
    if (value === null || value === undefined) continue
    if (best === null || compare(value, best) * sign > 0) best = value
  }
  return best
}

function asUpsert(list: unknown): readonly unknown[] {
  return toList(list, 'list')
}

export const arrayFunctions: readonly FunctionSpec[] = [
  {
    name: 'coalesce',
    group: 'Arrays',
    signature: 'coalesce(value, …)',
    about:
      'The first value that is not null; later ones are not evaluated. Of an only list, its first element that is not null.',
    example: 'coalesce(null, null, null, "first", null, "second")',
    result: 'first',
    arity: [1, MANY],
    bind: 'special',
  },
  {
    name: 'first',
    group: 'Arrays',
    signature: 'first(list) or first(value, …)',
    about: 'The first element.',
    example: 'first("1", "2", "3")',
    result: '1',
    arity: [1, MANY],
    seesNull: true,
    bind: () => {
      return (...values) => elements(values)[0] ?? null
    },
  },
  {
    name: 'last',
    group: 'Arrays',
    signature: 'last(list) or last(value, …)',
    about: 'The last element.',
    example: 'last("1", "2", "3")',
    result: '3',
    arity: [1, MANY],
    seesNull: true,
    bind: () => {
      return (...values) => elements(values).at(-1) ?? null
    },
  },
  {
    name: 'add_to_array',
    group: 'Arrays',
    signature: 'add_to_array(list, value, …)',
    about: 'The list with more elements at its end.',
    example: "add_to_array(['a', 'b'], 'c', 'd')",
    result: ['a', 'b', 'c', 'd'],
    arity: [1, MANY],
    bind: () => {
      return (list, ...values) => {
        const start = toList(list, 'list')
        checkListLength(start.length + values.length)
        return [...start, ...values]
      }
    },
  },
  {
    name: 'join_arrays',
    group: 'Arrays',
    signature: 'join_arrays(list, list, …)',
    about: 'One list of the elements of all.',
    example: "join_arrays(['a', 'b'], ['c'], ['d', 'e'])",
    result: ['a', 'b', 'c', 'd', 'e'],
    arity: [1, MANY],
    bind: () => {
      return (...lists) => {
        checkListLength(lists.reduce<number>((sum, list) => sum + toList(list, 'list').length, 0))
        return lists.flat()
      }
    },
  },
  {
    name: 'to_array',
    group: 'Arrays',
    signature: 'to_array(include nulls, value, …)',
    about: 'A list of the values, with or without the nulls among them.',
    example: 'to_array(false, 1, null, 2, 3)',
    result: [1, 2, 3],
    arity: [1, MANY],
    seesNull: true,
    bind: () => {
      return (nulls, ...values) => {
        if (typeof nulls !== 'boolean')
          refuse('argument', `The first argument is ${typeName(nulls)}; true keeps nulls, false drops them.`)
        return nulls
          ? values.map((value) => value ?? null)
          : values.filter((value) => value !== null && value !== undefined)
      }
    },
  },
  {
    name: 'size_of',
    group: 'Arrays',
    signature: 'size_of(value)',
    about: 'Number of elements, keys or characters.',
    example: 'size_of([1, 2, 3, 4])',
    result: 4,
    arity: [1, 1],
    bind: () => size,
  },
  {
    name: 'upsert_array_append',
    group: 'Arrays',
    signature: 'upsert_array_append(list)',
    about: 'The list as it is: events are inserted, never updated, and for inserts Data Prep does the same.',
    example: 'upsert_array_append([123, 456])',
    result: [123, 456],
    arity: [1, 1],
    bind: () => asUpsert,
  },
  {
    name: 'upsert_array_replace',
    group: 'Arrays',
    signature: 'upsert_array_replace(list, [position])',
    about: 'The list as it is, for the same reason.',
    example: 'upsert_array_replace([123, 456], 1)',
    result: [123, 456],
    arity: [1, 2],
    bind: () => asUpsert,
  },
  {
    name: 'array_to_string',
    group: 'Arrays',
    signature: 'array_to_string(separator, list)',
    about: 'The elements of a list, and of the lists in it, in one text.',
    example: 'array_to_string(";", ["Hello", "world"])',
    result: 'Hello;world',
    arity: [2, 2],
    bind: () => (separator, list) => joinTexts(toText(separator, 'separator'), flatten(toList(list, 'list'), [], 1)),
  },
  {
    name: 'filterArray',
    group: 'Arrays',
    signature: 'filterArray(list, x -> condition)',
    about: 'The elements for which the condition is true; the same as list.filter(x, condition).',
    example: 'filterArray([5, -6, 0, 7], x -> x > 0)',
    result: [5, 7],
    arity: [3, 3],
    bind: 'special',
  },
  {
    name: 'transformArray',
    group: 'Arrays',
    signature: 'transformArray(list, x -> value)',
    about: 'The value for each element; the same as list.map(x, value).',
    example: 'transformArray([5, 6, 7], x -> x + 1)',
    result: [6, 7, 8],
    arity: [3, 3],
    bind: 'special',
  },
  {
    name: 'flattenArray',
    group: 'Arrays',
    signature: 'flattenArray(list)',
    about: 'One list of all elements of the lists in a list.',
    example: "flattenArray([[['a', 'b'], ['c', 'd']], [['e'], ['f']]])",
    result: ['a', 'b', 'c', 'd', 'e', 'f'],
    arity: [1, 1],
    bind: () => (list) => flatten(toList(list, 'list'), [], 1),
  },
  {
    name: 'decode',
    group: 'Logic',
    signature: 'decode(key, option, value, …, [default])',
    about: 'The value that stands beside the option equal to the key, else the default, else null.',
    example: 'decode("pa", "ca", "California", "pa", "Pennsylvania", "N/A")',
    result: 'Pennsylvania',
    arity: [2, MANY],
    bind: 'special',
  },
  {
    name: 'iif',
    group: 'Logic',
    signature: 'iif(condition, then, otherwise)',
    about: 'One of two values; a condition that is null counts as false. Only the value that is taken is evaluated.',
    example: 'iif("s".equalsIgnoreCase("S"), "True", "False")',
    result: 'True',
    arity: [3, 3],
    bind: 'special',
  },
  {
    name: 'min',
    group: 'Aggregation',
    signature: 'min(list) or min(value, …)',
    about: 'The least of numbers, texts or dates.',
    example: 'min(3, 1, 4)',
    result: 1,
    arity: [1, MANY],
    bind: () => {
      return (...values) => extreme(values, -1)
    },
  },
  {
    name: 'max',
    group: 'Aggregation',
    signature: 'max(list) or max(value, …)',
    about: 'The greatest of numbers, texts or dates.',
    example: 'max(3, 1, 4)',
    result: 4,
    arity: [1, MANY],
    bind: () => {
      return (...values) => extreme(values, 1)
    },
  },
]
