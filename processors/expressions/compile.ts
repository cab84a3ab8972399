import { type AccessStep, type Eval, type Locals, readRoot, readSteps } from './access.ts'
import type { ArithmeticOperator } from './arithmetic.ts'
import { compileCall, compileMethod } from './calls.ts'
import type { Code, Compiler, Place, Scope } from './code.ts'
import { ExpressionError } from './errors.ts'
import { formatFieldPath, type Step } from './field-path.ts'
import type { FunctionContext } from './functions/spec.ts'
import { MAX_DEPTH } from './limits.ts'
import {
  type Comparison,
  compileArithmetic,
  compileChoice,
  compileComparison,
  compileEquality,
  compileLogic,
  compileMembership,
  compileNegation,
  compileNot,
} from './operators.ts'
import { type ASTNode, type Parsed, parse } from './parse.ts'
import type { Expression, Variables } from './types.ts'
import { type Fields, isMap, normalizeInteger, setField, toJson, typeName } from './values.ts'
import { startWork } from './work.ts'

export interface CompileOptions {
  readonly variables: ReadonlySet<string>
  readonly context: FunctionContext
  readonly replayable: boolean
  readonly specialize: boolean
}

const NO_VARIABLES: Variables = {}
const NO_LOCALS: Locals = []

/** @throws ExpressionError with the place, when the source isn't an expression or calls what doesn't exist */
export function compileExpression(source: string, options: CompileOptions): Expression {
  const parsed = parse(source)
  const compilation = new Compilation(source, parsed, options)
  const code = compileRoot(compilation, parsed.node, source)
  const run = finish(code, compilation)
  return {
    source,
    paths: compilation.paths(),
    evaluate: (root, variables = NO_VARIABLES) => run(root as Fields, variables),
    test: testOf(code, run),
  }
}

function compileRoot(compilation: Compilation, node: ASTNode, source: string): Code {
  try {
    return compilation.compile(node, { scope: undefined, depth: 0 })
  } catch (error) {
    if (error instanceof RangeError)
      throw new ExpressionError('limit', 'The expression nests too deep.', { source, column: 1 })
    throw error
  }
}

type Run = (root: Fields, variables: Fields) => unknown

/** Adds only what the expression needs around its closure: room for names, a fresh account of work, dates to text. */
function finish(code: Code, { slots, dates }: Compilation): Run {
  const { eval: evaluate } = code
  if (code.literal !== undefined && !isContainer(code.literal.value)) {
    const { value } = code.literal
    return () => value
  }
  if (code.total && slots === 0 && !dates)
    return (root, variables) => {
      const value = evaluate(root, variables, NO_LOCALS)
      return value === undefined ? null : value
    }
  return (root, variables) => {
    startWork()
    const value = evaluate(root, variables, slots === 0 ? NO_LOCALS : new Array<unknown>(slots))
    if (dates) return toJson(value)
    return value === undefined ? null : value
  }
}

function isContainer(value: unknown): boolean {
  return Array.isArray(value) || isMap(value)
}

function testOf(code: Code, run: Run): Expression['test'] {
  if (code.total) return (root, variables = NO_VARIABLES) => run(root as Fields, variables) === true
  return (root, variables = NO_VARIABLES) => {
    try {
      return run(root as Fields, variables) === true
    } catch (error) {
      if (error instanceof ExpressionError) return false
      throw error
    }
  }
}

class Compilation implements Compiler {
  readonly source: string
  readonly variables: ReadonlySet<string>
  readonly context: FunctionContext
  readonly replayable: boolean
  readonly specialize: boolean
  readonly marks: Parsed['marks']
  slots = 0
  dates = false
  readonly #paths = new Set<string>()
  readonly #parsed: Parsed

  constructor(source: string, parsed: Parsed, options: CompileOptions) {
    this.source = source
    this.variables = options.variables
    this.context = options.context
    this.replayable = options.replayable
    this.specialize = options.specialize
    this.marks = parsed.marks
    this.#parsed = parsed
  }

