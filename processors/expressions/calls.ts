import { didYouMean } from '../app/suggest.ts'
import { type Eval, readPath } from './access.ts'
import type { Code, Compiler, Place } from './code.ts'
import { COMPREHENSIONS, compileComprehension, declare } from './comprehensions.ts'
import { ExpressionError, refuse } from './errors.ts'
import { parseFieldPath } from './field-path.ts'
import { REFUSED_FUNCTIONS } from './functions/identifiers.ts'
import { objectToMap, sameValue } from './functions/objects.ts'
import { FUNCTIONS, METHODS } from './functions/registry.ts'
import type { FunctionSpec, Implementation, Literal } from './functions/spec.ts'
import { compileChoice } from './operators.ts'
import type { ASTNode } from './parse.ts'
import { type Fields, show } from './values.ts'

/** `name(arguments)`. */
export function compileCall(
  compiler: Compiler,
  node: ASTNode,
  name: string,
  args: readonly ASTNode[],
  place: Place,
): Code {
  const spec = FUNCTIONS.get(name) ?? refuseUnknown(compiler, node, name, 'function')
  checkArity(compiler, node, spec, args.length)
  checkNeeds(compiler, node, spec, name, args.length)
  if (spec.givesDates) compiler.noteDates()
  if (spec.bind !== 'special')
    return compilePlain(
      compiler,
      node,
      spec,
      name,
      args.map((arg) => compiler.compile(arg, place)),
    )
  return compileSpecial(compiler, node, spec.name, args, place)
}

/** `receiver.name(arguments)`. */
export function compileMethod(
  compiler: Compiler,
  node: ASTNode,
  name: string,
  receiver: ASTNode,
  args: readonly ASTNode[],
  place: Place,
): Code {
  const spec = METHODS.get(name) ?? refuseUnknown(compiler, node, name, 'method')
  checkArity(compiler, node, spec, args.length + 1)
  if (name === 'bind') return compileBind(compiler, node, receiver, args, place)
  if (COMPREHENSIONS.has(name)) return compileComprehension(compiler, node, name, receiver, args, place)
  return compilePlain(
    compiler,
    node,
    spec,
    name,
    [receiver, ...args].map((arg) => compiler.compile(arg, place)),
  )
}

function refuseUnknown(compiler: Compiler, node: ASTNode, name: string, form: 'function' | 'method'): never {
  const fail = (reason: string): never => {
    throw new ExpressionError('unknown-function', reason, { source: compiler.source, column: compiler.columnOf(node) })
  }
  const refused = REFUSED_FUNCTIONS.get(name)
  if (refused !== undefined) return fail(refused)
  const other = form === 'method' ? FUNCTIONS.get(name) : METHODS.get(name)
  if (other !== undefined) return fail(`${name} is called like this: ${other.signature}.`)
  const names = form === 'method' ? [...METHODS.keys(), ...FUNCTIONS.keys()] : [...FUNCTIONS.keys(), ...METHODS.keys()]
  const hint = didYouMean(name, names)
  return fail(
    `There is no ${form} ${JSON.stringify(name)}.${hint.startsWith(' Did') ? hint : ' All are listed in docs/expressions.md.'}`,
  )
}

function checkArity(compiler: Compiler, node: ASTNode, spec: FunctionSpec, count: number): void {
  const [least, most] = spec.arity
  if (count >= least && count <= most) return
  throw new ExpressionError('argument', `It is called like this: ${spec.signature}.`, {
    source: compiler.source,
    column: compiler.columnOf(node),
  })
}

function checkNeeds(compiler: Compiler, node: ASTNode, spec: FunctionSpec, name: string, count: number): void {
  if (spec.needs === undefined || count > 0) return
  const place = { source: compiler.source, column: compiler.columnOf(node) }
  if (compiler.replayable)
    throw new ExpressionError(
      'argument',
      `${name}() gives another value on each replay. Take it from the event: its own time, or a hash of its id.`,
      place,
    )
  const given = spec.needs === 'clock' ? compiler.context.clock : compiler.context.random
  if (given === undefined) throw new ExpressionError('argument', `${name}() has no ${spec.needs} here.`, place)
}

