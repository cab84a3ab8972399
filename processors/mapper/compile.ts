/**
 * A mapping → closures, once. Per event they fill a tree of XDM nodes: a node's own rule gives its value (for objects: a
 * copy of a parent), rules below it are laid over that, and an object exists only if something is in it.
 */
import { type Rejection, RtmlError } from '../app/errors.ts'
import type { FieldRule, LetRule, MappingDefinition } from '../app/schema.ts'
import type { XdmSchema, XdmType } from '../xdm/index.ts'
import { type Adapt, type AdaptOptions, compileAdapt, Misfit } from './adapt.ts'
import { isObject, nameOf } from './decode/types.ts'
import { type CompileExpression, compileTest, compileValue, type Scope, type Test, type Value } from './value.ts'

/** What happened while one event was built. */
interface Report {
  /** Counts an optional field that has no value because its value failed. */
  lose(path: string): void
  /** The first rejection of an event is kept. */
  reject(code: Rejection['code'], path: string, message: string): void
}

type Policy = 'null' | 'reject' | 'default'

export interface CompiledMapping {
  /** Whether any rule reads `raw` (source, key, headers, time and place of the record), and its headers: they cost a copy. */
  readonly usesRaw: boolean
  readonly usesHeaders: boolean
  /** Whether whole objects are copied as events: then they may have the names of the public schemas (`xdm:timestamp`). */
  readonly copiesEvents: boolean
  /** List of the events inside the record. */
  readonly each: Value | undefined
  readonly when: Test | undefined
  /** Computes the named values into `scope.vars`. */
  readonly assign: (scope: Scope, report: Report) => void
  /** The event as mapped, not yet conformed. */
  readonly build: (scope: Scope, report: Report) => Record<string, unknown>
  /** Policy of the rule that made the value at an XDM path (`[]` for any index), with its default. */
  readonly policyAt: (path: string) => { readonly policy: Policy; readonly default: unknown }
}

export interface CompileContext {
  readonly schema: XdmSchema
  readonly tenant: string
  readonly compile: CompileExpression
  readonly adapt: AdaptOptions
  /** Names the mapping in errors: its file, or the source. */
  readonly place: string
}

interface Rule {
  readonly path: string
  /** The path with `[]` for any index: what failures are counted by, so that there are few. */
  readonly countedAs: string
  readonly when: Test | undefined
  readonly value: (scope: Scope, report: Report) => unknown
  readonly adapt: Adapt
  readonly policy: Policy
  readonly default: unknown
}

/** `children` of a list node have the index as key. */
interface Node {
  readonly key: string
  readonly type: XdmType
  readonly children: Node[]
  rule: Rule | undefined
}

const RECORD_VARIABLES = ['record', 'raw'] as const
const ITEM_VARIABLES = ['item', 'index'] as const

export function compileMapping(mapping: MappingDefinition, context: CompileContext): CompiledMapping {
  const sources: string[] = []
  const compile: CompileExpression = (source, options) => {
    sources.push(source)
    return context.compile(source, options)
  }
  const scope = { ...context, compile }
  const outer = [...RECORD_VARIABLES]
  const each = mapping.each === undefined ? undefined : readerOf(mapping.each, outer, scope, 'each')
  const variables: string[] = each ? [...outer, ...ITEM_VARIABLES] : outer
  const lets = Object.entries(mapping.let ?? {}).map(([name, rule]) => {
    const compiled = compileLet(name, rule, [...variables], scope)
    variables.push(name)
    return compiled
  })
  const when = mapping.when === undefined ? undefined : testOf(mapping.when, variables, scope, 'when')
  const policies = new Map<string, Rule>()
  const root: Node = { key: '', type: scope.schema.root, children: [], rule: undefined }
  for (const [path, rule] of Object.entries(mapping.fields)) addField(root, '', path, rule, variables, scope, policies)

  return {
    usesRaw: sources.some((source) => /\braw\b/.test(source)),
    usesHeaders: sources.some((source) => /\braw\b(?!\.(?:source|time|place|key)\b)/.test(source)),
    copiesEvents: root.rule !== undefined,
    each,
    when,
    assign(at, report) {
      for (const it of lets) at.vars[it.name] = it.value(at, report)
    },
    build(at, report) {
      const built = evaluate(root, at, undefined, report)
      // a copied root is the record's own object: the caller sets fields, so it gets one of its own
      return isObject(built) ? (root.rule ? { ...built } : built) : {}
    },
    policyAt(path) {
      for (let at = path; ; ) {
        const rule = policies.get(at)
        if (rule) return rule
        const cut = Math.max(at.lastIndexOf('.'), at.lastIndexOf('['))
        if (cut <= 0) return requiredPolicy(scope.schema, path)
        at = at.slice(0, cut)
      }
    },
  }
}

