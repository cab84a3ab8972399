import { AvroReader, MalformedAvro } from './avro-bytes.ts'

/** Deepest nesting of a recursive schema; an event has about a dozen levels. */
const DEPTH_MAX = 200
/** Elements of no bytes at all (null, an empty record) that one list may claim: nothing else bounds them. */
const EMPTY_ELEMENTS_MAX = 10_000

type Skip = (reader: AvroReader, depth: number) => void

/**
 * A check that bytes are one whole value of a schema, by walking over them without making anything. avsc reads past the end
 * of damaged bytes and fills lists of whatever length they claim: a hundred bytes can ask for all memory there is.
 * @returns a function that throws MalformedAvro
 * @throws Error when the schema names a type that it doesn't define
 */
export function compileGuard(schema: unknown): (bytes: Buffer) => void {
  const skip = compile(schema, new Map(), '')
  const reader = new AvroReader()
  return (bytes) => {
    reader.reset(bytes)
    skip(reader, 0)
    reader.checkInside()
    if (reader.position !== bytes.length) throw new MalformedAvro('bytes are left over')
  }
}

function compile(schema: unknown, named: Map<string, Skip>, namespace: string): Skip {
  if (Array.isArray(schema)) return union(schema.map((it) => compile(it, named, namespace)))
  if (typeof schema === 'string') return PRIMITIVES[schema] ?? reference(schema, named, namespace)
  const definition = schema as { type: unknown; name?: string; namespace?: string }
  const { type } = definition
  if (typeof type !== 'string') return compile(type, named, namespace)
  if (type === 'array') return list(compile((schema as { items: unknown }).items, named, namespace))
  if (type === 'map') {
    const values = compile((schema as { values: unknown }).values, named, namespace)
    return list((reader, depth) => {
      bytes(reader)
      values(reader, depth)
    })
  }
  const space = definition.namespace ?? namespace
  const define = (skip: Skip): Skip => {
    if (definition.name !== undefined) named.set(fullName(definition.name, space), skip)
    return skip
  }
  if (type === 'enum') return define(index((schema as { symbols: readonly string[] }).symbols.length))
  if (type === 'fixed') return define(jump((schema as { size: number }).size))
  if (type !== 'record' && type !== 'error') return compile(type, named, space)
  const fields: Skip[] = []
  // Before its fields are compiled: they may name the record itself.
  const record = define((reader, depth) => {
    if (depth > DEPTH_MAX) throw new MalformedAvro(`records nest deeper than ${DEPTH_MAX}`)
    for (let i = 0; i < fields.length; i++) fields[i]!(reader, depth + 1)
  })
  for (const field of (schema as { fields: readonly { type: unknown }[] }).fields)
    fields.push(compile(field.type, named, space))
  return record
}

const fullName = (name: string, namespace: string): string =>
  name.includes('.') || namespace === '' ? name : `${namespace}.${name}`

function reference(name: string, named: ReadonlyMap<string, Skip>, namespace: string): Skip {
  const found = named.get(fullName(name, namespace)) ?? named.get(name)
  if (found) return found
  throw new Error(`the schema does not define ${name}`)
}

const jump =
  (size: number): Skip =>
  (reader) => {
    reader.position += size
    reader.checkInside()
  }

const number: Skip = (reader) => {
  // Not reader.long(): any 64 bits are a valid number, also beyond 2^53.
  const start = reader.position
  const { buffer } = reader
  while (reader.position - start < 10) {
    const byte = buffer[reader.position++]
    if (byte === undefined) throw new MalformedAvro('the bytes end inside a value')
    if (byte < 0x80) return
  }
  throw new MalformedAvro('an integer has more than 10 bytes')
}

function bytes(reader: AvroReader): void {
  const length = reader.long()
  if (!(length >= 0 && reader.position + length <= reader.buffer.length))
    throw new MalformedAvro('a text is longer than the bytes')
  reader.position += length
}

const PRIMITIVES: Readonly<Record<string, Skip>> = {
  null: () => {},
  boolean: jump(1),
  int: number,
  long: number,
  float: jump(4),
  double: jump(8),
  bytes,
  string: bytes,
}

function index(count: number): Skip {
  return (reader) => {
    const at = reader.long()
    if (!(at >= 0 && at < count)) throw new MalformedAvro(`there is no symbol ${at}`)
  }
}

function union(branches: readonly Skip[]): Skip {
  return (reader, depth) => {
    const at = reader.long()
    const branch = branches[at]
    if (!branch) throw new MalformedAvro(`there is no union branch ${at}`)
    branch(reader, depth)
  }
}

/** Blocks of elements until one of none; a negative count has the block's size in bytes behind it. */
function list(element: Skip): Skip {
  return (reader, depth) => {
    let empty = 0
    for (;;) {
      reader.checkInside()
      let count = reader.long()
      if (count === 0) return
      if (count < 0) {
        count = -count
        number(reader, depth)
      }
      for (let i = 0; i < count; i++) {
        const before = reader.position
        element(reader, depth)
        reader.checkInside()
        if (reader.position === before && ++empty > EMPTY_ELEMENTS_MAX)
          throw new MalformedAvro(`a list has more than ${EMPTY_ELEMENTS_MAX} elements of no bytes`)
      }
    }
  }
}
