import { refuse } from '../errors.ts'
import { checkTextLength, equal, scalarText } from '../values.ts'
import { spend } from '../work.ts'
import { toList, toText, toWhole } from './arguments.ts'
import { type FunctionSpec, type Implementation, MANY } from './spec.ts'

const pure = (implementation: Implementation) => () => implementation

function concat(...parts: unknown[]): string {
  let joined = ''
  for (const part of parts) {
    const text = toText(part, 'part')
    checkTextLength(joined.length + text.length)
    joined += text
  }
  return joined
}

function instr(input: unknown, substring: unknown, start: unknown = 0, occurrence: unknown = 1): number {
  const text = toText(input, 'input')
  const wanted = toText(substring, 'substring')
  const nth = toWhole(occurrence, 'occurrence')
  if (nth < 1) refuse('argument', `The occurrence is ${nth}; the first one is 1.`)
  spend(text.length / 64)
  let at = text.indexOf(wanted, Math.max(0, toWhole(start, 'start position')))
  for (let seen = 1; seen < nth && at !== -1; seen++) {
    spend(1)
    at = text.indexOf(wanted, at + 1)
  }
  return at
}

function replace(input: unknown, find: unknown, by: unknown): string {
  const text = toText(input, 'input')
  const from = toText(find, 'text to find')
  const to = toText(by, 'replacement')
  if (from === '') return text
  const parts = text.split(from)
  checkTextLength(text.length + (parts.length - 1) * (to.length - from.length))
  return parts.join(to)
}

function substr(input: unknown, start: unknown, length: unknown): string {
  const from = Math.max(0, toWhole(start, 'start index'))
  const count = length === undefined ? Number.MAX_SAFE_INTEGER : Math.max(0, toWhole(length, 'length'))
  return toText(input, 'input').slice(from, from + count)
}

/** Splits at any character of the separator; a backslash takes the next character as it is. Empty parts at the end fall away, as in Java. */
function split(input: unknown, separator: unknown): string[] {
  const text = toText(input, 'input')
  const given = toText(separator, 'separator')
  const characters = given.length > 1 ? given.replaceAll(/\\(.)/gs, '$1') : given
  if (characters.length === 1) return withoutEmptyEnd(text, text.split(characters))
  const parts: string[] = []
  let start = 0
  for (let at = 0; at < text.length; at++) {
    if (!characters.includes(text[at]!)) continue
    parts.push(text.slice(start, at))
    start = at + 1
  }
  parts.push(text.slice(start))
  return withoutEmptyEnd(text, parts)
}

/** What java.lang.String.split leaves: no empty parts at the end, but the text itself when nothing was split. */
export function withoutEmptyEnd(text: string, parts: string[]): string[] {
  spend(parts.length / 4)
  if (parts.length === 1) return [text]
  while (parts.length > 0 && parts.at(-1) === '') parts.pop()
  return parts
}

/** Joins the scalars of a list; nulls are left out. */
export function joinTexts(separator: string, list: readonly unknown[]): string {
  const texts: string[] = []
  let length = 0
  for (const item of list) {
    if (item === null || item === undefined) continue
    const text = scalarText(item) ?? refuse('argument', 'The list holds lists or maps; join their fields instead.')
    length += text.length + separator.length
    checkTextLength(length)
    texts.push(text)
  }
  return texts.join(separator)
}

function padding(
  input: unknown,
  count: unknown,
  filler: unknown,
): { text: string; length: number; filler: string } | null {
  if (input === null || input === undefined || count === null || count === undefined) return null
  const length = toWhole(count, 'count')
  checkTextLength(length)
  const given = filler === null || filler === undefined ? '' : toText(filler, 'padding')
  return { text: toText(input, 'input'), length, filler: given === '' ? ' ' : given }
}

function lpad(input: unknown, count: unknown, filler: unknown): string | null {
  const pad = padding(input, count, filler)
  return pad?.text.padStart(pad.length, pad.filler) ?? null
}

function rpad(input: unknown, count: unknown, filler: unknown): string | null {
  const pad = padding(input, count, filler)
  return pad?.text.padEnd(pad.length, pad.filler) ?? null
}

