import { refuse } from '../errors.ts'
import { checkListLength, equal, type Fields, field, isMap, scalarText, setField, show, typeName } from '../values.ts'
import { spend } from '../work.ts'
import { toList, toMap, toText } from './arguments.ts'
import { type FunctionSpec, MANY } from './spec.ts'

function isEmpty(value: unknown): boolean {
  if (value === null || value === undefined || value === '') return true
  if (Array.isArray(value)) return value.length === 0
  return isMap(value) && Object.keys(value).length === 0
}

/** Pairs of key and value, flat: `("a", 1, "b", 2)`. @throws ExpressionError `argument` when a value is missing */
function fromPairs(pairs: readonly unknown[]): Fields {
  if (pairs.length % 2 !== 0) refuse('argument', `${pairs.length} arguments are no pairs of key and value.`)
  const made: Fields = {}
  for (let index = 0; index < pairs.length; index += 2)
    setField(made, toText(pairs[index], 'key'), pairs[index + 1] ?? null)
  return made
}

/** A list of maps from pairs of key and list; shorter lists leave their key out of the last maps. */
function arraysToObjects(...pairs: unknown[]): Fields[] {
  if (pairs.length % 2 !== 0) refuse('argument', `${pairs.length} arguments are no pairs of key and list.`)
  const made: Fields[] = []
  for (let index = 0; index < pairs.length; index += 2) {
    const key = toText(pairs[index], 'key')
    const list = toList(pairs[index + 1], `list of ${show(key)}`)
    checkListLength(list.length)
    for (const [position, item] of list.entries()) {
      if (position === made.length) made.push({})
      setField(made[position]!, key, item)
    }
  }
  return made
}

const orDefault = (value: unknown, fallback: string, what: string): string => {
  const text = value === null || value === undefined ? '' : toText(value, what)
  return text === '' ? fallback : text
}

/** `a: 1, b: 2`; keys and values lose the blanks around them, a pair without a key or a delimiter is left out, the last of two equal keys holds. */
function parsePairs(input: unknown, valueDelimiter: unknown, fieldDelimiter: unknown): Fields {
  const text = toText(input, 'text')
  const between = orDefault(valueDelimiter, ':', 'value delimiter')
  const pairs = text.split(orDefault(fieldDelimiter, ',', 'field delimiter'))
  spend(pairs.length + text.length / 32)
  const found: Fields = {}
  for (const pair of pairs) {
    const at = pair.indexOf(between)
    const key = at === -1 ? '' : pair.slice(0, at).trim()
    if (key !== '') setField(found, key, pair.slice(at + between.length).trim())
  }
  return found
}

function getValues(input: unknown, key: unknown, valueDelimiter: unknown, fieldDelimiter: unknown): unknown {
  if (input === null || input === undefined || key === null || key === undefined) return null
  if (isMap(input)) return mapGetValues(input, key)
  return field(parsePairs(input, valueDelimiter, fieldDelimiter), toText(key, 'key')) ?? null
}

function keysOf(key: unknown): string[] {
  return Array.isArray(key) ? [...new Set(key.map((item) => toText(item, 'key')))] : [toText(key, 'key')]
}

/** The part of the map with these keys, as in the page's example. */
function mapGetValues(input: unknown, key: unknown): Fields {
  const map = toMap(input, 'map')
  const found: Fields = {}
  for (const name of keysOf(key)) if (Object.hasOwn(map, name)) setField(found, name, map[name])
  return found
}

function addToMap(...maps: unknown[]): Fields {
  const made: Fields = {}
  for (const map of maps)
    for (const [name, value] of Object.entries(toMap(map, 'map'))) {
      spend(1 / 4)
      if (!Object.hasOwn(made, name)) setField(made, name, value)
    }
  return made
}

/** A map of the list's elements by the text of one of their fields; the first of two equal keys holds. */
function arrayToMap(input: unknown, attribute: unknown): Fields {
  const list = toList(input, 'list')
  const name = toText(attribute, 'attribute')
  spend(list.length / 4)
  const made: Fields = {}
  for (const item of list) {
    const key = scalarText(field(item, name))
    if (key !== undefined && !Object.hasOwn(made, key)) setField(made, key, item)
  }
  return made
}

/** Data Prep's three spellings: pairs, a map, or a list and the attribute that gives the keys. */
export function objectToMap(...values: unknown[]): unknown {
  const [first, second] = values
  if (first === null || first === undefined) return null
  if (values.length === 1 && isMap(first)) return { ...first }
  if (values.length === 2 && Array.isArray(first)) return arrayToMap(first, second)
  if (typeof first === 'string' || values.length > 1) return fromPairs(values)
  refuse('argument', `It takes a map, pairs of key and value, or a list and an attribute, not ${typeName(first)}.`)
}

function get(input: unknown, key: unknown): unknown {
  if (Array.isArray(input)) return typeof key === 'number' ? (input[key] ?? null) : null
  return field(toMap(input, 'map'), toText(key, 'key')) ?? null
}

const BOOK = '{"author": "Ann", "price": 17.99}'