const requiredPolicy = (schema: XdmSchema, path: string): { policy: Policy; default: unknown } => ({
  policy: !path.includes('.') && schema.isRequired(path) ? 'reject' : 'null',
  default: undefined,
})

// ---- rules

function compileLet(
  name: string,
  rule: LetRule,
  variables: readonly string[],
  context: CompileContext,
): { name: string; value: (scope: Scope, report: Report) => unknown } {
  const definition = typeof rule === 'string' ? { from: rule } : rule
  const place = `let.${name}`
  if (definition.from === undefined) throw configError(context, place, 'needs from')
  const from = readerOf(definition.from, variables, context, place)
  const table = definition.table ? new Map(Object.entries(definition.table)) : undefined
  const { pairs } = definition
  const fallback = definition.default ?? null
  return {
    name,
    value: (scope, report) => {
      let value: unknown
      try {
        value = from(scope)
      } catch {
        report.lose(place)
        return fallback
      }
      if (table) value = lookUp(table, value)
      else if (pairs) value = objectOfPairs(value)
      return value ?? fallback
    },
  }
}

/** Not an object: JSON can make one that has no text (its own `toString` is a number). */
const isPlain = (value: unknown): boolean =>
  typeof value === 'number' || typeof value === 'boolean' || typeof value === 'bigint'

const lookUp = (table: ReadonlyMap<string, unknown>, value: unknown): unknown =>
  typeof value === 'string' ? table.get(value) : isPlain(value) ? table.get(String(value)) : undefined

/** `[{key, value}]` → object. GA4's export gives a value as `{string_value, int_value, float_value, double_value}`. */
function objectOfPairs(list: unknown): Record<string, unknown> | null {
  if (isObject(list)) return list
  if (!Array.isArray(list)) return null
  const result: Record<string, unknown> = {}
  for (const pair of list) {
    if (!isObject(pair)) continue
    const key = pair.key ?? pair.name
    if (typeof key !== 'string' || key === '__proto__') continue
    const value = pair.value
    result[key] = isObject(value) ? valueOfAlternatives(value) : value
  }
  return result
}

function valueOfAlternatives(alternatives: Record<string, unknown>): unknown {
  for (const [kind, value] of Object.entries(alternatives)) {
    if (value == null || !/^(string|int|float|double)_value$/.test(kind)) continue
    // BigQuery writes INT64 as text; it becomes a number again where it fits one
    if (kind !== 'string_value' && typeof value === 'string' && Number.isFinite(Number(value)))
      return kind === 'int_value' && !Number.isSafeInteger(Number(value)) ? value : Number(value)
    return value
  }
  return null
}

function addField(
  root: Node,
  base: string,
  path: string,
  rule: FieldRule,
  variables: readonly string[],
  context: CompileContext,
  policies: Map<string, Rule>,
): void {
  const named = path.replace(/^\$tenant(?=\.|$)/, context.tenant)
  const display = named === '*' ? base : base === '' ? named : `${base}.${named}`
  const node = named === '*' ? root : nodeAt(root, named, display, context)
  const definition = typeof rule === 'string' ? { from: rule } : rule
  const place = `fields.${display}`
  const compiled = compileRule(definition, node.type, display, place, variables, context, policies)
  node.rule = compiled
  policies.set(compiled.countedAs, compiled)
}

