import { parseDuration } from '../app/duration.ts'
import { RtmlError } from '../app/errors.ts'
import type { Application, FeatureDefinition } from '../app/schema.ts'
import { didYouMean } from '../app/suggest.ts'
import { type Argument, refusal, substitute } from '../expressions/substitute.ts'
import type { Expression } from '../expressions/types.ts'
import { canonicalJson } from '../features/canonical.ts'
import { resolveWindow } from '../features/index.ts'
import type { Column, HiddenDefinition } from '../features/types.ts'

/** What conditions are compiled against. */
export interface ConditionContext {
  readonly app: Pick<Application, 'features' | 'models' | 'learners' | 'events'>
  readonly expressions: { compile(source: string, options?: { variables?: readonly string[] }): Expression }
  /** Kind of the XDM value at a path; undefined: there is no such path. */
  readonly kindAt: (path: string) => string | undefined
  readonly nearest: (path: string) => string | undefined
  readonly hidden: HiddenTable
  /** Names of all segments. */
  readonly segments: ReadonlySet<string>
  /** Columns of a feature, for conditions of decisions. */
  readonly columnsOf?: (feature: string) => readonly Column[] | undefined
}

/** A compiled condition, and what it reads. */
export interface Condition {
  readonly expression: Expression
  /** Places of hidden features. */
  readonly hidden: readonly number[]
  /** Services, `buy` or `buy.output`. */
  readonly scores: readonly string[]
  readonly segments: readonly string[]
  /** Columns of the vector that models see. */
  readonly columns: readonly Column[]
}

const HIDDEN_MAX = 500

/** Hidden features by definition: equal ones are one. Closed: conditions may use those that exist, and add none. */
export class HiddenTable {
  readonly definitions: HiddenDefinition[] = []
  readonly #places = new Map<string, number>()
  #isClosed = false

  close(): void {
    this.#isClosed = true
  }

  /** @returns undefined when it would be a new one and the table is closed. @throws RangeError when there are too many */
  place(hidden: HiddenDefinition): number | undefined {
    const key = canonicalJson(hidden)
    const known = this.#places.get(key)
    if (known !== undefined || this.#isClosed) return known
    if (this.definitions.length >= HIDDEN_MAX) throw new RangeError(`more than ${HIDDEN_MAX} values in conditions`)
    this.#places.set(key, this.definitions.length)
    return this.definitions.push(hidden) - 1
  }
}

/** Names of values in a compiled condition. */
export const hiddenName = (place: number): string => `__h${place}`
export const scoreName = (service: string): string =>
  `__s_${service.replaceAll(/[^A-Za-z0-9]/g, (it) => `_${it.charCodeAt(0)}`)}`
export const segmentName = (segment: string): string => `__m_${segment}`
export const columnName = ({ type, index }: Column): string => `__${type === 'float' ? 'f' : 't'}${index}`

/**
 * Compiles a condition. Event-quantified parts, features and XDM paths become hidden features, so that a segment depends on
 * the profile's state and the instant alone: the same answer in the stream, at the edge, and when a timer is due.
 * @param kind `segment`: an XDM path means the newest value that the profile's events carried; `decision`: that of the
 *   event at hand, and `features.<name>` may be any feature
 * @throws RtmlError CONFIG naming `place`
 */
export function compileCondition(
  source: string,
  kind: 'segment' | 'decision',
  place: string,
  context: ConditionContext,
): Condition {
  const reads = new Reads(context)
  try {
    const text = substitute(source, {
      call: (name, args, column) => quantified(name, args, source, column, reads),
      path: (steps, column) => namedValue(steps, kind, source, column, reads),
    })
    const expression = context.expressions.compile(text, { variables: [...reads.variables] })
    if (kind === 'segment' && expression.paths.length > 0) {
      throw new RtmlError(
        'CONFIG',
        `${expression.paths[0]} is part of a list or a map. Put it into exists(…), count(…) or another condition over events.`,
        { place },
      )
    }
    return {
      expression,
      hidden: [...reads.hidden],
      scores: [...reads.scores],
      segments: [...reads.segments],
      columns: [...reads.columns],
    }
  } catch (cause) {
    if (cause instanceof RtmlError) throw cause
    throw new RtmlError('CONFIG', cause instanceof Error ? cause.message : String(cause), { place, cause })
  }
}

class Reads {
  readonly context: ConditionContext
  readonly variables = new Set<string>()
  readonly hidden = new Set<number>()
  readonly scores = new Set<string>()
  readonly segments = new Set<string>()
  readonly columns = new Set<Column>()

