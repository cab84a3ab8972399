/** Confluent framing: byte 0 is 0, bytes 1–4 the schema id (big-endian), then the payload. */
import { RtmlError } from '../../app/errors.ts'
import { AvroError, type AvroReader, createAvroReader } from './avro-reader.ts'
import { type Limits, type Parsed, refuse } from './types.ts'

const HEADER_BYTES = 5
/** Writer schemas kept; a topic has a handful, so this is reached only by garbage ids. */
const MAX_SCHEMAS = 1_000

export const isFramed = (bytes: Buffer): boolean => bytes.length >= HEADER_BYTES && bytes[0] === 0

const idOf = (bytes: Buffer): number => bytes.readUInt32BE(1)

type Known = { readonly read: AvroReader } | { readonly problem: string }

export interface SchemaCache {
  /** Asks the registry for the ids among `values` that aren't known yet. @throws RtmlError REGISTRY_DOWN */
  prepare(values: Iterable<Buffer | null>): Promise<void>
  decode(bytes: Buffer): Parsed
}

export function createSchemaCache(
  schemaById: ((id: number) => Promise<object>) | undefined,
  limits: Limits,
): SchemaCache {
  const known = new Map<number, Known>()

  const resolve = async (id: number): Promise<Known> => {
    if (!schemaById) return { problem: `schema ${id}: no schema registry is configured` }
    try {
      return { read: createAvroReader(await schemaById(id), limits) }
    } catch (error) {
      if (error instanceof RtmlError && error.isTransient) throw error
      if (error instanceof AvroError) return { problem: `schema ${id}: ${error.message}` }
      return { problem: `the registry does not know schema ${id}` }
    }
  }

  return {
    async prepare(values) {
      for (const value of values) {
        if (!value || !isFramed(value)) continue
        const id = idOf(value)
        const before = known.get(id)
        // a failure is asked again with the next batch: the registry client caches it briefly, and schemas do get registered
        if (before && 'read' in before) continue
        if (known.size >= MAX_SCHEMAS) known.delete(known.keys().next().value as number)
        known.set(id, await resolve(id))
      }
    },
    decode(bytes) {
      if (!isFramed(bytes))
        return refuse('DECODE', '', 'not Confluent Avro: the value must start with 0 and a 4-byte schema id')
      const id = idOf(bytes)
      const found = known.get(id)
      if (!found) return refuse('SCHEMA_ID', '', `schema ${id} has not been looked up`)
      if ('problem' in found) return refuse('SCHEMA_ID', '', found.problem)
      try {
        return { ok: true, value: found.read(bytes, HEADER_BYTES) }
      } catch (error) {
        if (error instanceof AvroError)
          return refuse(error.limit ? 'LIMIT' : 'DECODE', '', `Avro with schema ${id}: ${error.message}`)
        if (error instanceof RangeError) return refuse('LIMIT', '', `Avro with schema ${id}: nested too deep`)
        throw error
      }
    },
  }
}

/** The JSON behind a framed value (JSON Schema serializers frame too), or the value itself. */
export function unframeJson(bytes: Buffer): Buffer {
  const first = bytes[HEADER_BYTES]
  return isFramed(bytes) && (first === 0x7b || first === 0x5b) ? bytes.subarray(HEADER_BYTES) : bytes
}