/** Walks to the node of a path, making what is missing. @throws RtmlError CONFIG with the nearest path */
function nodeAt(root: Node, path: string, display: string, context: CompileContext): Node {
  let node = root
  const steps = path.split(/(?<!\\)\.|(?=\[)/)
  for (const step of steps) {
    const index = /^\[(\d{1,3})\]$/.exec(step)?.[1]
    const type: XdmType | undefined = index === undefined ? fieldType(node.type, step) : itemType(node.type)
    if (!type || (index !== undefined && Number(index) >= 100)) {
      const near = context.schema.nearest(display)
      throw configError(
        context,
        `fields.${display}`,
        `there is no such XDM path.${near ? ` Did you mean "${near}"?` : ''}`,
      )
    }
    const key = index ?? step.replace(/\\(.)/g, '$1')
    let next = node.children.find((child) => child.key === key)
    if (!next) {
      next = { key, type, children: [], rule: undefined }
      node.children.push(next)
    }
    node = next
  }
  return node
}

function fieldType(type: XdmType, name: string): XdmType | undefined {
  if (type.kind === 'map') return type.values
  return type.kind === 'record' ? type.fields.get(name.replace(/\\(.)/g, '$1'))?.type : undefined
}

const itemType = (type: XdmType): XdmType | undefined => (type.kind === 'array' ? type.items : undefined)

function compileRule(
  definition: Exclude<FieldRule, string>,
  type: XdmType,
  path: string,
  place: string,
  variables: readonly string[],
  context: CompileContext,
  policies: Map<string, Rule>,
): Rule {
  const plain = path === `${context.tenant}.payload` ? payloadText : compileAdapt(type, context.adapt)
  const adapt = type.kind === 'number' && /[*/+-]/.test(definition.from ?? '') ? withoutNoise(plain) : plain
  const constant = (given: unknown, where: string): unknown => {
    const adapted = given == null ? undefined : adapt(given)
    if (adapted instanceof Misfit) throw configError(context, `${place}.${where}`, adapted.message)
    return adapted
  }
  return {
    path,
    countedAs: path.replace(/\[\d+\]/g, '[]'),
    when: definition.when === undefined ? undefined : testOf(definition.when, variables, context, `${place}.when`),
    value: compileSource(definition, type, path, place, variables, context, policies, constant),
    adapt: 'const' in definition || definition.table || definition.each ? (it) => it : adapt,
    policy: definition.onError ?? requiredPolicy(context.schema, path).policy,
    default: constant(definition.default, 'default'),
  }
}

function compileSource(
  definition: Exclude<FieldRule, string>,
  type: XdmType,
  path: string,
  place: string,
  variables: readonly string[],
  context: CompileContext,
  policies: Map<string, Rule>,
  constant: (given: unknown, where: string) => unknown,
): Rule['value'] {
  if (definition.each !== undefined) return compileEach(definition, type, path, place, variables, context, policies)
  if (definition.fields !== undefined) throw configError(context, place, 'fields go with each')
  if (definition.const !== undefined) {
    if (definition.from !== undefined) throw configError(context, place, 'has both from and const; keep one')
    const fixed = constant(definition.const, 'const')
    return () => fixed
  }
  if (definition.from === undefined) throw configError(context, place, 'needs from, const or each')
  const from = readerOf(definition.from, variables, context, place)
  if (!definition.table) return from
  const table = new Map(
    Object.entries(definition.table).map(([key, value]) => [key, constant(value, `table.${key}`)] as const),
  )
  return (scope) => lookUp(table, from(scope))
}

function compileEach(
  definition: Exclude<FieldRule, string>,
  type: XdmType,
  path: string,
  place: string,
  variables: readonly string[],
  context: CompileContext,
  policies: Map<string, Rule>,
): Rule['value'] {
  if (type.kind !== 'array') throw configError(context, place, 'each makes a list, and the path is none')
  const list = readerOf(definition.each as string, variables, context, `${place}.each`)
  const inner = [...new Set([...variables, ...ITEM_VARIABLES])]
  const element: Node = { key: '', type: type.items, children: [], rule: undefined }
  if (definition.from !== undefined) addField(element, `${path}[]`, '*', definition.from, inner, context, policies)
  for (const [name, rule] of Object.entries(definition.fields ?? {}))
    addField(element, `${path}[]`, name, rule, inner, context, policies)
  if (!element.rule && element.children.length === 0) throw configError(context, place, 'each needs fields or from')

  return (scope, report) => {
    const items = list(scope)
    if (items == null) return undefined
    if (!Array.isArray(items)) throw new Error(`each: expected a list, got ${nameOf(items)}`)
    const { vars } = scope
    const outerItem = vars.item
    const outerIndex = vars.index
    const result: unknown[] = []
    for (let i = 0; i < items.length; i++) {
      if (items[i] == null) continue
      vars.item = items[i]
      vars.index = i
      const value = evaluate(element, scope, undefined, report)
      if (value !== undefined) result.push(value)
    }
    vars.item = outerItem
    vars.index = outerIndex
    return result.length === 0 ? undefined : result
  }
}

/** What isn't understood is kept as JSON text, whatever it is; bytes as Base64. */
const payloadText: Adapt = (value) =>
  value == null ? undefined : JSON.stringify(Buffer.isBuffer(value) ? value.toString('base64') : value)

/** 3 × 0.1 is 0.30000000000000004 in binary; 15 digits are all that a double's decimal form is good for. */
const withoutNoise =
  (adapt: Adapt): Adapt =>
  (value) =>
    adapt(typeof value === 'number' && !Number.isInteger(value) ? Number(value.toPrecision(15)) : value)

// ---- per event

function evaluate(node: Node, scope: Scope, inherited: unknown, report: Report): unknown {
  const own = node.rule ? (run(node.rule, scope, report) ?? inherited) : inherited
  const { children } = node
  if (children.length === 0) return own
  if (node.type.kind === 'array') return evaluateList(node, scope, own, report)
  const base = isObject(own) ? own : undefined
  let result: Record<string, unknown> | undefined
  for (let i = 0; i < children.length; i++) {
    const child = children[i] as Node
    const below = base === undefined ? undefined : base[child.key]
    const value = evaluate(child, scope, below, report)
    if (value === undefined || value === below) continue
    if (result === undefined) result = base === undefined ? {} : { ...base }
    result[child.key] = value
  }
  return result ?? own
}

function evaluateList(node: Node, scope: Scope, own: unknown, report: Report): unknown {
  const list: unknown[] = Array.isArray(own) ? [...own] : []
  for (const child of node.children) {
    const index = Number(child.key)
    const value = evaluate(child, scope, list[index], report)
    if (value !== undefined) list[index] = value
  }
  const kept = list.filter((item) => item !== undefined)
  return kept.length === 0 ? undefined : kept
}

function run(rule: Rule, scope: Scope, report: Report): unknown {
  if (rule.when && !rule.when(scope)) return undefined
  let value: unknown
  try {
    value = rule.value(scope, report)
  } catch (error) {
    return fail(rule, 'MAP_EXPRESSION', (error as Error).message, report)
  }
  if (value === null || value === undefined) return rule.default
  value = rule.adapt(value)
  return value instanceof Misfit ? fail(rule, 'MAP_TYPE', value.message, report) : (value ?? rule.default)
}

function fail(rule: Rule, code: Rejection['code'], message: string, report: Report): unknown {
  if (rule.policy === 'reject') {
    report.reject(code, rule.path, message)
    return undefined
  }
  report.lose(rule.countedAs)
  return rule.policy === 'default' ? rule.default : undefined
}

// ---- errors of the mapping itself

function configError(context: CompileContext, where: string, message: string): RtmlError {
  return new RtmlError('CONFIG', `${where}: ${message}`, { place: context.place })
}

function readerOf(source: string, variables: readonly string[], context: CompileContext, where: string): Value {
  try {
    return compileValue(source, variables, context.compile)
  } catch (error) {
    throw configError(context, where, (error as Error).message)
  }
}

function testOf(source: string, variables: readonly string[], context: CompileContext, where: string): Test {
  try {
    return compileTest(source, variables, context.compile)
  } catch (error) {
    throw configError(context, where, (error as Error).message)
  }
}