  constructor(context: ConditionContext) {
    this.context = context
  }

  hide(hidden: HiddenDefinition, source: string, column: number): string {
    const place = this.context.hidden.place(hidden)
    if (place === undefined) {
      throw refusal(
        'nothing keeps this yet. Conditions that are changed while the application runs may use what its file already has conditions or features about; for something new, put it into the application file and roll that out.',
        source,
        column,
      )
    }
    this.hidden.add(place)
    return this.#variable(hiddenName(place))
  }

  score(service: string): string {
    this.scores.add(service)
    return this.#variable(scoreName(service))
  }

  segment(name: string): string {
    this.segments.add(name)
    return this.#variable(segmentName(name))
  }

  column(column: Column): string {
    this.columns.add(column)
    return this.#variable(columnName(column))
  }

  #variable(name: string): string {
    this.variables.add(name)
    return name
  }
}

const QUANTIFIERS = ['exists', 'count', 'sum', 'average', 'distinct', 'inSegment']

function quantified(
  name: string,
  args: readonly Argument[],
  source: string,
  column: number,
  reads: Reads,
): string | undefined {
  if (!QUANTIFIERS.includes(name)) return undefined
  const fail = (reason: string): never => {
    throw refusal(reason, source, column)
  }
  if (name === 'inSegment') {
    const segment = args[0]?.literal
    if (args.length !== 1 || typeof segment !== 'string') return fail('inSegment wants one name: inSegment("buyers").')
    return membership(segment, source, column, reads)
  }
  const rest = [...args]
  const within = withinOf(rest, reads.context, fail)
  const window = within === undefined ? {} : { window: within }
  const entity = 'profile'
  switch (name) {
    case 'exists': {
      if (rest.length > 1)
        return fail('exists wants a condition and a time: exists(commerce.purchases.value > 0, "24h").')
      const definition: FeatureDefinition = { kind: 'recency', entity, default: null, ...where(rest[0]) }
      const hidden = reads.hide({ definition, ...(within === undefined ? {} : { withinMs: within }) }, source, column)
      // Never null, so that its negation is the negation.
      return within === undefined
        ? `(${hidden} != null)`
        : `(${hidden} != null && ${hidden} <= ${decimal(within / 1_000)})`
    }
    case 'count': {
      if (rest.length > 1)
        return fail('count wants a condition and a time: count(commerce.productViews.value > 0, "1h").')
      return reads.hide(
        { definition: { kind: 'count', entity, default: 0, ...where(rest[0]), ...window } },
        source,
        column,
      )
    }
    default: {
      const [value, condition, ...more] = rest
      if (!value || more.length > 0)
        return fail(
          `${name} wants a value, perhaps a condition, and a time: ${name}(commerce.order.priceTotal, commerce.purchases.value > 0, "30d").`,
        )
      const common = { entity, value: value.source, ...where(condition), ...window }
      const definition: FeatureDefinition =
        name === 'sum'
          ? { kind: 'sum', default: 0, unit: 1e-6, ...common }
          : name === 'average'
            ? { kind: 'mean', default: null, unit: 1e-6, ...common }
            : { kind: 'distinct', default: 0, precision: 10, ...common }
      return reads.hide({ definition }, source, column)
    }
  }
}

const decimal = (value: number): string => (Number.isInteger(value) ? `${value}.0` : String(value))

const where = (condition: Argument | undefined) => (condition === undefined ? {} : { where: condition.source })

/** Takes the time off the end of the arguments. */
function withinOf(args: Argument[], { app }: ConditionContext, fail: (reason: string) => never) {
  const last = args.at(-1)
  if (typeof last?.literal !== 'string') return undefined
  const length = parseDuration(last.literal)
  if (length === undefined) return fail(`${JSON.stringify(last.literal)} is not a duration. Use "1h", "30m" or "7d".`)
  resolveWindow(length, app.events, 'within')
  args.pop()
  return length
}