export const objectFunctions: readonly FunctionSpec[] = [
  {
    name: 'is_empty',
    group: 'Objects',
    signature: 'is_empty(value)',
    about: 'Whether a list, map or text has nothing in it; null is empty.',
    example: 'is_empty([1, null, 2, 3])',
    result: false,
    arity: [1, 1],
    seesNull: true,
    bind: () => isEmpty,
  },
  {
    name: 'arrays_to_objects',
    aliases: ['arrays_to_object'],
    group: 'Objects',
    signature: 'arrays_to_objects(key, list, …)',
    about: 'A list of maps from lists that run in parallel.',
    example: `arrays_to_objects('sku', explode("id1|id2", '\\\\|'), 'price', [22.5, 14.35])`,
    result: [
      { sku: 'id1', price: 22.5 },
      { sku: 'id2', price: 14.35 },
    ],
    arity: [2, MANY],
    bind: () => arraysToObjects,
  },
  {
    name: 'to_object',
    group: 'Objects',
    signature: 'to_object(key, value, …)',
    about: 'A map of these pairs.',
    example: 'to_object("firstName", "John", "lastName", "Doe")',
    result: { firstName: 'John', lastName: 'Doe' },
    arity: [2, MANY],
    seesNull: true,
    bind: () => {
      return (...pairs) => fromPairs(pairs)
    },
  },
  {
    name: 'str_to_object',
    group: 'Objects',
    signature: 'str_to_object(text, [value delimiter], [field delimiter])',
    about: 'A map of the pairs in a text; delimiters are ":" and "," by default.',
    example: 'str_to_object("firstName=John,lastName=Doe,phone=123 456 7890", "=", ",")',
    result: { firstName: 'John', lastName: 'Doe', phone: '123 456 7890' },
    arity: [1, 3],
    seesNull: true,
    bind: () => (text, value, between) =>
      text === null || text === undefined ? null : parsePairs(text, value, between),
  },
  {
    name: 'get',
    group: 'Objects',
    form: 'both',
    signature: 'map.get(key)',
    about: 'A field of a map or an element of a list by its name or position.',
    example: 'str_to_object("firstName - John ; lastName - Doe", "-", ";").get("firstName")',
    result: 'John',
    arity: [2, 2],
    bind: () => get,
  },
  {
    name: 'contains_key',
    aliases: ['is_set'],
    group: 'Objects',
    signature: 'contains_key(path)',
    about: 'Whether a path, as text or written out, exists in the input; a null that is there counts.',
    example: 'contains_key("evars.evar.field1")',
    arity: [1, 1],
    bind: 'special',
  },
  {
    name: 'nullify',
    group: 'Objects',
    signature: 'nullify()',
    about: 'null: the field is not copied.',
    example: 'nullify()',
    result: null,
    arity: [0, 0],
    bind: () => () => null,
  },
  {
    name: 'get_keys',
    group: 'Objects',
    signature: 'get_keys(map)',
    about: 'The keys of a map.',
    example: 'get_keys({"book1": "Pride and Prejudice", "book2": "1984"})',
    result: ['book1', 'book2'],
    arity: [1, 1],
    bind: () => (map) => Object.keys(toMap(map, 'map')),
  },
  {
    name: 'get_values',
    group: 'Objects',
    signature: 'get_values(text, key, [value delimiter], [field delimiter])',
    about: 'The value of one key in a text of pairs; delimiters are ":" and "," by default.',
    example: 'get_values("firstName - John , lastName - Cena , phone - 555 420 8692", "firstName", "-", ",")',
    result: 'John',
    arity: [2, 4],
    seesNull: true,
    bind: () => getValues,
  },
  {
    name: 'map_get_values',
    group: 'Maps',
    signature: 'map_get_values(map, key or keys)',
    about: 'The part of a map with one key, or a list of keys.',
    example: `map_get_values(${BOOK}, "author")`,
    result: { author: 'Ann' },
    arity: [2, 2],
    bind: () => mapGetValues,
  },
  {
    name: 'map_has_keys',
    group: 'Maps',
    signature: 'map_has_keys(map, key or keys)',
    about: 'Whether a map has the key, or any of a list of keys.',
    example: `map_has_keys(${BOOK}, "author")`,
    result: true,
    arity: [2, 2],
    bind: () => (map, key) => keysOf(key).some((name) => Object.hasOwn(toMap(map, 'map'), name)),
  },
  {
    name: 'add_to_map',
    group: 'Maps',
    signature: 'add_to_map(map, map, …)',
    about: 'One map with the pairs of all; of equal keys the first holds.',
    example: `add_to_map(${BOOK}, {"author": "Bo", "publisher": "Morrow"})`,
    result: { author: 'Ann', price: 17.99, publisher: 'Morrow' },
    arity: [2, MANY],
    bind: () => addToMap,
  },
  {
    name: 'object_to_map',
    group: 'Maps',
    signature: 'object_to_map(map) or (key, value, …) or (list, attribute)',
    about: 'A map from an object, from pairs, or from a list by one of its elements’ fields.',
    example: 'object_to_map("firstName", "John", "lastName", "Doe")',
    result: { firstName: 'John', lastName: 'Doe' },
    arity: [1, MANY],
    bind: 'special',
  },
  {
    name: 'array_to_map',
    group: 'Maps',
    signature: 'array_to_map(list, attribute)',
    about: 'The elements of a list by the value of one of their fields.',
    example: 'array_to_map([{"type": "home", "city": "Rome"}, {"type": "work", "city": "Bari"}], "type")',
    result: { home: { type: 'home', city: 'Rome' }, work: { type: 'work', city: 'Bari' } },
    arity: [2, 2],
    bind: () => arrayToMap,
  },
  {
    name: 'to_map',
    group: 'Maps',
    signature: 'to_map(key, value, …)',
    about: 'A map of these pairs; null when the first is null.',
    example: 'to_map("firstName", "John", "lastName", "Doe")',
    result: { firstName: 'John', lastName: 'Doe' },
    arity: [1, MANY],
    seesNull: true,
    bind: () => objectToMap,
  },
]

/** `decode`'s comparison: null equals null. */
export const sameValue = (a: unknown, b: unknown): boolean => equal(a, b)
