/** Confluent framing: 0x00, schema id (uint32, big-endian), Avro bytes. Source: Confluent wire format documentation. */
const MAGIC = 0
export const FRAME_BYTES = 5

export interface Framed {
  readonly schemaId: number
  /** A view, not a copy. */
  readonly payload: Buffer
}

export function frame(schemaId: number, payload: Uint8Array): Buffer {
  const framed = Buffer.allocUnsafe(FRAME_BYTES + payload.length)
  framed[0] = MAGIC
  framed.writeUInt32BE(schemaId, 1)
  framed.set(payload, FRAME_BYTES)
  return framed
}

/** @returns undefined when the bytes are not framed (JSON, CSV and bare Avro of a non-empty string start otherwise) */
export function unframe(value: Buffer): Framed | undefined {
  if (value.length < FRAME_BYTES || value[0] !== MAGIC) return undefined
  return { schemaId: value.readUInt32BE(1), payload: value.subarray(FRAME_BYTES) }
}
