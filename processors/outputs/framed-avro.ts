import avro from 'avsc'
import { FRAME_BYTES, unframe } from './wire.ts'

/** Schemas that a reader remembers; a topic sees a handful in its life. */
const MAX_WRITERS = 64

/** Confluent-framed Avro of one of our own schemas. */
export class FramedAvro<T> {
  readonly #type: avro.Type
  /** Encoding target that is used again: one exact copy a record instead of avsc's two. */
  #slab = Buffer.allocUnsafeSlow(65_536)

  constructor(schema: object) {
    this.#type = avro.Type.forSchema(schema as avro.Schema)
  }

  /**
   * @param schemaId the registry's id of the schema
   * @throws TypeError when the record doesn't fit the schema: a bug of the caller
   */
  encode(record: T, schemaId: number): Buffer {
    let end = this.#type.encode(record, this.#slab, FRAME_BYTES)
    if (end < 0) {
      this.#slab = Buffer.allocUnsafeSlow(Math.max(this.#slab.length * 2, this.#slab.length - end))
      end = this.#type.encode(record, this.#slab, FRAME_BYTES)
    }
    this.#slab[0] = 0
    this.#slab.writeUInt32BE(schemaId, 1)
    return Buffer.from(this.#slab.subarray(0, end))
  }

  /**
   * Decodes what was written with exactly this schema, into instances of avsc's classes.
   * @throws Error when the bytes are not framed, cut, or of another schema
   */
  decode(value: Buffer): T {
    return this.#type.fromBuffer(payloadOf(value).payload) as T
  }

  /**
   * Decodes records of any version of the schema: the writer's schema is asked for once an id and resolved to this one.
   * @param about what is wanted of the writer's schema beside each record
   * @throws (the decoder) Error when the bytes are not framed or don't fit; what `schemaOf` and `about` throw
   */
  reader<About>(
    schemaOf: (id: number) => Promise<object>,
    about: (schema: object) => About,
  ): (value: Buffer) => Promise<{ decoded: T; about: About }> {
    const writers = new Map<number, { resolver: ReturnType<avro.Type['createResolver']>; about: About }>()
    return async (value) => {
      const { schemaId, payload } = payloadOf(value)
      let writer = writers.get(schemaId)
      if (writer === undefined) {
        const schema = await schemaOf(schemaId)
        const resolver = this.#type.createResolver(avro.Type.forSchema(schema as avro.Schema))
        writer = { resolver, about: about(schema) }
        if (writers.size >= MAX_WRITERS) writers.delete(writers.keys().next().value!)
        writers.set(schemaId, writer)
      }
      return { decoded: this.#type.fromBuffer(payload, writer.resolver) as T, about: writer.about }
    }
  }
}

function payloadOf(value: Buffer): { schemaId: number; payload: Buffer } {
  const framed = unframe(value)
  if (framed === undefined) throw new Error('not a Confluent-framed record: the first byte is not 0')
  return framed
}