function compilePlain(
  compiler: Compiler,
  node: ASTNode,
  spec: FunctionSpec,
  name: string,
  args: readonly Code[],
): Code {
  const literals: Literal[] = args.map((arg) => arg.literal)
  const implementation = bindFunction(compiler, node, spec, name, literals)
  const evals = args.map((arg) => arg.eval)
  const run = spec.seesNull ? callAlways(implementation, evals) : callOnValues(implementation, evals)
  return { eval: compiler.guard(node, run, name) }
}

function bindFunction(
  compiler: Compiler,
  node: ASTNode,
  spec: FunctionSpec,
  name: string,
  literals: readonly Literal[],
): Implementation {
  try {
    return (spec.bind as Exclude<FunctionSpec['bind'], 'special'>)(compiler.context, literals)
  } catch (error) {
    if (!(error instanceof ExpressionError)) throw error
    throw new ExpressionError(error.kind, `${name}: ${error.reason}`, {
      source: compiler.source,
      column: compiler.columnOf(node),
    })
  }
}

const missing = (value: unknown): value is null | undefined => value === null || value === undefined

/** Null in, null out. One closure a count of arguments: no array is made for the usual calls. */
function callOnValues(call: Implementation, evals: readonly Eval[]): Eval {
  const [a, b, c] = evals as [Eval, Eval, Eval]
  switch (evals.length) {
    case 0:
      return () => call()
    case 1:
      return (root, variables, locals) => {
        const x = a(root, variables, locals)
        return missing(x) ? null : call(x)
      }
    case 2:
      return (root, variables, locals) => {
        const x = a(root, variables, locals)
        const y = b(root, variables, locals)
        return missing(x) || missing(y) ? null : call(x, y)
      }
    case 3:
      return (root, variables, locals) => {
        const x = a(root, variables, locals)
        const y = b(root, variables, locals)
        const z = c(root, variables, locals)
        return missing(x) || missing(y) || missing(z) ? null : call(x, y, z)
      }
    default:
      return (root, variables, locals) => {
        const values = evals.map((evaluate) => evaluate(root, variables, locals))
        return values.some(missing) ? null : call(...values)
      }
  }
}

function callAlways(call: Implementation, evals: readonly Eval[]): Eval {
  const [a] = evals as [Eval]
  if (evals.length === 1) return (root, variables, locals) => call(a(root, variables, locals))
  return (root, variables, locals) => call(...evals.map((evaluate) => evaluate(root, variables, locals)))
}

/** Functions that don't evaluate all their arguments, or take them as paths or names. */
function compileSpecial(compiler: Compiler, node: ASTNode, name: string, args: readonly ASTNode[], place: Place): Code {
  const compile = (arg: ASTNode) => compiler.compile(arg, place)
  switch (name) {
    case 'iif': {
      const [condition, then, otherwise] = args.map(compile) as [Code, Code, Code]
      return compileChoice(compiler, node, condition, then, otherwise, 'iif')
    }
    case 'coalesce':
      return compileCoalesce(args.map(compile))
    case 'decode':
      return { eval: compiler.guard(node, decode(args.map((arg) => compile(arg).eval)), name) }
    case 'has':
    case 'contains_key':
      return compilePresence(compiler, node, name, args[0]!, place)
    case 'filterArray':
    case 'transformArray':
      return compileComprehension(
        compiler,
        node,
        name === 'filterArray' ? 'filter' : 'map',
        args[0]!,
        args.slice(1),
        place,
      )
    case 'object_to_map':
      return compileObjectToMap(compiler, node, args, place)
    default:
      throw new Error(`no compiler for the special function ${name}`)
  }
}

