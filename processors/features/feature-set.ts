import { RtmlError } from '../app/errors.ts'
import type { Application, FeatureDefinition } from '../app/schema.ts'
import { canonicalHash, canonicalJson } from './canonical.ts'
import { FloatSlot, OneHotSlot, TextSlot, type ValueSlot } from './encoding.ts'
import { type Compiler, Evaluator } from './evaluator.ts'
import { Kernel, type KeyRules } from './kernel.ts'
import { type KeyReader, keyReader, profileKeys } from './keys.ts'
import type { FeatureBuilder, FeatureReader, Kind, KindName, SlotRequest, TrackRequest } from './kinds/kind.ts'
import { KINDS } from './kinds/registry.ts'
import type { State } from './state.ts'
import { NEVER, type Row, TrackView } from './track-view.ts'
import type { Column, EntityKernel, FeatureAge, FeatureSet, KeyState, Lookups, Vector, VectorInputs } from './types.ts'
import { scaleOf } from './units.ts'
import { LIFETIME, resolveWindow, sessionWindow } from './windows.ts'

/** Most numbers and texts of one vector. */
const COLUMNS_MAX = 100_000

const PROFILE = 'profile'

/**
 * Compiles the features of an application. Stream, HTTP edge and training use the same compiled set on the same bytes.
 * @throws RtmlError CONFIG naming `features.<name>.<key>` or `entities.<name>.<key>`
 */
export function createFeatureSet(
  app: Pick<Application, 'features' | 'entities' | 'events'>,
  expressions: Compiler,
): FeatureSet {
  const plan = new Plan(app, expressions)
  const features = Object.entries(app.features).map(([name, definition]) => plan.compile(name, definition))
  return new CompiledFeatureSet(versionOf(app), plan, features)
}

interface CompiledFeature {
  readonly name: string
  readonly reader: FeatureReader
}

interface EntityPlan {
  readonly name: string
  readonly number: number
  readonly rules: KeyRules
  readonly keys: KeyReader
  readonly tracks: Map<string, TrackView>
}

/** What has been decided while features are compiled one after the other. */
class Plan {
  readonly evaluator: Evaluator
  readonly entities = new Map<string, EntityPlan>()
  readonly columns: Column[] = []
  floatCount = 0
  stringCount = 0
  readonly #events: Application['events']

