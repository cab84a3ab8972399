import { RtmlError } from '../app/errors.ts'
import type { ModelDefinition } from '../app/schema.ts'
import type { Expression } from '../expressions/types.ts'
import { isBundle } from '../graph/bundle.ts'
import { graphOutputs, programOf } from './graph-model.ts'

/** What takes a score's place when the model gives none. */
export type Fallback =
  /** The last score this process knows for the profile; none known: no score. */
  | { readonly kind: 'previous' }
  | { readonly kind: 'prior'; readonly value: number }
  /** A number from an expression over the event's XDM and `features` (column name → value). Anything else: no score. */
  | { readonly kind: 'rule'; readonly rule: Expression }
  /** Shadows: a missed score is simply absent. */
  | { readonly kind: 'none' }

export type OutputChoice = NonNullable<ModelDefinition['output']>

/** One model, ready to be loaded: its definition, its bytes, its compiled expressions. */
export interface ScorerModel {
  readonly name: string
  readonly version: string
  /** Models of one service compete for a profile; shadows only watch. */
  readonly service: string
  readonly role: 'champion' | 'arm' | 'shadow'
  /** Arms: share of the profiles, [0, 1]. The champion takes the rest. */
  readonly share: number
  /** Arms: their own parts [from, to) of the profiles' hash. Absent: arms lie one after the other, by their shares. */
  readonly ranges?: readonly (readonly [number, number])[] | undefined
  /** Who scores with it: the stream (hub), HTTP (edge), or both. */
  readonly deploy: ModelDefinition['deploy']
  /** A champion or an arm that scores the profiles of its rivals as well, as a shadow. */
  readonly watch?: boolean | undefined
  readonly inputs: ModelDefinition['inputs']
  /** Score name → where it is in the model's outputs. */
  readonly outputs: Readonly<Record<string, OutputChoice | undefined>>
  readonly when?: Expression | undefined
  /** Milliseconds from the call of `score`. */
  readonly deadlineMs: number
  readonly fallback: Fallback
  readonly explain: { readonly share: number; readonly top: number }
  readonly maxBatchRows: number
  readonly bytes: Uint8Array
  /** Of the bytes, hex. */
  readonly sha256: string
  /** `rtml.yaml:77`, for errors. */
  readonly place?: string | undefined
}

/** The models that score together. Immutable: an event is scored by one plan from beginning to end. */
export interface ScorerPlan {
  readonly models: readonly ScorerModel[]
}

/** Variables that a fallback rule may read besides the event's fields; declare them when compiling it. */
export const RULE_VARIABLES = ['features'] as const

export interface ModelParts {
  readonly bytes: Uint8Array
  readonly sha256: string
  readonly when?: Expression | undefined
  /** Of `fallback.rule`. */
  readonly rule?: Expression | undefined
  readonly place?: string | undefined
  /** Of an arm. */
  readonly ranges?: ScorerModel['ranges']
  readonly watch?: ScorerModel['watch']
}

/** A model of the application file, or of a record, with its bytes and compiled expressions. @throws Error when a rule isn't compiled */
export function scorerModel(name: string, definition: ModelDefinition, parts: ModelParts): ScorerModel {
  return {
    name,
    version: definition.version,
    service: definition.service ?? name,
    role: definition.role,
    share: definition.share ?? 0,
    ranges: parts.ranges,
    watch: parts.watch,
    deploy: definition.deploy,
    inputs: definition.inputs,
    outputs: outputsOf(name, definition, parts),
    when: parts.when,
    deadlineMs: definition.deadline,
    fallback: fallbackOf(definition, parts.rule),
    explain: definition.explain ?? { share: 0, top: 5 },
    maxBatchRows: definition.maxBatchRows,
    bytes: parts.bytes,
    sha256: parts.sha256,
    place: parts.place,
  }
}

function outputsOf(name: string, definition: ModelDefinition, { bytes, place }: ModelParts): ScorerModel['outputs'] {
  const given = definition.outputs ?? { score: definition.output }
  const refuse = (text: string): never => {
    throw new RtmlError('CONFIG', `${name}@${definition.version} ${text}`, place === undefined ? {} : { place })
  }
  if (!isBundle(bytes))
    return definition.inputs === undefined
      ? refuse('has no inputs. Give inputs: [feature, …], in the order of training.')
      : given
  if (definition.outputs !== undefined || definition.output !== undefined)
    return refuse('is a bundle, whose graph says its outputs. Take output and outputs out.')
  return Object.fromEntries(Object.keys(graphOutputs(programOf(bytes), name)).map((it) => [it, undefined]))
}

function fallbackOf(definition: ModelDefinition, rule: Expression | undefined): Fallback {
  const { fallback, role } = definition
  if (fallback === undefined) return role === 'shadow' ? { kind: 'none' } : { kind: 'previous' }
  if (fallback === 'previous') return { kind: 'previous' }
  if ('prior' in fallback) return { kind: 'prior', value: fallback.prior }
  if (!rule) throw new Error(`the fallback rule ${JSON.stringify(fallback.rule)} was not compiled`)
  return { kind: 'rule', rule }
}

/** Name of a model in the pool. Name and version aren't enough: a file may change under them. */
export const poolKey = (model: ScorerModel): string => `${model.name}@${model.version}#${model.sha256.slice(0, 16)}`