export const textFunctions: readonly FunctionSpec[] = [
  {
    name: 'concat',
    group: 'Text',
    signature: 'concat(text, …)',
    about: 'All arguments in one text; numbers and booleans are written as text.',
    example: 'concat("Hi, ", "there", "!")',
    result: 'Hi, there!',
    arity: [1, MANY],
    bind: pure(concat),
  },
  {
    name: 'instr',
    group: 'Text',
    signature: 'instr(input, substring, [start], [occurrence])',
    about: 'Position of a substring, from 0; −1 when it is not there.',
    example: 'instr("adobe.com", "com")',
    result: 6,
    arity: [2, 4],
    bind: pure(instr),
  },
  {
    name: 'replacestr',
    group: 'Text',
    signature: 'replacestr(input, find, replacement)',
    about: 'Every occurrence of a text replaced by another.',
    example: 'replacestr("This is a string re test", "re", "replace")',
    result: 'This is a string replace test',
    arity: [3, 3],
    bind: pure(replace),
  },
  {
    name: 'substr',
    group: 'Text',
    signature: 'substr(input, start, [length])',
    about: 'Part of a text from a position, which starts at 0.',
    example: 'substr("This is a substring test", 7, 8)',
    result: ' a subst',
    arity: [2, 3],
    bind: pure(substr),
  },
  {
    name: 'lower',
    aliases: ['lcase'],
    group: 'Text',
    signature: 'lower(input)',
    about: 'The text in lower case.',
    example: 'lower("HeLLo")',
    result: 'hello',
    arity: [1, 1],
    bind: pure((input) => toText(input, 'input').toLowerCase()),
  },
  {
    name: 'upper',
    aliases: ['ucase'],
    group: 'Text',
    signature: 'upper(input)',
    about: 'The text in upper case.',
    example: 'upper("HeLLo")',
    result: 'HELLO',
    arity: [1, 1],
    bind: pure((input) => toText(input, 'input').toUpperCase()),
  },
  {
    name: 'split',
    group: 'Text',
    form: 'both',
    signature: 'split(input, separator)',
    about: 'Parts between any of the characters of the separator; empty parts at the end fall away.',
    example: 'split("Hello world", " ")',
    result: ['Hello', 'world'],
    arity: [2, 2],
    bind: pure(split),
  },
  {
    name: 'join',
    group: 'Text',
    signature: 'join(separator, list)',
    about: 'The elements of a list in one text; nulls are left out.',
    example: 'join(" ", to_array(true, "Hello", "world"))',
    result: 'Hello world',
    arity: [2, 2],
    bind: pure((separator, list) => joinTexts(toText(separator, 'separator'), toList(list, 'list'))),
  },
  {
    name: 'lpad',
    group: 'Text',
    signature: 'lpad(input, count, padding)',
    about: 'The text filled up on the left to a length; an empty or null padding is a blank.',
    example: 'lpad("bat", 8, "yz")',
    result: 'yzyzybat',
    arity: [3, 3],
    seesNull: true,
    bind: pure(lpad),
  },
  {
    name: 'rpad',
    group: 'Text',
    signature: 'rpad(input, count, padding)',
    about: 'The text filled up on the right to a length; an empty or null padding is a blank.',
    example: 'rpad("bat", 8, "yz")',
    result: 'batyzyzy',
    arity: [3, 3],
    seesNull: true,
    bind: pure(rpad),
  },
  {
    name: 'left',
    group: 'Text',
    signature: 'left(input, count)',
    about: 'The first characters.',
    example: 'left("abcde", 2)',
    result: 'ab',
    arity: [2, 2],
    bind: pure((input, count) => toText(input, 'input').slice(0, Math.max(0, toWhole(count, 'count')))),
  },
  {
    name: 'right',
    group: 'Text',
    signature: 'right(input, count)',
    about: 'The last characters.',
    example: 'right("abcde", 2)',
    result: 'de',
    arity: [2, 2],
    bind: pure((input, count) => {
      const text = toText(input, 'input')
      return text.slice(Math.max(0, text.length - Math.max(0, toWhole(count, 'count'))))
    }),
  },
  {
    name: 'ltrim',
    group: 'Text',
    signature: 'ltrim(input)',
    about: 'The text without blanks at its start.',
    example: 'ltrim(" hello")',
    result: 'hello',
    arity: [1, 1],
    bind: pure((input) => toText(input, 'input').trimStart()),
  },
  {
    name: 'rtrim',
    group: 'Text',
    signature: 'rtrim(input)',
    about: 'The text without blanks at its end.',
    example: 'rtrim("hello ")',
    result: 'hello',
    arity: [1, 1],
    bind: pure((input) => toText(input, 'input').trimEnd()),
  },
  {
    name: 'trim',
    group: 'Text',
    form: 'both',
    signature: 'trim(input)',
    about: 'The text without blanks at both ends.',
    example: 'trim(" hello ")',
    result: 'hello',
    arity: [1, 1],
    bind: pure((input) => toText(input, 'input').trim()),
  },
  {
    name: 'equals',
    group: 'Text',
    form: 'both',
    signature: 'text.equals(other)',
    about: 'Whether two texts are the same, letter case included.',
    example: '"string1".equals("STRING1")',
    result: false,
    arity: [2, 2],
    bind: pure((a, b) => equal(a, b)),
  },
  {
    name: 'equalsIgnoreCase',
    group: 'Text',
    form: 'both',
    signature: 'text.equalsIgnoreCase(other)',
    about: 'Whether two texts are the same but for letter case.',
    example: '"string1".equalsIgnoreCase("STRING1")',
    result: true,
    arity: [2, 2],
    bind: pure((a, b) => toText(a, 'text').toLowerCase() === toText(b, 'other text').toLowerCase()),
  },
]
