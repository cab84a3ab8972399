/** Which columns of the feature vector a learner reads, and what each of them is. */
import { RtmlError } from '../app/errors.ts'
import type { FeatureDefinition } from '../app/schema.ts'
import type { LabelDefinition, LearnerDefinition } from '../app/schema-learning.ts'
import type { Column, FeatureSet, Vector } from '../features/types.ts'
import type { InputColumn, Task } from './types.ts'

export interface LearnerColumns {
  readonly inputs: readonly InputColumn[]
  /** Names of the columns, in order: what the manifest of the exported model lists as `inputs`. */
  readonly names: readonly string[]
  /** Takes the learner's row out of a feature vector. The caller owns the result. */
  row(vector: Vector): Float32Array
}

/**
 * @param place of the learner in the application file, for errors
 * @throws RtmlError CONFIG when a wanted column is text, or nothing is left to learn from
 */
export function learnerColumns(
  definition: Pick<LearnerDefinition, 'features' | 'except'>,
  features: Readonly<Record<string, FeatureDefinition>>,
  featureSet: Pick<FeatureSet, 'columns' | 'resolve'>,
  place: string,
): LearnerColumns {
  const left = new Set(definition.except.flatMap((name) => featureSet.resolve(name) ?? []))
  const wanted = definition.features?.flatMap((name) => featureSet.resolve(name) ?? unknown(name, place))
  const columns = (wanted ?? featureSet.columns).filter((column) => !left.has(column))
  if (columns.length === 0) throw new RtmlError('CONFIG', 'no feature is left to learn from', { place })
  const text = columns.find(({ type }) => type === 'string')
  if (text) {
    const remedy = `Give ${text.feature} an "encode" (hash, vocabulary or onehot), or list it under except.`
    throw new RtmlError('CONFIG', `${text.name} is text, and a learner reads numbers. ${remedy}`, { place })
  }
  const indexes = Int32Array.from(columns, ({ index }) => index)
  return {
    inputs: columns.map((column) => inputOf(column, features[column.feature])),
    names: columns.map(({ name }) => name),
    row(vector) {
      const row = new Float32Array(indexes.length)
      for (let i = 0; i < indexes.length; i++) row[i] = vector.floats[indexes[i]!]!
      return row
    },
  }
}

function unknown(name: string, place: string): never {
  throw new RtmlError('CONFIG', `there is no feature ${JSON.stringify(name)}`, { place: `${place}.features` })
}

/** A bucket or a position is a name written as a number: it has no order, so it isn't standardised. */
function inputOf({ name }: Column, definition: FeatureDefinition | undefined): InputColumn {
  const encode = definition && 'encode' in definition ? definition.encode : undefined
  if (encode && 'hash' in encode) return { kind: 'id', name, size: encode.hash }
  if (encode && 'vocabulary' in encode) return { kind: 'id', name, size: encode.vocabulary.length + 1 }
  return { kind: 'number', name }
}

export function taskOf(label: LabelDefinition): Task {
  return label.type === 'classes' ? { kind: 'classes', classes: label.classes!.length } : { kind: label.type }
}

/**
 * The value of an expression as a label.
 * binary: true, yes, y, 1 … → 1, their opposites → 0, other numbers by > 0; classes: position of the text.
 * @returns NaN when it is none
 */
export function labelValue(label: Pick<LabelDefinition, 'type' | 'classes'>, value: unknown): number {
  if (value === null || value === undefined) return Number.NaN
  switch (label.type) {
    case 'binary':
      return binaryValue(value)
    case 'classes': {
      const index = label.classes!.indexOf(String(value))
      return index < 0 ? Number.NaN : index
    }
    default: {
      const number = typeof value === 'boolean' || typeof value === 'string' ? numberOf(value) : Number(value)
      return Number.isFinite(number) && (label.type === 'number' || number >= 0) ? number : Number.NaN
    }
  }
}

const YES = new Set(['1', 'true', 'yes', 'y', 't'])
const NO = new Set(['0', 'false', 'no', 'n', 'f'])

function binaryValue(value: unknown): number {
  if (typeof value === 'boolean') return value ? 1 : 0
  if (typeof value === 'string') {
    const text = value.trim().toLowerCase()
    if (YES.has(text)) return 1
    if (NO.has(text)) return 0
  }
  const number = numberOf(value)
  return Number.isNaN(number) ? Number.NaN : number > 0 ? 1 : 0
}

const numberOf = (value: unknown): number =>
  typeof value === 'string' && value.trim() === '' ? Number.NaN : Number(value)
