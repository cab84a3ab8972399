/** Structure-aware mutations: a valid document with some of its places changed to what has broken parsers before. */
import fc from 'fast-check'

/** A value that JSON.stringify can't write: stands as its own text in the document. */
const RAW = ['1e999', '-1e999', '1e-400', '123456789012345678901234567890', '-0', '0.1e+5', '9007199254740993'] as const
const RAW_MARK = '\u0001raw:'

const nasty = fc.constantFrom<unknown>(
  null,
  '',
  ' ',
  0,
  -1,
  1.5,
  1e308,
  -1e308,
  5e-324,
  true,
  false,
  [],
  {},
  [null],
  [[]],
  [{}],
  '\ud800',
  '\u0000',
  '\ufeff',
  '__proto__',
  'constructor',
  'NaN',
  'Infinity',
  '-Infinity',
  '1,5',
  '2024-02-30',
  '2024-01-01T25:61:61Z',
  '+275760-09-13T00:00:00.001Z',
  '9999-12-31T23:59:59.999Z',
  '-000001-01-01T00:00:00Z',
  '0000-00-00',
  253_402_300_800_000,
  8.64e15 + 1,
  -8.64e15,
  2 ** 53 + 2,
  '9'.repeat(30),
  { __proto__: null, constructor: 1, toString: 2, hasOwnProperty: 3 },
  [{ id: null }],
  '(a+)+$',
  `${'a'.repeat(40)}!`,
  '%E0%A4%A',
  'http://[::1',
  '\u202e\u0301\u0301',
)

/** Stands for something large until it is put into a document: counterexamples stay readable. */
class Large {
  readonly kind: 'text' | 'depth' | 'list' | 'fields'
  readonly size: number
  constructor(kind: Large['kind'], size: number) {
    this.kind = kind
    this.size = size
  }
  make(): unknown {
    const { kind, size } = this
    if (kind === 'text') return 'x'.repeat(size)
    if (kind === 'list') return Array.from({ length: size }, (_, index) => index)
    if (kind === 'fields') return Object.fromEntries(Array.from({ length: size }, (_, index) => [`k${index}`, index]))
    let value: unknown = 1
    for (let depth = 0; depth < size; depth++) value = depth % 2 === 0 ? [value] : { a: value }
    return value
  }
}

const huge = fc.oneof(
  fc.integer({ min: 1_000, max: 200_000 }).map((size) => new Large('text', size)),
  fc.integer({ min: 2, max: 2_000 }).map((size) => new Large('depth', size)),
  fc.integer({ min: 100, max: 5_000 }).map((size) => new Large('list', size)),
  fc.integer({ min: 100, max: 2_000 }).map((size) => new Large('fields', size)),
)

const replacement = fc.oneof(
  { weight: 10, arbitrary: nasty },
  { weight: 3, arbitrary: fc.constantFrom(...RAW).map((text) => RAW_MARK + text) },
  { weight: 1, arbitrary: huge },
  { weight: 3, arbitrary: fc.string({ unit: 'binary', maxLength: 30 }) },
  { weight: 3, arbitrary: fc.jsonValue({ maxDepth: 3 }) },
  { weight: 2, arbitrary: fc.double() },
)

/** One change at the place of number `place` (modulo the places that there are). */
export type Mutation =
  | { readonly kind: 'replace'; readonly place: number; readonly value: unknown }
  | { readonly kind: 'remove' | 'double' | 'wrap' | 'stringify' | 'swap'; readonly place: number }
  | { readonly kind: 'rename'; readonly place: number; readonly name: string }

const place = fc.nat({ max: 100_000 })

export const mutation: fc.Arbitrary<Mutation> = fc.oneof(
  { weight: 6, arbitrary: fc.record({ kind: fc.constant('replace' as const), place, value: replacement }) },
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constantFrom(
        'remove' as const,
        'double' as const,
        'wrap' as const,
        'stringify' as const,
        'swap' as const,
      ),
      place,
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      kind: fc.constant('rename' as const),
      place,
      name: fc.oneof(fc.constantFrom('__proto__', '', 'a.b', '_id', '\u0000'), fc.string({ maxLength: 10 })),
    }),
  },
)

export const mutations = fc.array(mutation, { minLength: 1, maxLength: 4 })

type Container = Record<string, unknown>

/** A copy of `document` with the changes made one after the other. */
export function mutate(document: unknown, changes: readonly Mutation[]): unknown {
  const root: Container = { root: structuredClone(document) }
  for (const change of changes) {
    const places = placesOf(root)
    const { at, key } = places[change.place % places.length]!
    apply(change, at, key)
  }
  return root.root
}

