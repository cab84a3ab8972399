/** Expressions over columns: checked and compiled once, run over a whole micro-batch. Functions: docs/graph-format.md. */
import { didYouMean } from '../app/suggest.ts'
import { murmur3 } from '../scorer/hash.ts'
import { type Expr, FUNCTIONS } from './format.ts'
import { type Column, type Dtype, type Frame, isFloat, numbersOf, type Schema } from './frame.ts'
import { refuse, type Where, wanted } from './problem.ts'
import { codePoints, compareTexts, epochMs, strip } from './texts.ts'

/** A compiled expression. `dtype` null: the literal null, whose type comes from what stands beside it. */
interface Compiled {
  readonly dtype: Dtype | null
  readonly literal?: number | string | boolean | null
  numbers(frame: Frame): Float64Array
  texts(frame: Frame): readonly (string | null)[]
}

export interface Expression {
  readonly dtype: Dtype
  run(frame: Frame): Column
}

const MAX_DEPTH = 32
const MAX_ARGUMENTS = 1_000

/** @throws RtmlError GRAPH naming the node and what doesn't fit */
export function compileExpression(expr: Expr, schema: Schema, where: Where): Expression {
  const { dtype, numbers, texts } = new Compiler(schema, where).compile(expr, 0)
  if (dtype === null) return { dtype: 'float64', run: (frame) => ({ dtype: 'float64', data: numbers(frame) }) }
  if (dtype === 'string') return { dtype, run: (frame) => ({ dtype, data: texts(frame) }) }
  return { dtype, run: (frame) => ({ dtype, data: numbers(frame) }) }
}

class Compiler {
  readonly #schema: Schema
  readonly #where: Where

  constructor(schema: Schema, where: Where) {
    this.#schema = schema
    this.#where = where
  }

