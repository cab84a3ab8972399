import type { CompiledFeature, Plan } from './plan.ts'
import type { Row } from './track-view.ts'
import type { Column, HiddenDefinition, HiddenFeatures, Vector, VectorInputs } from './types.ts'

/** Kinds whose value moves with every instant. */
const GRADUAL = new Set(['decayedCount', 'decayedSum', 'recency'])

export class Hidden implements HiddenFeatures {
  readonly count: number
  readonly #definitions: readonly HiddenDefinition[]
  readonly #features: readonly CompiledFeature[]
  readonly #columns: readonly Column[]
  readonly #point: (inputs: VectorInputs) => Row
  readonly #vector: Vector
  readonly #values: (number | string | null)[]

  constructor(
    definitions: readonly HiddenDefinition[],
    features: readonly CompiledFeature[],
    { columns, floatCount, stringCount }: Pick<Plan, 'columns' | 'floatCount' | 'stringCount'>,
    point: (inputs: VectorInputs) => Row,
  ) {
    if (columns.length !== features.length) throw new Error('a hidden feature has one column')
    this.count = features.length
    this.#definitions = definitions
    this.#features = features
    this.#columns = columns
    this.#point = point
    // Conditions compare exactly: a float32 would round seconds beyond 97 days and sums beyond 16 million.
    const floats = new Float64Array(floatCount) as unknown as Float32Array
    this.#vector = { floats, strings: new Array<string>(stringCount).fill('') }
    this.#values = new Array<number | string | null>(features.length).fill(null)
  }

  read(inputs: VectorInputs): readonly (number | string | null)[] {
    const row = this.#point(inputs)
    const { floats, strings } = this.#vector
    for (let i = 0; i < this.#features.length; i++) {
      this.#features[i]!.reader.write(row, this.#vector)
      const { type, index } = this.#columns[i]!
      if (type === 'float') this.#values[i] = Number.isNaN(floats[index]!) ? null : floats[index]!
      else this.#values[i] = strings[index] === '' ? null : strings[index]!
    }
    return this.#values
  }

  changes(inputs: VectorInputs, into: number[]): void {
    const row = this.#point(inputs)
    for (let i = 0; i < this.#features.length; i++) {
      const { withinMs } = this.#definitions[i]!
      for (const track of this.#features[i]!.tracks) {
        if (withinMs === undefined) {
          track.expiries(row, into)
          continue
        }
        track.locate(row)
        const { newest } = track.state
        if (newest + withinMs >= row.at) into.push(newest + withinMs + 1)
      }
    }
  }

  isGradual(place: number): boolean {
    const { definition, withinMs } = this.#definitions[place]!
    return withinMs === undefined && GRADUAL.has(definition.kind)
  }
}
