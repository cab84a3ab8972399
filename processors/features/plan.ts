import { RtmlError } from '../app/errors.ts'
import type { Application, FeatureDefinition } from '../app/schema.ts'
import { canonicalJson } from './canonical.ts'
import { FloatSlot, OneHotSlot, TextSlot, type ValueSlot } from './encoding.ts'
import { type Compiler, Evaluator } from './evaluator.ts'
import type { KeyRules } from './kernel.ts'
import { type KeyReader, keyReader, profileKeys } from './keys.ts'
import type { FeatureBuilder, FeatureReader, Kind, KindName, SlotRequest, TrackRequest } from './kinds/kind.ts'
import { KINDS } from './kinds/registry.ts'
import { TrackView } from './track-view.ts'
import type { Column } from './types.ts'
import { scaleOf } from './units.ts'
import { LIFETIME, resolveWindow, sessionWindow } from './windows.ts'

/** Most numbers and texts of one vector. */
const COLUMNS_MAX = 100_000

const PROFILE = 'profile'

export interface CompiledFeature {
  readonly name: string
  readonly reader: FeatureReader
  /** Tracks that its value is made of. */
  readonly tracks: readonly TrackView[]
}

export interface EntityPlan {
  readonly name: string
  readonly number: number
  readonly rules: KeyRules
  readonly keys: KeyReader
  readonly tracks: Map<string, TrackView>
}

/** What is decided while features are compiled one after the other: tracks, columns, expressions. */
export class Plan {
  readonly evaluator: Evaluator
  readonly entities = new Map<string, EntityPlan>()
  columns: Column[] = []
  floatCount = 0
  stringCount = 0
  readonly #events: Application['events']
  #columnNames = new Set<string>()

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
    const tracks: TrackView[] = []
    return { name, reader: kind.compile(this.#builder(name, definition, tracks)), tracks }
  }

  /** From here on columns are those of a second vector. @returns the columns so far */
  beginVector(): Pick<Plan, 'columns' | 'floatCount' | 'stringCount'> {
    const { columns, floatCount, stringCount } = this
    this.columns = []
    this.floatCount = 0
    this.stringCount = 0
    this.#columnNames = new Set()
    return { columns, floatCount, stringCount }
  }

  #builder(name: string, definition: FeatureDefinition, tracks: TrackView[]): FeatureBuilder<KindName> {
    const place = `features.${name}`
    const where = 'where' in definition ? definition.where : undefined
    return {
      name,
      definition,
      window: () =>
        'window' in definition ? resolveWindow(definition.window, this.#events, `${place}.window`) : LIFETIME,
      session: (gap) => sessionWindow(gap, this.#events, `${place}.gap`),
      track: (request) => {
        const track = this.#track(place, definition, where, request)
        tracks.push(track)
        return track
      },
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
    if (this.#columnNames.has(name)) {
      throw config(`features.${feature}`, `two columns would be called ${name}. Remove the repeated word`)
    }
    if (this.columns.length >= COLUMNS_MAX) throw config(`features.${feature}`, `more than ${COLUMNS_MAX} columns`)
    const index = type === 'float' ? this.floatCount++ : this.stringCount++
    this.#columnNames.add(name)
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