function membership(segment: string, source: string, column: number, reads: Reads): string {
  const { segments } = reads.context
  if (segments.has(segment)) return reads.segment(segment)
  throw refusal(`there is no segment ${JSON.stringify(segment)}.${didYouMean(segment, [...segments])}`, source, column)
}

function namedValue(
  steps: readonly string[],
  kind: 'segment' | 'decision',
  source: string,
  column: number,
  reads: Reads,
): string | undefined {
  const [root, name, ...more] = steps
  const { context } = reads
  if (root === 'segments' && name !== undefined && more.length === 0) return membership(name, source, column, reads)
  if (root === 'scores' && name !== undefined) {
    const known = servicesOf(context.app)
    if (!known.includes(name))
      throw refusal(`there is no service ${JSON.stringify(name)}.${didYouMean(name, known)}`, source, column)
    return reads.score([name, ...more].join('.'))
  }
  if (root === 'features' && name !== undefined && more.length === 0) {
    return kind === 'segment' ? keptFeature(name, source, column, reads) : anyFeature(name, source, column, reads)
  }
  if (root === 'features' || root === 'scores' || root === 'segments')
    throw refusal(`${root} wants a name: ${root}.<name>.`, source, column)
  return kind === 'segment' ? newestValue(steps, source, column, reads) : undefined
}

/** Services that scores may be of: conditions read the score of the model that serves the profile. */
export const servicesOf = ({ models, learners }: Pick<Application, 'models' | 'learners'>): string[] => [
  ...new Set([
    ...Object.entries(models).map(([name, { service }]) => service ?? name),
    ...Object.entries(learners).map(([name, { service }]) => service ?? name),
  ]),
]

function definitionOf(name: string, source: string, column: number, { app }: ConditionContext): FeatureDefinition {
  if (Object.hasOwn(app.features, name)) return app.features[name]!
  throw refusal(
    `there is no feature ${JSON.stringify(name)}.${didYouMean(name, Object.keys(app.features))}`,
    source,
    column,
  )
}

function keptFeature(name: string, source: string, column: number, reads: Reads): string {
  const definition = definitionOf(name, source, column, reads.context)
  const isKept =
    definition.kind !== 'event' &&
    definition.kind !== 'lookup' &&
    definition.entity === 'profile' &&
    isSingle(definition)
  if (!isKept) {
    throw refusal(
      `${name} is not one value that the profile's state keeps, so a segment can't depend on it. Use a windowed feature of the profile, or a condition of a decision.`,
      source,
      column,
    )
  }
  const { description: _, ...rest } = definition
  return reads.hide({ definition: rest as FeatureDefinition }, source, column)
}

function isSingle(definition: FeatureDefinition): boolean {
  if (definition.kind === 'lastN' || definition.kind === 'topK') return false
  if (definition.kind === 'buckets') return false
  return !('encode' in definition && definition.encode !== undefined && 'onehot' in definition.encode)
}

function anyFeature(name: string, source: string, column: number, reads: Reads): string {
  definitionOf(name, source, column, reads.context)
  const columns = reads.context.columnsOf?.(name)
  if (columns?.length !== 1) throw refusal(`${name} has several columns; a condition reads one value.`, source, column)
  return reads.column(columns[0]!)
}

const KINDS: Readonly<Record<string, 'number' | 'text' | 'boolean'>> = {
  string: 'text',
  'date-time': 'text',
  date: 'text',
  number: 'number',
  integer: 'number',
  boolean: 'boolean',
}

function newestValue(steps: readonly string[], source: string, column: number, reads: Reads): string {
  const { kindAt, nearest } = reads.context
  const path = steps.join('.')
  const found = kindAt(path)
  const kind = found === undefined ? undefined : KINDS[found]
  if (kind === undefined) {
    const near = found === undefined ? nearest(path) : undefined
    const hint = near === undefined || near === path ? '' : ` Did you mean ${near}?`
    throw refusal(
      found === undefined
        ? `the event schema has no ${path}.${hint} Features are features.<name>, scores are scores.<service>.`
        : `${path} is no plain value. Put it into exists(…), count(…) or another condition over events.`,
      source,
      column,
    )
  }
  const type = kind === 'text' ? 'text' : 'number'
  const hidden = reads.hide(
    { definition: { kind: 'last', entity: 'profile', type, value: path, default: null } },
    source,
    column,
  )
  return kind === 'boolean' ? `(${hidden} == 1)` : hidden
}