  compile(expr: Expr, depth: number): Compiled {
    if (depth > MAX_DEPTH)
      return refuse(this.#where, `the expression is more than ${MAX_DEPTH} deep. Compute it in two nodes.`)
    if (typeof expr === 'object' && expr !== null) {
      const keys = Object.keys(expr).sort().join()
      if ('col' in expr && keys === 'col' && typeof expr.col === 'string') return this.#column(expr.col)
      if ('lit' in expr && keys === 'lit') return this.#literal(expr.lit)
      if ('fn' in expr && keys === 'args,fn' && typeof expr.fn === 'string' && Array.isArray(expr.args))
        return this.#call(expr.fn, expr.args, depth)
    }
    return refuse(this.#where, 'an expression is {"col": name}, {"lit": value} or {"fn": name, "args": […]}.')
  }

  #column(name: string): Compiled {
    const dtype = wanted(this.#schema, name, this.#where)
    if (dtype === 'string') return ofTexts((frame) => frame.columns.get(name)?.data as readonly (string | null)[])
    return ofNumbers(dtype, (frame) => numbersOf(frame, name))
  }

  #literal(value: unknown): Compiled {
    if (value === null) {
      const nan = constant(Number.NaN)
      return { dtype: null, literal: null, numbers: nan, texts: ({ rows }) => new Array<null>(rows).fill(null) }
    }
    if (typeof value === 'string')
      return { ...ofTexts(({ rows }) => new Array<string>(rows).fill(value)), literal: value }
    if (typeof value === 'boolean') return { ...ofNumbers('bool', constant(value ? 1 : 0)), literal: value }
    if (typeof value === 'number')
      return { ...ofNumbers(Number.isSafeInteger(value) ? 'int64' : 'float64', constant(value)), literal: value }
    return refuse(this.#where, 'a literal is a number, a text, true, false or null.')
  }

  #call(name: string, args: readonly Expr[], depth: number): Compiled {
    const spec = Object.hasOwn(SPECS, name) ? SPECS[name] : undefined
    if (!spec)
      return refuse(this.#where, `function ${JSON.stringify(name)} is not known.${didYouMean(String(name), FUNCTIONS)}`)
    const { least, most = least } = spec
    if (args.length < least || args.length > Math.min(most, MAX_ARGUMENTS)) {
      const count =
        least === most ? `${least}` : most === Number.POSITIVE_INFINITY ? `${least} or more` : `${least} to ${most}`
      return refuse(this.#where, `${name} takes ${count} arguments, here are ${args.length}.`)
    }
    return spec.build(
      args.map((it) => this.compile(it, depth + 1)),
      (text) => refuse(this.#where, `${name}: ${text}`),
    )
  }
}

type Refuse = (text: string) => never

interface Spec {
  readonly least: number
  readonly most?: number
  build(args: readonly Compiled[], refuse: Refuse): Compiled
}

const noTexts = (): never => {
  throw new Error('a number was checked not to be used as a text')
}
const noNumbers = (): never => {
  throw new Error('a text was checked not to be used as a number')
}
const ofNumbers = (dtype: Dtype, numbers: Compiled['numbers']): Compiled => ({ dtype, numbers, texts: noTexts })
const ofTexts = (texts: Compiled['texts']): Compiled => ({ dtype: 'string', texts, numbers: noNumbers })

/** The same number in each row; kept, because batches are mostly of one size. */
function constant(value: number): (frame: Frame) => Float64Array {
  let filled = new Float64Array(0)
  return ({ rows }) => {
    if (filled.length < rows) filled = new Float64Array(rows).fill(value)
    return filled.length === rows ? filled : filled.subarray(0, rows)
  }
}

function allNumbers(args: readonly Compiled[], refuse: Refuse): void {
  const text = args.findIndex((it) => it.dtype === 'string')
  if (text >= 0) refuse(`argument ${text + 1} is a text, wanted a number. Use cast, length or map before it.`)
}

function allTexts(args: readonly Compiled[], refuse: Refuse): void {
  const other = args.find((it) => it.dtype !== 'string' && it.dtype !== null)
  if (other) refuse(`wanted a text, got ${other.dtype}. Cast it to string before.`)
}

const isWhole = (it: Compiled): boolean => it.dtype === 'int64' || it.dtype === 'bool'

/** One number from one. */
const unary = (f: (x: number) => number, dtypeOf: (a: Compiled) => Dtype = () => 'float64'): Spec => ({
  least: 1,
  build: (args, refuse) => {
    allNumbers(args, refuse)
    const [a] = args as [Compiled]
    return ofNumbers(dtypeOf(a), (frame) => {
      const x = a.numbers(frame)
      const out = new Float64Array(x.length)
      for (let i = 0; i < x.length; i++) out[i] = f(x[i] as number)
      return out
    })
  },
})

/** One number from two. */
const binary = (f: (x: number, y: number) => number, dtypeOf: (args: readonly Compiled[]) => Dtype): Spec => ({
  least: 2,
  build: (args, refuse) => {
    allNumbers(args, refuse)
    const [a, b] = args as [Compiled, Compiled]
    return ofNumbers(dtypeOf(args), (frame) => {
      const x = a.numbers(frame)
      const y = b.numbers(frame)
      const out = new Float64Array(x.length)
      for (let i = 0; i < x.length; i++) out[i] = f(x[i] as number, y[i] as number)
      return out
    })
  },
})

const float = (): Dtype => 'float64'
const wholeIfAll = (args: readonly Compiled[]): Dtype => (args.every(isWhole) ? 'int64' : 'float64')

/** The first argument's fold with the others. */
const folded = (f: (x: number, y: number) => number, dtypeOf: (args: readonly Compiled[]) => Dtype): Spec => {
  const two = binary(f, dtypeOf)
  return {
    least: 2,
    most: Number.POSITIVE_INFINITY,
    build: (args, refuse) =>
      args.slice(1).reduce((left, right) => two.build([left, right], refuse), args[0] as Compiled),
  }
}

const signed = (a: Compiled): Dtype => (isWhole(a) ? 'int64' : 'float64')

/** In step with `floordiv`: x = y · floordiv(x, y) + mod(x, y). JavaScript's `%` is not: 1 % 0.1 is nearly 0.1. */
const modulo = (x: number, y: number): number => (y === 0 ? Number.NaN : x - Math.floor(x / y) * y)

function roundToEven(x: number): number {
  const near = Math.round(x)
  return Math.abs(x % 1) === 0.5 && near % 2 !== 0 ? near - 1 : near
}

const compared = (
  numbers: (x: number, y: number) => boolean,
  texts: (order: number) => boolean,
  ofNull: 0 | 1,
): Spec => ({
  least: 2,
  build: (args, refuse) => {
    const [a, b] = args as [Compiled, Compiled]
    const isText = args.some((it) => it.dtype === 'string')
    if (!isText) {
      return ofNumbers('bool', (frame) => {
        const x = a.numbers(frame)
        const y = b.numbers(frame)
        const out = new Float64Array(x.length)
        for (let i = 0; i < x.length; i++) out[i] = numbers(x[i] as number, y[i] as number) ? 1 : 0
        return out
      })
    }
    allTexts(args, (text) => refuse(`a text can’t be compared with a number: ${text}`))
    return ofNumbers('bool', (frame) => {
      const x = a.texts(frame)
      const y = b.texts(frame)
      const out = new Float64Array(x.length)
      for (let i = 0; i < x.length; i++) {
        const [left, right] = [x[i] ?? null, y[i] ?? null]
        out[i] = left === null || right === null ? ofNull : texts(compareTexts(left, right)) ? 1 : 0
      }
      return out
    })
  },
})

const logic = (least: number, most: number, f: (out: Float64Array, x: Float64Array) => void): Spec => ({
  least,
  most,
  build: (args, refuse) => {
    const other = args.find((it) => it.dtype !== 'bool')
    if (other) refuse(`wanted bools, got ${other.dtype ?? 'null'}. Compare it: {"fn": "ne", "args": [it, {"lit": 0}]}.`)
    const [first, ...rest] = args as [Compiled, ...Compiled[]]
    return ofNumbers('bool', (frame) => {
      const out = first.numbers(frame).slice()
      if (rest.length === 0) f(out, out)
      for (const it of rest) f(out, it.numbers(frame))
      return out
    })
  },
})

/** The type of values of which each row takes one. A null beside int64 or bool makes it float64: they have none. */
function common(args: readonly Compiled[], refuse: Refuse): Dtype {
  const dtypes = new Set(args.flatMap((it) => (it.dtype === null ? [] : [it.dtype])))
  const [first = 'float64', ...others] = dtypes
  if (dtypes.has('string')) {
    const [other] = [...dtypes].filter((it) => it !== 'string')
    return other === undefined ? 'string' : refuse(`mixes texts with ${other}. Cast one of them.`)
  }
  const hasNull = args.some((it) => it.dtype === null)
  if (!hasNull && others.length === 0) return first
  return !hasNull && [...dtypes].every((it) => it === 'int64' || it === 'bool') ? 'int64' : 'float64'
}

const text = (f: (text: string) => string): Spec => ({
  least: 1,
  build: (args, refuse) => {
    allTexts(args, refuse)
    const [a] = args as [Compiled]
    return ofTexts((frame) => a.texts(frame).map((it) => (it === null ? null : f(it))))
  },
})

const numberOfText = (f: (text: string) => number): Spec => ({
  least: 1,
  build: (args, refuse) => {
    allTexts(args, refuse)
    const [a] = args as [Compiled]
    return ofNumbers('float64', (frame) => {
      const x = a.texts(frame)
      const out = new Float64Array(x.length)
      for (let i = 0; i < x.length; i++) {
        const it = x[i] ?? null
        out[i] = it === null ? Number.NaN : f(it)
      }
      return out
    })
  },
})

const search = (f: (text: string, part: string) => boolean): Spec => ({
  least: 2,
  build: (args, refuse) => {
    const [a, part] = args as [Compiled, Compiled]
    allTexts([a], refuse)
    const { literal } = part
    if (typeof literal !== 'string') return refuse('the second argument is a literal text.')
    return ofNumbers('bool', (frame) => {
      const x = a.texts(frame)
      const out = new Float64Array(x.length)
      for (let i = 0; i < x.length; i++) {
        const it = x[i] ?? null
        out[i] = it !== null && f(it, literal) ? 1 : 0
      }
      return out
    })
  },
})

/** The first millisecond of the year 10000: from there on a date has no agreed form. */
const MAX_TIME_MS = 253_402_300_800_000

/** A part of a time. */
const timePart = (f: (time: Date) => number): Spec =>
  unary((x) => (Math.abs(x) < MAX_TIME_MS ? f(new Date(Math.floor(x))) : Number.NaN))

const encoder = new TextEncoder()

const SPECS: Readonly<Record<string, Spec>> = {
  add: binary((x, y) => x + y, wholeIfAll),
  sub: binary((x, y) => x - y, wholeIfAll),
  mul: binary((x, y) => x * y, wholeIfAll),
  div: binary((x, y) => x / y, float),
  floordiv: binary((x, y) => (y === 0 ? Number.NaN : Math.floor(x / y)), float),
  mod: binary(modulo, float),
  pow: binary((x, y) => x ** y, float),
  neg: unary((x) => 0 - x, signed),
  abs: unary(Math.abs, signed),
  sqrt: unary(Math.sqrt),
  exp: unary(Math.exp),
  log: unary(Math.log),
  log1p: unary(Math.log1p),
  floor: unary(Math.floor),
  ceil: unary(Math.ceil),
  round: unary(roundToEven),
  min: folded(Math.min, float),
  max: folded(Math.max, float),
  clip: {
    least: 3,
    build: (args, refuse) => {
      const [x, low, high] = args as [Compiled, Compiled, Compiled]
      const raised = binary(Math.max, float).build([x, low], refuse)
      return binary(Math.min, float).build([raised, high], refuse)
    },
  },
  eq: compared(
    (x, y) => x === y,
    (order) => order === 0,
    0,
  ),
  ne: compared(
    (x, y) => x !== y,
    (order) => order !== 0,
    1,
  ),
  lt: compared(
    (x, y) => x < y,
    (order) => order < 0,
    0,
  ),
  le: compared(
    (x, y) => x <= y,
    (order) => order <= 0,
    0,
  ),
  gt: compared(
    (x, y) => x > y,
    (order) => order > 0,
    0,
  ),
  ge: compared(
    (x, y) => x >= y,
    (order) => order >= 0,
    0,
  ),
  and: logic(2, Number.POSITIVE_INFINITY, (out, x) => {
    for (let i = 0; i < out.length; i++) if (x[i] === 0) out[i] = 0
  }),
  or: logic(2, Number.POSITIVE_INFINITY, (out, x) => {
    for (let i = 0; i < out.length; i++) if (x[i] === 1) out[i] = 1
  }),
  not: logic(1, 1, (out) => {
    for (let i = 0; i < out.length; i++) out[i] = 1 - (out[i] as number)
  }),
  isnull: {
    least: 1,
    build: ([a]) => {
      const { dtype, numbers, texts } = a as Compiled
      return ofNumbers('bool', (frame) => {
        if (dtype === 'string') return Float64Array.from(texts(frame), (it) => (it === null ? 1 : 0))
        return numbers(frame).map((it) => (Number.isNaN(it) ? 1 : 0))
      })
    },
  },
  isin: {
    least: 2,
    most: Number.POSITIVE_INFINITY,
    build: ([a, ...values], refuse) => {
      const { dtype, numbers, texts } = a as Compiled
      const literals = values.map((it) => it.literal)
      if (literals.includes(undefined)) refuse('the arguments after the first are literals.')
      const other = literals.find(
        (it) => it !== null && dtype !== null && (typeof it === 'string') !== (dtype === 'string'),
      )
      if (other !== undefined) refuse(`${JSON.stringify(other)} is looked for in ${dtype}. Write values of its type.`)
      if (dtype === 'string') {
        const set = new Set(literals)
        set.delete(null)
        return ofNumbers('bool', (frame) => Float64Array.from(texts(frame), (it) => (set.has(it) ? 1 : 0)))
      }
      const set = new Set(literals.filter((it) => it !== null).map(Number))
      return ofNumbers('bool', (frame) => numbers(frame).map((it) => (set.has(it) && !Number.isNaN(it) ? 1 : 0)))
    },
  },
  where: {
    least: 3,
    build: ([condition, a, b], refuse) => {
      const [test, yes, no] = [condition as Compiled, a as Compiled, b as Compiled]
      if (test.dtype !== 'bool') refuse(`the condition is ${test.dtype ?? 'null'}, wanted bool.`)
      const dtype = common([yes, no], refuse)
      if (dtype === 'string') {
        return ofTexts((frame) => {
          const [t, x, y] = [test.numbers(frame), yes.texts(frame), no.texts(frame)]
          return Array.from(t, (it, row) => (it === 1 ? x[row] : y[row]) ?? null)
        })
      }
      return ofNumbers(dtype, (frame) => {
        const [t, x, y] = [test.numbers(frame), yes.numbers(frame), no.numbers(frame)]
        const out = new Float64Array(t.length)
        for (let i = 0; i < t.length; i++) out[i] = (t[i] === 1 ? x[i] : y[i]) as number
        return out
      })
    },
  },
  coalesce: {
    least: 2,
    most: Number.POSITIVE_INFINITY,
    build: (args, refuse) => {
      const all = common(args, refuse)
      if (all === 'string') {
        return ofTexts((frame) => {
          const lists = args.map((it) => it.texts(frame))
          return Array.from({ length: frame.rows }, (_, row) => {
            for (const it of lists) if ((it[row] ?? null) !== null) return it[row] as string
            return null
          })
        })
      }
      const dtype = isFloat(all) ? 'float64' : all
      return ofNumbers(dtype, (frame) => {
        const lists = args.map((it) => it.numbers(frame))
        const out = (lists[0] as Float64Array).slice()
        for (const it of lists.slice(1)) {
          for (let i = 0; i < out.length; i++) if (Number.isNaN(out[i])) out[i] = it[i] as number
        }
        return out
      })
    },
  },
  lower: text((it) => it.toLowerCase()),
  upper: text((it) => it.toUpperCase()),
  strip: text(strip),
  length: numberOfText(codePoints),
  concat: {
    least: 2,
    most: Number.POSITIVE_INFINITY,
    build: (args, refuse) => {
      allTexts(args, refuse)
      return ofTexts((frame) => {
        const lists = args.map((it) => it.texts(frame))
        return Array.from({ length: frame.rows }, (_, row) => {
          let joined = ''
          for (const it of lists) {
            const part = it[row] ?? null
            if (part === null) return null
            joined += part
          }
          return joined
        })
      })
    },
  },
  contains: search((it, part) => it.includes(part)),
  startswith: search((it, part) => it.startsWith(part)),
  endswith: search((it, part) => it.endsWith(part)),
  hash: {
    least: 2,
    build: ([a, buckets], refuse) => {
      const count = buckets?.literal
      if (typeof count !== 'number' || !Number.isInteger(count) || count < 1 || count > 2 ** 31)
        return refuse('the number of buckets is a literal whole number from 1 to 2147483648.')
      return numberOfText((it) => murmur3(encoder.encode(it)) % count).build([a as Compiled], refuse)
    },
  },
  epochms: numberOfText(epochMs),
  year: timePart((it) => it.getUTCFullYear()),
  month: timePart((it) => it.getUTCMonth() + 1),
  day: timePart((it) => it.getUTCDate()),
  hour: timePart((it) => it.getUTCHours()),
  minute: timePart((it) => it.getUTCMinutes()),
  second: timePart((it) => it.getUTCSeconds()),
  // Monday is 0, as in pandas; JavaScript starts with Sunday.
  dayofweek: timePart((it) => (it.getUTCDay() + 6) % 7),
}