  paths(): readonly string[] {
    return [...this.#paths].sort()
  }

  recordPath(path: readonly Step[]): void {
    if (path.length > 0) this.#paths.add(formatFieldPath(path))
  }

  noteDates(): void {
    this.dates = true
  }

  newSlot(): number {
    return this.slots++
  }

  columnOf(node: ASTNode): number {
    // A method is called where its receiver ends, which is nearer to the fault than where the chain starts.
    const at = node.op === 'rcall' ? node.args[1].end + 1 : node.pos
    return this.#parsed.columnOf(at)
  }

  guard(node: ASTNode, run: Eval, name?: string): Eval {
    const { source } = this
    const column = this.columnOf(node)
    return (root, variables, locals) => {
      try {
        return run(root, variables, locals)
      } catch (error) {
        throw withPlace(error, source, column, name)
      }
    }
  }

  compile(node: ASTNode, place: Place): Code {
    if (place.depth > MAX_DEPTH)
      throw new ExpressionError(
        'limit',
        `The expression nests more than ${MAX_DEPTH} levels. Name parts of it under let.`,
        {
          source: this.source,
          column: this.columnOf(node),
        },
      )
    return compileNode(this, node, place)
  }
}

function withPlace(error: unknown, source: string, column: number, name: string | undefined): unknown {
  if (error instanceof ExpressionError) {
    if (error.source !== undefined) return error
    return new ExpressionError(error.kind, name === undefined ? error.reason : `${name}: ${error.reason}`, {
      source,
      column,
    })
  }
  // Values that nest beyond the stack, or a text beyond the engine's own limit.
  if (error instanceof RangeError)
    return new ExpressionError('limit', `A value is too large: ${error.message}.`, { source, column })
  return error
}

function compileNode(compiler: Compilation, node: ASTNode, place: Place): Code {
  const inner: Place = { scope: place.scope, depth: place.depth + 1 }
  const compile = (child: ASTNode) => compiler.compile(child, inner)
  switch (node.op) {
    case 'value':
      return literalCode(literalValue(node.args))
    case 'id':
    case '.':
    case '[]':
      return compileAccess(compiler, node, inner)
    case 'list':
      return compileList(node.args.map(compile))
    case 'map':
      return compileMap(
        compiler,
        node,
        node.args.map(([key, value]) => [compile(key), compile(value)] as const),
      )
    case '?:': {
      const [condition, then, otherwise] = node.args
      return compileChoice(compiler, node, compile(condition), compile(then), compile(otherwise), '? :')
    }
    case '||':
    case '&&':
      return compileLogic(compiler, node, chain(node, node.op).map(compile), { stop: node.op === '||' })
    case '!_':
      return compileNot(compiler, node, compile(node.args))
    case '-_':
      return compileNegation(compiler, node, compile(node.args))
    case '==':
    case '!=':
      return compileEquality(compiler, node, compile(node.args[0]), compile(node.args[1]), {
        negated: node.op === '!=',
      })
    case 'in': {
      const [left, right] = node.args
      const listed = right.op === 'list' ? right.args.map(compile) : undefined
      return compileMembership(
        compiler,
        node,
        compile(left),
        listed === undefined ? compile(right) : compileList(listed),
        listed,
      )
    }
    case '+':
    case '-':
    case '*':
    case '/':
    case '%':
      return compileChain(compiler, node, inner)
    case '<':
    case '<=':
    case '>':
    case '>=':
      return compileComparison(compiler, node, node.op as Comparison, compile(node.args[0]), compile(node.args[1]))
    case 'call':
      return compileCall(compiler, node, node.args[0], node.args[1], inner)
    case 'rcall':
      return compileMethod(compiler, node, node.args[0], node.args[1], node.args[2], inner)
    default:
      throw new ExpressionError('syntax', `"${node.op}" is not available here; a missing field is null already.`, {
        source: compiler.source,
        column: compiler.columnOf(node),
      })
  }
}

/** The operands of `a || b || c`, which the grammar nests to the left; flat, a long chain costs no depth. */
function chain(node: ASTNode, operator: string): ASTNode[] {
  const operands: ASTNode[] = []
  let at = node
  while (at.op === operator && (at.op === '||' || at.op === '&&')) {
    operands.push(at.args[1])
    at = at.args[0]
  }
  operands.push(at)
  return operands.reverse()
}

const isArithmetic = (op: string): op is ArithmeticOperator =>
  op === '+' || op === '-' || op === '*' || op === '/' || op === '%'

/** `a + b - c …`: gone through from the left without recursion; evaluation nests as deep as the chain is long, which MAX_NODES bounds. */
function compileChain(compiler: Compilation, node: ASTNode, place: Place): Code {
  const nodes: ASTNode[] = []
  let at: ASTNode = node
  while (isArithmetic(at.op)) {
    nodes.push(at)
    at = (at.args as [ASTNode, ASTNode])[0]
  }
  if (nodes.length > 4 * MAX_DEPTH)
    throw new ExpressionError(
      'limit',
      `More than ${4 * MAX_DEPTH} operators follow each other. Use concat(…), sum parts, or lists.`,
      {
        source: compiler.source,
        column: compiler.columnOf(node),
      },
    )
  let code = compiler.compile(at, place)
  for (const next of nodes.reverse()) {
    const right = compiler.compile((next.args as [ASTNode, ASTNode])[1], place)
    code = compileArithmetic(compiler, next, next.op as ArithmeticOperator, code, right)
  }
  return code
}

function literalCode(value: unknown): Code {
  return { eval: () => value, total: true, literal: { value }, boolean: typeof value === 'boolean' || value === null }
}

/** The parser gives integers as bigint and unsigned ones as objects of its own. */
function literalValue(value: unknown): unknown {
  if (typeof value === 'bigint') return normalizeInteger(value)
  if (value instanceof Uint8Array) return Buffer.from(value)
  if (typeof value === 'object' && value !== null) return normalizeInteger(BigInt(String(value.valueOf())))
  return value
}

function compileList(items: readonly Code[]): Code {
  const evals = items.map((item) => item.eval)
  return {
    total: items.every((item) => item.total),
    eval: (root, variables, locals) => {
      const made = new Array<unknown>(evals.length)
      for (let index = 0; index < evals.length; index++) made[index] = evals[index]!(root, variables, locals) ?? null
      return made
    },
  }
}

function compileMap(compiler: Compiler, node: ASTNode, entries: readonly (readonly [Code, Code])[]): Code {
  const pairs = entries.map(([key, value]) => [key.eval, value.eval] as const)
  const run: Eval = (root, variables, locals) => {
    const made: Fields = {}
    for (const [key, value] of pairs) {
      const name = keyText(key(root, variables, locals))
      setField(made, name, value(root, variables, locals) ?? null)
    }
    return made
  }
  return { eval: compiler.guard(node, run) }
}

function keyText(key: unknown): string {
  if (typeof key === 'string') return key
  if (typeof key === 'number' || typeof key === 'bigint' || typeof key === 'boolean') return String(key)
  throw new ExpressionError('type', `A key of a map is text, not ${typeName(key)}. Quote it: {"name": value}.`)
}

/** A path: a base (the root, a variable, a declared name, any expression) and the steps from it. */
function compileAccess(compiler: Compilation, node: ASTNode, place: Place): Code {
  const steps: AccessStep[] = []
  let computed = true
  let at: ASTNode = node
  while (at.op === '.' || at.op === '[]') {
    if (at.op === '.') {
      steps.push({ kind: 'name', name: at.args[1] })
      at = at.args[0]
      continue
    }
    const [base, key] = at.args
    const mark = key.op === 'value' ? compiler.marks.get(key.pos) : undefined
    if (mark === 'name') return fromName(compiler, key.args as string, steps.reverse(), place)
    const step: AccessStep = mark === 'each' ? { kind: 'each' } : stepOf(compiler, key, place)
    if (step.kind === 'computed') computed = false
    steps.push(step)
    at = base
  }
  steps.reverse()
  if (at.op === 'id') return fromName(compiler, at.args, steps, place)
  const base = compiler.compile(at, place)
  if (steps.length === 0) return base
  return { eval: readSteps(base.eval, steps), total: base.total === true && computed }
}

function stepOf(compiler: Compilation, key: ASTNode, place: Place): AccessStep {
  const code = compiler.compile(key, place)
  const value = code.literal?.value
  if (typeof value === 'string') return { kind: 'name', name: value }
  if (typeof value === 'number') return { kind: 'index', index: value }
  return { kind: 'computed', key: code.eval }
}

function find(scope: Scope | undefined, name: string): Scope | undefined {
  for (let at = scope; at !== undefined; at = at.outer) if (at.name === name) return at
  return undefined
}

/** A bare name: declared by a comprehension, then a variable, then `root` itself, then a field of the root. */
function fromName(compiler: Compilation, name: string, steps: readonly AccessStep[], place: Place): Code {
  const total = !steps.some((step) => step.kind === 'computed')
  const declared = find(place.scope, name)
  if (declared !== undefined) {
    const { slot } = declared
    const path = declared.path && extend(declared.path, steps)
    if (path !== undefined) compiler.recordPath(path.known)
    const base: Eval = (_root, _variables, locals) => locals[slot]
    const evaluate = steps.length === 0 ? base : readSteps(base, steps)
    return path?.complete ? { eval: evaluate, total, path: path.known } : { eval: evaluate, total }
  }
  if (compiler.variables.has(name)) {
    const base: Eval = (_root, variables) => (Object.hasOwn(variables, name) ? variables[name] : undefined)
    return { eval: steps.length === 0 ? base : readSteps(base, steps), total }
  }
  return fromRoot(compiler, name === 'root' ? steps : [{ kind: 'name', name }, ...steps], total)
}

function fromRoot(compiler: Compilation, steps: readonly AccessStep[], total: boolean): Code {
  const { known, complete } = extend([], steps)
  compiler.recordPath(known)
  const names = steps.flatMap((step) => (step.kind === 'name' ? [step.name] : []))
  const base: Eval = (root) => root
  const evaluate =
    steps.length === 0
      ? base
      : names.length === steps.length
        ? readRoot(names, { specialize: compiler.specialize })
        : readSteps(base, steps)
  return complete ? { eval: evaluate, total, path: known } : { eval: evaluate, total }
}

/** What is known of a path before it runs: up to the first index that is computed. */
function extend(path: readonly Step[], steps: readonly AccessStep[]): { known: readonly Step[]; complete: boolean } {
  const known: Step[] = [...path]
  for (const step of steps) {
    if (step.kind === 'computed') return { known, complete: false }
    known.push(step)
  }
  return { known, complete: true }
}
