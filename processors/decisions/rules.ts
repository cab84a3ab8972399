import { RtmlError } from '../app/errors.ts'
import type { Application } from '../app/schema.ts'
import type { Expressions } from '../expressions/index.ts'
import type { Column, HiddenDefinition } from '../features/types.ts'
import { type Condition, type ConditionContext, compileCondition, HiddenTable } from './conditions.ts'
import { nameHash } from './rule-state.ts'

export type SegmentDefinition = Application['segments'][string]
export type DecisionDefinition = Application['decisions'][string]
export type OfferDefinition = DecisionDefinition['offers'][string]

/** Segments and decisions as they are defined: those of the application file with what was changed since. */
export interface RuleDefinitions {
  readonly segments: Readonly<Record<string, SegmentDefinition>>
  readonly decisions: Readonly<Record<string, DecisionDefinition>>
}

export interface CompiledSegment {
  readonly name: string
  readonly hash: number
  readonly condition: Condition
}

export interface CompiledOffer {
  readonly id: string
  readonly definition: OfferDefinition
  readonly startMs: number
  readonly endMs: number
  readonly condition: Condition | undefined
  /** Places of the hidden counts of displays, with the most that each may be. */
  readonly caps: readonly { readonly place: number; readonly max: number }[]
}

export interface CompiledDecision {
  readonly name: string
  readonly definition: DecisionDefinition
  readonly scopes: readonly string[]
  readonly offers: ReadonlyMap<string, CompiledOffer>
  readonly rules: readonly {
    readonly condition: Condition | undefined
    readonly offers: readonly string[]
    /** Share of answers that take any of the offers. */
    readonly explore: number
    /** The rest is given by what was learned of the offers; else the first of them gets it. */
    readonly learns: boolean
  }[]
}

/** Compiled segments and decisions of one revision. */
export interface Rules {
  /** 0: as in the application file. */
  readonly revision: number
  readonly definitions: RuleDefinitions
  /** A segment stands after those that it reads. */
  readonly segments: readonly CompiledSegment[]
  readonly decisions: readonly CompiledDecision[]
  /** Scores that segments read, `service` or `service.output`: the states keep the newest of them. */
  readonly keptScores: readonly string[]
  /** Offers whose displays and interactions are counted, `<decision>/<offer>`. */
  readonly learned: ReadonlySet<string>
}

export interface RuleSchema {
  readonly tenant: string
  typeAt(path: string): { readonly kind: string } | undefined
  nearest(path: string): string | undefined
}

/** Compiles rules against one application: what its file has conditions about is kept in states. */
export class RuleCompiler {
  readonly hidden: readonly HiddenDefinition[]
  /** The rules of the application file. */
  readonly initial: Rules
  readonly #app: Application
  readonly #table = new HiddenTable()
  readonly #context: Omit<ConditionContext, 'segments' | 'columnsOf'>
  readonly #tenant: string
  /** Offers that the stream counts; undefined: still being found. */
  #counted: ReadonlySet<string> | undefined
  #columnsOf: ConditionContext['columnsOf']