  constructor(app: Pick<Application, 'entities' | 'events'>, expressions: Compiler) {
    this.evaluator = new Evaluator(expressions)
    this.#events = app.events
    this.#addEntity(PROFILE, app.events.ttl, profileKeys)
    for (const [name, { key, ttl }] of Object.entries(app.entities)) {
      if (name === PROFILE) throw config(`entities.${name}`, 'profile is the built-in entity. Use another name')
      this.#addEntity(
        name,
        ttl,
        guarded(`entities.${name}.key`, () => keyReader(key, expressions)),
      )
    }
  }

  #addEntity(name: string, ttlMs: number, keys: KeyReader): void {
    const { lateness, dedup } = this.#events
    const rules = { latenessMs: lateness, ttlMs, dedupIds: dedup.ids, dedupWindowMs: dedup.window }
    this.entities.set(name, { name, number: this.entities.size, rules, keys, tracks: new Map() })
  }

  compile(name: string, definition: FeatureDefinition): CompiledFeature {
    const kind = KINDS[definition.kind] as Kind<KindName>
    return { name, reader: kind.compile(this.#builder(name, definition)) }
  }

  #builder(name: string, definition: FeatureDefinition): FeatureBuilder<KindName> {
    const place = `features.${name}`
    const where = 'where' in definition ? definition.where : undefined
    return {
      name,
      definition,
      window: () =>
        'window' in definition ? resolveWindow(definition.window, this.#events, `${place}.window`) : LIFETIME,
      session: (gap) => sessionWindow(gap, this.#events, `${place}.gap`),
      track: (request) => this.#track(place, definition, where, request),
      expression: (source) => guarded(placeOf(place, definition, source), () => this.evaluator.expression(source)),
      float: (suffix = '') => this.#column(name, suffix, 'float'),
      slot: (request) => this.#slot(name, request),
      scale: (unit) => {
        if (unit < 1e-12 || unit > 1e12) throw config(`${place}.unit`, `${unit} is not within 1e-12 and 1e12`)
        return scaleOf(unit)
      },
      error: (key, message) => config(`${place}.${key}`, message),
    }
  }

  #entityOf(place: string, definition: FeatureDefinition): EntityPlan {
    const name = 'entity' in definition ? definition.entity : PROFILE
    const entity = this.entities.get(name)
    if (entity) return entity
    throw config(`${place}.entity`, `there is no entity "${name}". Known: ${[...this.entities.keys()].join(', ')}`)
  }

  #track(place: string, definition: FeatureDefinition, where: string | undefined, request: TrackRequest): TrackView {
    const entity = this.#entityOf(place, definition)
    const { reading, value, amount, window } = request
    const key = canonicalJson({ where, reading, value, amount, window })
    const known = entity.tracks.get(key)
    if (known) return known
    const { evaluator } = this
    const numberOf = (source: string | undefined): number =>
      source === undefined ? -1 : guarded(placeOf(place, definition, source), () => evaluator.expression(source))
    const track = new TrackView(entity.number, {
      key,
      where: guarded(`${place}.where`, () => evaluator.condition(where)),
      value: numberOf(value),
      amount: numberOf(amount),
      reading,
      window,
    })
    entity.tracks.set(key, track)
    return track
  }

  #column(feature: string, suffix: string, type: Column['type']): number {
    const name = feature + suffix
    if (this.columns.some((it) => it.feature === feature && it.name === name)) {
      throw config(`features.${feature}`, `two columns would be called ${name}. Remove the repeated word`)
    }
    if (this.columns.length >= COLUMNS_MAX) throw config(`features.${feature}`, `more than ${COLUMNS_MAX} columns`)
    const index = type === 'float' ? this.floatCount++ : this.stringCount++
    this.columns.push({ name, feature, type, index })
    return index
  }

  #slot(feature: string, { suffix = '', type, encode, missing }: SlotRequest): ValueSlot {
    const place = `features.${feature}`
    if (encode === undefined && type === 'text') {
      if (typeof missing === 'number') throw config(`${place}.default`, 'a text feature needs a text as default')
      return new TextSlot(this.#column(feature, suffix, 'string'), missing ?? '')
    }
    if (encode === undefined) {
      if (typeof missing === 'string') throw config(`${place}.default`, 'a number feature needs a number as default')
      return new FloatSlot(this.#column(feature, suffix, 'float'), missing ?? Number.NaN)
    }
    if (type === 'number') throw config(`${place}.encode`, 'only texts are encoded. Remove encode, or type: number')
    if ('onehot' in encode) {
      if (typeof missing === 'number') throw config(`${place}.default`, 'a one-hot feature needs a text as default')
      const columns = encode.onehot.map((word) => this.#column(feature, `${suffix}=${word}`, 'float'))
      return new OneHotSlot(columns[0]!, encode, missing ?? undefined)
    }
    // A vocabulary has a number for "missing"; a hash has none.
    const none = 'vocabulary' in encode ? 0 : Number.NaN
    return FloatSlot.encoded(this.#column(feature, suffix, 'float'), encode, missing ?? none)
  }
}

class CompiledFeatureSet implements FeatureSet {
  readonly version: string
  readonly columns: readonly Column[]
  readonly floatCount: number
  readonly stringCount: number
  readonly entities: ReadonlyMap<string, EntityKernel>
  readonly #kernels: readonly Kernel[]
  readonly #empty: readonly State[]
  readonly #features: readonly CompiledFeature[]
  readonly #byName = new Map<string, Column[]>()
  readonly #row: Row

  constructor(version: string, plan: Plan, features: readonly CompiledFeature[]) {
    this.version = version
    this.columns = plan.columns
    this.floatCount = plan.floatCount
    this.stringCount = plan.stringCount
    this.#features = features
    this.#kernels = [...plan.entities.values()].map((entity) => kernelOf(entity, plan.evaluator))
    this.entities = new Map(this.#kernels.map((kernel) => [kernel.entity, kernel]))
    this.#empty = this.#kernels.map((kernel) => kernel.empty())
    for (const column of plan.columns) {
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

function config(place: string, message: string): RtmlError {
  return new RtmlError('CONFIG', message, { place })
}

/** Place of the key of a definition that holds this expression. */
function placeOf(place: string, definition: FeatureDefinition, source: string): string {
  const key = Object.entries(definition).find(([, value]) => value === source)?.[0]
  return key === undefined ? place : `${place}.${key}`
}

/** Runs `make`; what it throws becomes an error that names the place. */
function guarded<T>(place: string, make: () => T): T {
  try {
    return make()
  } catch (cause) {
    if (cause instanceof RtmlError) throw cause
    throw new RtmlError('CONFIG', cause instanceof Error ? cause.message : String(cause), { place, cause })
  }
}
