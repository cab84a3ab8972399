import type { Eval } from './access.ts'
import type { Code, Compiler, Place, Scope } from './code.ts'
import { ExpressionError, refuse } from './errors.ts'
import type { ASTNode } from './parse.ts'
import { checkListLength, isMap, show, typeName } from './values.ts'
import { spend } from './work.ts'

export const COMPREHENSIONS: ReadonlySet<string> = new Set(['all', 'exists', 'exists_one', 'filter', 'map'])

/**
 * `list.all(x, …)` and its siblings. A missing list makes the result null; a map is gone through by its keys. In conditions a missing value
 * counts as not true.
 * @param parts the name node and one or two expressions
 */
export function compileComprehension(
  compiler: Compiler,
  node: ASTNode,
  kind: string,
  list: ASTNode,
  parts: readonly ASTNode[],
  place: Place,
): Code {
  const iterable = compiler.compile(list, place)
  const scope = declare(compiler, parts[0]!, place.scope, iterable.path && [...iterable.path, { kind: 'each' }])
  const inner: Place = { scope, depth: place.depth + 1 }
  const [first, second] = parts.slice(1).map((part) => compiler.compile(part, inner).eval) as [Eval, Eval | undefined]
  const run = runOf(kind, scope.slot, first, second)
  const { eval: items } = iterable
  return {
    boolean: kind !== 'map' && kind !== 'filter',
    eval: compiler.guard(node, (root, variables, locals) => {
      const elements = iterate(items(root, variables, locals), kind)
      return elements === null ? null : run(elements, root, variables, locals)
    }),
  }
}

export function declare(compiler: Compiler, name: ASTNode, outer: Scope | undefined, path: Scope['path']): Scope {
  if (name.op !== 'id') {
    const column = compiler.columnOf(name)
    throw new ExpressionError('syntax', 'A name was expected here, as in list.map(x, x + 1).', {
      source: compiler.source,
      column,
    })
  }
  return { name: name.args, slot: compiler.newSlot(), path, outer }
}

function iterate(value: unknown, kind: string): readonly unknown[] | null {
  if (value === null || value === undefined) return null
  if (Array.isArray(value)) return value
  if (isMap(value)) return Object.keys(value)
  refuse('type', `${kind} goes through a list or the keys of a map, not ${show(value)}.`)
}

type Run = (elements: readonly unknown[], ...rest: Parameters<Eval>) => unknown

function runOf(kind: string, slot: number, first: Eval, second: Eval | undefined): Run {
  switch (kind) {
    case 'map':
      return second === undefined ? mapAll(slot, first) : mapSome(slot, first, second)
    case 'filter':
      return mapSome(slot, first, undefined)
    case 'exists_one':
      return (elements, root, variables, locals) => {
        let count = 0
        for (const element of elements) {
          spend(1)
          locals[slot] = element
          if (holds(first(root, variables, locals))) count++
        }
        return count === 1
      }
    default:
      return quantify(slot, first, kind === 'exists')
  }
}

function mapAll(slot: number, transform: Eval): Run {
  return (elements, root, variables, locals) => {
    checkListLength(elements.length)
    const made = new Array<unknown>(elements.length)
    for (let index = 0; index < elements.length; index++) {
      spend(1)
      locals[slot] = elements[index]
      made[index] = transform(root, variables, locals) ?? null
    }
    return made
  }
}

function mapSome(slot: number, condition: Eval, transform: Eval | undefined): Run {
  return (elements, root, variables, locals) => {
    const made: unknown[] = []
    for (const element of elements) {
      spend(1)
      locals[slot] = element
      if (!holds(condition(root, variables, locals))) continue
      made.push(transform === undefined ? (element ?? null) : (transform(root, variables, locals) ?? null))
    }
    return made
  }
}

/** all = && over the elements, exists = ||: a deciding element wins over errors and missing values of others. */
function quantify(slot: number, condition: Eval, stop: boolean): Run {
  return (elements, root, variables, locals) => {
    let result: boolean | null = !stop
    let failure: unknown
    for (const element of elements) {
      spend(1)
      locals[slot] = element
      try {
        const value = condition(root, variables, locals)
        if (value === null || value === undefined) result = null
        else if (holds(value) === stop) return stop
      } catch (error) {
        // Out of work is no property of this element: going on would only spend more.
        if (error instanceof ExpressionError && error.kind === 'limit') throw error
        failure ??= error
      }
    }
    if (failure !== undefined) throw failure
    return result
  }
}

function holds(value: unknown): boolean {
  if (value === true) return true
  if (value === false || value === null || value === undefined) return false
  refuse('type', `A condition gives true or false, not ${typeName(value)}.`)
}