  /**
   * @param more other rules that are to be possible, too
   * @throws RtmlError CONFIG naming `segments.<name>` or `decisions.<name>`
   */
  constructor(app: Application, schema: RuleSchema, expressions: Pick<Expressions, 'compile'>, more?: RuleDefinitions) {
    this.#app = app
    this.#tenant = schema.tenant
    this.#context = {
      app,
      expressions,
      kindAt: (path) => schema.typeAt(path)?.kind,
      nearest: (path) => schema.nearest(path),
      hidden: this.#table,
    }
    this.#columnsOf = placeholderColumns(app)
    this.initial = this.compile(app, 0)
    const others = more && this.compile(more, 0)
    this.#counted = new Set([...this.initial.learned, ...(others?.learned ?? [])])
    this.hidden = this.#table.definitions
    this.#table.close()
  }

  /** Tells where features stand in the vector, and compiles the file's rules with it. */
  bind(columnsOf: (feature: string) => readonly Column[] | undefined): Rules {
    this.#columnsOf = columnsOf
    return this.compile(this.#app, 0)
  }

  /**
   * @throws RtmlError CONFIG: a condition is wrong, names are missing, segments read each other in a circle, or (after the
   *   file's own) something is asked for that no state keeps
   */
  compile(definitions: RuleDefinitions, revision: number): Rules {
    const names = new Set(Object.keys(definitions.segments))
    const context: ConditionContext = {
      ...this.#context,
      segments: names,
      ...(this.#columnsOf ? { columnsOf: this.#columnsOf } : {}),
    }
    const segments = ordered(
      Object.entries(definitions.segments).map(([name, { when }]) => ({
        name,
        hash: nameHash(name),
        condition: compileCondition(when, 'segment', `segments.${name}.when`, context),
      })),
    )
    const hashes = new Map<number, string>()
    for (const { name, hash } of segments) {
      const other = hashes.get(hash)
      if (other) throw config(`segments.${name}`, `its name has the same hash as ${other}. Choose another name`)
      hashes.set(hash, name)
    }
    const decisions = Object.entries(definitions.decisions).map(([name, definition]) =>
      this.#decision(name, definition, context),
    )
    const keptScores = [...new Set(segments.flatMap(({ condition }) => condition.scores))].sort()
    return {
      revision,
      definitions: { segments: definitions.segments, decisions: definitions.decisions },
      segments,
      decisions,
      keptScores,
      learned: new Set(decisions.flatMap(learnedOf)),
    }
  }

  #decision(name: string, definition: DecisionDefinition, context: ConditionContext): CompiledDecision {
    const place = `decisions.${name}`
    const known = Object.keys(definition.offers)
    const check = (offer: string, at: string) => {
      if (!known.includes(offer))
        throw config(at, `there is no offer ${JSON.stringify(offer)}; known: ${known.join(', ')}`)
      return offer
    }
    if (definition.default !== undefined) check(definition.default, `${place}.default`)
    return {
      name,
      definition,
      scopes: definition.scopes ?? [name],
      offers: new Map(
        Object.entries(definition.offers).map(([id, offer]) => [id, this.#offer(name, id, offer, context)]),
      ),
      rules: definition.rules.map((rule, index) => {
        const at = `${place}.rules[${index}]`
        const offers = [rule.offer].flat().map((offer) => check(offer, `${at}.offer`))
        const learns = typeof rule.explore === 'object'
        if (learns) this.#checkCounted(name, offers, `${at}.explore`)
        return {
          condition:
            rule.when === undefined ? undefined : compileCondition(rule.when, 'decision', `${at}.when`, context),
          offers,
          explore: typeof rule.explore === 'object' ? rule.explore.random : (rule.explore ?? 0),
          learns,
        }
      }),
    }
  }

  /** @throws RtmlError CONFIG when nothing counts what a bandit would learn from */
  #checkCounted(decision: string, offers: readonly string[], place: string): void {
    const unknown = offers.find((offer) => this.#counted?.has(`${decision}/${offer}`) === false)
    if (unknown === undefined) return
    const message = `nothing counts displays of ${JSON.stringify(unknown)} yet: a bandit over other offers needs a roll-out of the application file`
    throw config(place, message)
  }

  #offer(decision: string, id: string, definition: OfferDefinition, context: ConditionContext): CompiledOffer {
    const place = `decisions.${decision}.offers.${id}`
    const { format, content, start, end, when } = definition
    if (format !== 'json' && typeof content !== 'string')
      throw config(`${place}.content`, `format ${format} wants a text`)
    if (content === undefined) throw config(`${place}.content`, 'what the page gets is missing')
    return {
      id,
      definition,
      startMs: start === undefined ? Number.NEGATIVE_INFINITY : Date.parse(start),
      endMs: end === undefined ? Number.POSITIVE_INFINITY : Date.parse(end),
      condition: when === undefined ? undefined : compileCondition(when, 'decision', `${place}.when`, context),
      caps: definition.caps.map(({ max, within }, index) => {
        const where = displayedCondition(this.#tenant, `${decision}/${id}`)
        const hidden: HiddenDefinition = {
          definition: { kind: 'count', entity: 'profile', default: 0, where, window: within },
        }
        const at = this.#table.place(hidden)
        if (at === undefined) {
          const message =
            'nothing counts these displays yet: a cap of a new offer, or over another time, needs a roll-out of the application file'
          throw config(`${place}.caps[${index}]`, message)
        }
        return { place: at, max }
      }),
    }
  }
}

const learnedOf = ({ name, rules }: CompiledDecision): string[] =>
  rules.flatMap(({ learns, offers }) => (learns ? offers.map((offer) => `${name}/${offer}`) : []))

/** True for events that say that the visitor has seen the offer: an answer is no exposure. */
const displayedCondition = (tenant: string, offer: string): string =>
  `${JSON.stringify(offer)} in coalesce(${tenant}.displayed, [])`

/** Before the feature set exists, a decision's features only have to be there. */
const placeholderColumns = (app: Application) => (feature: string) =>
  Object.hasOwn(app.features, feature) ? [{ name: feature, feature, type: 'float' as const, index: 0 }] : undefined

/** @throws RtmlError CONFIG for segments that read each other */
function ordered(segments: readonly CompiledSegment[]): CompiledSegment[] {
  const byName = new Map(segments.map((it) => [it.name, it]))
  const done = new Set<string>()
  const result: CompiledSegment[] = []
  const visit = (segment: CompiledSegment, path: readonly string[]) => {
    if (done.has(segment.name)) return
    if (path.includes(segment.name))
      throw config(`segments.${segment.name}`, `segments read each other: ${[...path, segment.name].join(' → ')}`)
    for (const name of segment.condition.segments) visit(byName.get(name)!, [...path, segment.name])
    done.add(segment.name)
    result.push(segment)
  }
  for (const segment of segments) visit(segment, [])
  return result
}

const config = (place: string, message: string): RtmlError => new RtmlError('CONFIG', message, { place })