function compileCoalesce(args: readonly Code[]): Code {
  const evals = args.map((arg) => arg.eval)
  const total = args.every((arg) => arg.total)
  const [only] = evals as [Eval]
  if (evals.length === 1)
    return {
      total,
      eval: (root, variables, locals) => {
        const value = only(root, variables, locals)
        return Array.isArray(value) ? (value.find((item) => !missing(item)) ?? null) : value
      },
    }
  return {
    total,
    boolean: args.every((arg) => arg.boolean),
    eval: (root, variables, locals) => {
      for (let index = 0; index < evals.length; index++) {
        const value = evals[index]!(root, variables, locals)
        if (!missing(value)) return value
      }
      return null
    },
  }
}

function decode(evals: readonly Eval[]): Eval {
  const [key] = evals as [Eval]
  return (root, variables, locals) => {
    const wanted = key(root, variables, locals)
    let index = 1
    for (; index + 1 < evals.length; index += 2)
      if (sameValue(wanted, evals[index]!(root, variables, locals))) return evals[index + 1]!(root, variables, locals)
    return evals[index]?.(root, variables, locals) ?? null
  }
}

/** `has(a.b)`, `contains_key(a.b)`, `contains_key("a.b")`: a path that isn't there gives undefined, a null that is there stays null. */
function compilePresence(compiler: Compiler, node: ASTNode, name: string, arg: ASTNode, place: Place): Code {
  const code = compiler.compile(arg, place)
  const { eval: read } = code
  if (arg.op === '.' || arg.op === '[]' || arg.op === 'id')
    return {
      boolean: true,
      total: code.total === true,
      eval: (root, variables, locals) => read(root, variables, locals) !== undefined,
    }
  if (name === 'has')
    throw new ExpressionError('argument', 'has takes a path, as in has(a.b).', {
      source: compiler.source,
      column: compiler.columnOf(arg),
    })
  if (typeof code.literal?.value === 'string') {
    const steps = located(compiler, node, () => parseFieldPath(code.literal!.value as string))
    compiler.recordPath(steps)
    return { boolean: true, total: true, eval: (root) => readPath(root, steps) !== undefined }
  }
  return {
    boolean: true,
    eval: compiler.guard(node, (root, variables, locals) => presentAt(root, read(root, variables, locals)), name),
  }
}

function presentAt(root: Fields, path: unknown): boolean | null {
  if (missing(path)) return null
  if (typeof path !== 'string') refuse('argument', `The path is ${show(path)}, not text.`)
  return path !== '' && readPath(root, parseFieldPath(path)) !== undefined
}

function located<T>(compiler: Compiler, node: ASTNode, run: () => T): T {
  try {
    return run()
  } catch (error) {
    throw error instanceof ExpressionError ? error.at(compiler.source, compiler.columnOf(node)) : error
  }
}

/** In `object_to_map(addresses, type)` a bare second argument names the attribute, as on the page. */
function compileObjectToMap(compiler: Compiler, node: ASTNode, args: readonly ASTNode[], place: Place): Code {
  const attribute = args.length === 2 && args[1]!.op === 'id' ? args[1]!.args : undefined
  const evals = args.map((arg) => compiler.compile(arg, place).eval)
  return {
    eval: compiler.guard(
      node,
      (root, variables, locals) => {
        const values = evals.map((evaluate) => evaluate(root, variables, locals))
        if (attribute !== undefined && Array.isArray(values[0])) values[1] = attribute
        return objectToMap(...values)
      },
      'object_to_map',
    ),
  }
}

/** `cel.bind(name, value, expression)`. */
function compileBind(
  compiler: Compiler,
  node: ASTNode,
  receiver: ASTNode,
  args: readonly ASTNode[],
  place: Place,
): Code {
  if (receiver.op !== 'id' || receiver.args !== 'cel') return refuseUnknown(compiler, node, 'bind', 'function')
  const value = compiler.compile(args[1]!, place)
  const scope = declare(compiler, args[0]!, place.scope, value.path)
  const body = compiler.compile(args[2]!, { scope, depth: place.depth + 1 })
  const { slot } = scope
  return {
    boolean: body.boolean === true,
    eval: (root, variables, locals) => {
      locals[slot] = value.eval(root, variables, locals)
      return body.eval(root, variables, locals)
    },
  }
}
