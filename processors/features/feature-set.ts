import type { Application } from '../app/schema.ts'
import { canonicalHash } from './canonical.ts'
import type { Compiler, Evaluator } from './evaluator.ts'
import { Hidden } from './hidden.ts'
import { Kernel } from './kernel.ts'
import { type CompiledFeature, type EntityPlan, Plan } from './plan.ts'
import type { State } from './state.ts'
import { NEVER, type Row } from './track-view.ts'
import type {
  Column,
  EntityKernel,
  FeatureAge,
  FeatureSet,
  HiddenDefinition,
  HiddenFeatures,
  KeyState,
  Lookups,
  Vector,
  VectorInputs,
} from './types.ts'

/**
 * Compiles the features of an application. Stream, HTTP edge and training use the same compiled set on the same bytes.
 * A set is for one thread. It keeps what it evaluated over the last event, so an event must not be changed once it was given.
 * @param expressions compiles filters, values and keys; make it with `replayable: true`, or a replay gives other values
 * @param hidden features of conditions, beside those of the application file; not part of the version, because no model sees them
 * @throws RtmlError CONFIG naming `features.<name>.<key>` or `entities.<name>.<key>`
 */
export function createFeatureSet(
  app: Pick<Application, 'features' | 'entities' | 'events'>,
  expressions: Compiler,
  hidden: readonly HiddenDefinition[] = [],
): FeatureSet {
  const plan = new Plan(app, expressions)
  const features = Object.entries(app.features).map(([name, definition]) => plan.compile(name, definition))
  const columns = plan.beginVector()
  const behind = hidden.map(({ definition }, place) => plan.compile(`condition ${place}`, definition))
  return new CompiledFeatureSet(versionOf(app), plan, columns, features, hidden, behind)
}

class CompiledFeatureSet implements FeatureSet {
  readonly version: string
  readonly columns: readonly Column[]
  readonly floatCount: number
  readonly stringCount: number
  readonly entities: ReadonlyMap<string, EntityKernel>
  readonly hidden: HiddenFeatures | undefined
  readonly #kernels: readonly Kernel[]
  readonly #empty: readonly State[]
  readonly #features: readonly CompiledFeature[]
  readonly #byName = new Map<string, Column[]>()
  readonly #row: Row

  constructor(
    version: string,
    plan: Plan,
    { columns, floatCount, stringCount }: Pick<Plan, 'columns' | 'floatCount' | 'stringCount'>,
    features: readonly CompiledFeature[],
    hidden: readonly HiddenDefinition[],
    behind: readonly CompiledFeature[],
  ) {
    this.version = version
    this.columns = columns
    this.floatCount = floatCount
    this.stringCount = stringCount
    this.#features = features
    this.#kernels = [...plan.entities.values()].map((entity) => kernelOf(entity, plan.evaluator))
    this.entities = new Map(this.#kernels.map((kernel) => [kernel.entity, kernel]))
    this.#empty = this.#kernels.map((kernel) => kernel.empty())
    for (const column of columns) {
      for (const name of new Set([column.feature, column.name])) {
        const columns = this.#byName.get(name)
        if (columns) columns.push(column)
        else this.#byName.set(name, [column])
      }
    }
    this.#row = {
      evaluator: plan.evaluator,
      lookups: NO_LOOKUPS,
      at: 0,
      ts: 0,
      states: [...this.#empty],
      ats: this.#kernels.map(() => 0),
    }
    if (hidden.length > 0) {
      this.hidden = new Hidden(hidden, behind, plan, (inputs) => {
        this.#point(inputs)
        return this.#row
      })
    }
  }

  resolve(name: string): readonly Column[] | undefined {
    return this.#byName.get(name)
  }

  newVector(): Vector {
    return {
      floats: new Float32Array(this.floatCount).fill(Number.NaN),
      strings: new Array<string>(this.stringCount).fill(''),
    }
  }

  vector(inputs: VectorInputs, into: Vector): void {
    this.#point(inputs)
    for (let i = 0; i < this.#features.length; i++) this.#features[i]!.reader.write(this.#row, into)
  }

  ages(inputs: VectorInputs): FeatureAge[] {
    this.#point(inputs)
    return this.#features.map(({ name, reader }) => {
      const newest = reader.newest(this.#row)
      // A state may be newer than `at` only in another entity; its value is then as fresh as can be.
      return { feature: name, ageMs: newest === NEVER ? undefined : Math.max(0, inputs.at - newest) }
    })
  }

  #point({ event, states, lookups, at }: VectorInputs): void {
    const row = this.#row
    row.evaluator.bind(event)
    row.lookups = lookups
    row.at = at
    row.ts = event.ts
    for (let i = 0; i < this.#kernels.length; i++) {
      const kernel = this.#kernels[i]!
      const state = states.get(kernel.entity)
      const isLive = state !== undefined && !kernel.isExpired(state, at)
      row.states[i] = isLive ? (state as KeyState as State) : this.#empty[i]!
      row.ats[i] = isLive && state.time > at ? state.time : at
    }
  }
}

const NO_LOOKUPS: Lookups = { get: () => undefined }

function kernelOf({ name, rules, keys, tracks }: EntityPlan, evaluator: Evaluator): Kernel {
  const sorted = [...tracks.values()].sort((a, b) => (a.key < b.key ? -1 : 1))
  const finished = sorted.map((view, i) => view.finish(i))
  return new Kernel(name, rules, finished, evaluator, keys)
}

/** Order of features is part of the version, because it is the order of the vector. Descriptions are not. */
function versionOf(app: Pick<Application, 'features' | 'entities' | 'events'>): string {
  const features = Object.entries(app.features).map(([name, { description: _, ...rest }]) => [name, rest])
  const entities = Object.entries(app.entities).map(([name, { key, ttl }]) => [name, key, ttl])
  const { lateness, dedup, ttl } = app.events
  return canonicalHash({ features, entities, lateness, dedup, ttl }).slice(0, 12)
}
