import { RE2JS } from 're2js'
import { refuse } from '../errors.ts'
import { MAX_PATTERN_LENGTH } from '../limits.ts'
import { show } from '../values.ts'
import { spend } from '../work.ts'
import { toText } from './arguments.ts'
import type { FunctionSpec, Literal } from './spec.ts'
import { withoutEmptyEnd } from './text.ts'

/**
 * A regular expression in RE2 syntax, which is CEL's. Matching is linear in the input for every pattern (automata, no backtracking), so no
 * pattern can hang; look-around and back-references don't exist. Work is still charged: a large pattern costs more a character.
 */
interface Pattern {
  readonly regex: RE2JS
  /** Work a character, in units of `spend`. */
  readonly cost: number
}

const MAX_CACHED_PATTERNS = 200
const cache = new Map<string, Pattern>()

/** @throws ExpressionError `argument` when RE2 doesn't accept it */
function compileRegex(source: string): Pattern {
  const known = cache.get(source)
  if (known !== undefined) return known
  if (source.length > MAX_PATTERN_LENGTH)
    refuse('limit', `A regular expression may have ${MAX_PATTERN_LENGTH} characters; this one has ${source.length}.`)
  const regex = compileOrRefuse(source)
  const pattern = { regex, cost: regex.programSize() / 256 + 1 / 64 }
  if (cache.size >= MAX_CACHED_PATTERNS) cache.clear()
  cache.set(source, pattern)
  return pattern
}

function compileOrRefuse(source: string): RE2JS {
  try {
    return RE2JS.compile(source)
  } catch (error) {
    const why = error instanceof Error ? error.message.replace('error parsing regexp: ', '') : 'it is not valid'
    const hint = /\(\?[=!<]|\\[1-9]/.test(source)
      ? ' Look-around and back-references are not available (RE2 syntax).'
      : ''
    return refuse('argument', `The regular expression ${show(source)} isn't valid: ${why}.${hint}`)
  }
}

/** A literal pattern is compiled once, any other on each call (from a bounded cache). */
function patternOf(literal: Literal): (value: unknown) => Pattern {
  if (literal === undefined) return (value) => compileRegex(toText(value, 'regular expression'))
  if (literal.value === null) return () => refuse('argument', 'The regular expression is null.')
  const fixed = compileRegex(toText(literal.value, 'regular expression'))
  return () => fixed
}

/** Whether the pattern is found anywhere in the text. */
function found(pattern: Pattern, text: string): boolean {
  spend(text.length * pattern.cost)
  return pattern.regex.test(text)
}

function extract(pattern: Pattern, text: string): unknown[] | null {
  spend(text.length * pattern.cost * 4)
  const matcher = pattern.regex.matcher(text)
  if (!matcher.find()) return null
  return Array.from({ length: matcher.groupCount() + 1 }, (_, group) => matcher.group(group) ?? null)
}

/** java.lang.String.split: no part before an empty match at the start, no empty parts at the end. */
function explode(pattern: Pattern, text: string): string[] {
  const parts: string[] = []
  const matcher = pattern.regex.matcher(text)
  spend(text.length * pattern.cost * 4)
  let start = 0
  while (matcher.find()) {
    spend(1)
    if (matcher.end() === 0) continue
    if (matcher.start() === matcher.end() && matcher.start() === text.length) break
    parts.push(text.slice(start, matcher.start()))
    start = matcher.end()
  }
  parts.push(text.slice(start))
  return withoutEmptyEnd(text, parts)
}

const PLAIN = /^[^\\^$.|?*+()[\]{}]+$/

export const regexFunctions: readonly FunctionSpec[] = [
  {
    name: 'explode',
    group: 'Text',
    signature: 'explode(input, [regex])',
    about: 'Parts between the matches of a regular expression, "," by default; empty parts at the end fall away.',
    example: 'explode("Hi, there!", " ")',
    result: ['Hi,', 'there!'],
    arity: [1, 2],
    bind: (_, literals) => {
      const separator = literals[1]?.value
      if (typeof separator === 'string' && PLAIN.test(separator))
        return (input) => {
          const text = toText(input, 'input')
          return withoutEmptyEnd(text, text.split(separator))
        }
      const pattern = patternOf(literals[1])
      return (input, regex = ',') => explode(pattern(regex), toText(input, 'input'))
    },
  },
  {
    name: 'extract_regex',
    group: 'Regular expressions',
    signature: 'extract_regex(input, regex)',
    about: 'The first match and its groups, as a list; null when nothing matches.',
    example: 'extract_regex("E259,E259B_009,1_1", "([^,]+),[^,]*,([^,]+)")',
    result: ['E259,E259B_009,1_1', 'E259', '1_1'],
    arity: [2, 2],
    bind: (_, literals) => {
      const pattern = patternOf(literals[1])
      return (input, regex) => extract(pattern(regex), toText(input, 'input'))
    },
  },
  {
    name: 'matches_regex',
    group: 'Regular expressions',
    signature: 'matches_regex(input, regex)',
    about: 'Whether the whole text matches; for a part of it use x.matches(…).',
    example: 'matches_regex("E259,E259B_009,1_1", "([^,]+),[^,]*,([^,]+)")',
    result: true,
    arity: [2, 2],
    bind: (_, literals) => {
      const pattern = patternOf(literals[1])
      return (input, regex) => {
        const text = toText(input, 'input')
        const { regex: compiled, cost } = pattern(regex)
        spend(text.length * cost)
        return compiled.testExact(text)
      }
    },
  },
  {
    name: 'matches',
    group: 'CEL',
    form: 'both',
    signature: 'text.matches(regex)',
    about: 'Whether a regular expression (RE2) is found in the text.',
    example: '"/products/12".matches("^/products/[0-9]+$")',
    result: true,
    arity: [2, 2],
    bind: (_, literals) => {
      const pattern = patternOf(literals[1])
      return (input, regex) => found(pattern(regex), toText(input, 'text'))
    },
  },
]