const PLACES_MAX = 20_000

function placesOf(root: Container): { at: Container; key: string }[] {
  const places: { at: Container; key: string }[] = []
  const open: Container[] = [root]
  for (let at = open.pop(); at !== undefined && places.length < PLACES_MAX; at = open.pop()) {
    for (const key of Object.keys(at)) {
      places.push({ at, key })
      const value = at[key]
      if (typeof value === 'object' && value !== null) open.push(value as Container)
    }
  }
  return places.length === 0 ? [{ at: root, key: 'root' }] : places
}

function apply(change: Mutation, at: Container, key: string): void {
  const before = at[key]
  switch (change.kind) {
    case 'replace':
      set(at, key, change.value instanceof Large ? change.value.make() : structuredClone(change.value))
      return
    case 'remove':
      if (Array.isArray(at)) at.splice(Number(key), 1)
      else delete at[key]
      return
    case 'double':
      set(at, key, [before, structuredClone(before)])
      return
    case 'wrap':
      set(at, key, { value: before })
      return
    case 'stringify':
      set(at, key, JSON.stringify(before) ?? '')
      return
    case 'swap': {
      const other = Object.keys(at).find((name) => name !== key)
      if (other === undefined) return
      set(at, key, at[other])
      set(at, other, before)
      return
    }
    case 'rename':
      if (Array.isArray(at)) return
      delete at[key]
      set(at, change.name, before)
  }
}

/** `__proto__` as a field of its own, as JSON.parse makes it. */
const set = (at: Container, key: string, value: unknown) =>
  Object.defineProperty(at, key, { value, enumerable: true, configurable: true, writable: true })

/** JSON text; numbers that no double is are written as they were meant. */
export function jsonOf(value: unknown): string {
  const text = JSON.stringify(value) ?? 'null'
  return text.replaceAll(/"\\u0001raw:([^"]*)"/g, '$1')
}

/** Damage to bytes: flips, cuts, insertions. */
export type Damage =
  | { readonly kind: 'set'; readonly at: number; readonly byte: number }
  | { readonly kind: 'cut'; readonly at: number }
  | { readonly kind: 'insert'; readonly at: number; readonly bytes: Uint8Array }
  | { readonly kind: 'repeat'; readonly at: number; readonly length: number; readonly times: number }

const offset = fc.nat({ max: 100_000 })

export const damage: fc.Arbitrary<Damage> = fc.oneof(
  fc.record({ kind: fc.constant('set' as const), at: offset, byte: fc.nat({ max: 255 }) }),
  fc.record({ kind: fc.constant('cut' as const), at: offset }),
  fc.record({
    kind: fc.constant('insert' as const),
    at: offset,
    bytes: fc.oneof(
      fc.uint8Array({ minLength: 1, maxLength: 12 }),
      // The longest varints: lengths and counts beyond everything.
      fc.constantFrom(
        Uint8Array.of(0xfe, 0xff, 0xff, 0xff, 0x0f),
        Uint8Array.of(0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01),
        Uint8Array.of(0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x00),
        new Uint8Array([0, 0, 0, 0, 0, 0, 0xf0, 0x7f]),
        new Uint8Array([0, 0, 0, 0, 0, 0, 0xf8, 0x7f]),
      ),
    ),
  }),
  fc.record({
    kind: fc.constant('repeat' as const),
    at: offset,
    length: fc.integer({ min: 1, max: 40 }),
    times: fc.integer({ min: 2, max: 500 }),
  }),
)

export const damages = fc.array(damage, { minLength: 1, maxLength: 4 })

export function damaged(bytes: Buffer, changes: readonly Damage[]): Buffer {
  let out: Buffer = Buffer.from(bytes)
  for (const change of changes) {
    const at = out.length === 0 ? 0 : change.at % out.length
    if (change.kind === 'cut') out = out.subarray(0, at)
    else if (change.kind === 'set') {
      out = Buffer.from(out)
      if (out.length > 0) out[at] = change.byte
    } else if (change.kind === 'insert') out = Buffer.concat([out.subarray(0, at), change.bytes, out.subarray(at)])
    else {
      const piece = out.subarray(at, at + change.length)
      out = Buffer.concat([
        out.subarray(0, at),
        ...Array.from({ length: change.times }, () => piece),
        out.subarray(at + change.length),
      ])
    }
  }
  return out
}
