/** Reading and writing the primitive types of Kafka's protocol. Source: kafka.apache.org/protocol, "Protocol Primitive Types". */
import { readInt64, writeInt64 } from './record-batch.ts'

export class WireWriter {
  #bytes: Buffer
  #end = 0

  constructor(size = 256) {
    this.#bytes = Buffer.allocUnsafe(size)
  }

  get buffer(): Buffer {
    return this.#bytes.subarray(0, this.#end)
  }

  int8(value: number): this {
    this.#reserve(1)
    this.#end = this.#bytes.writeInt8(value, this.#end)
    return this
  }

  int16(value: number): this {
    this.#reserve(2)
    this.#end = this.#bytes.writeInt16BE(value, this.#end)
    return this
  }

  int32(value: number): this {
    this.#reserve(4)
    this.#end = this.#bytes.writeInt32BE(value, this.#end)
    return this
  }

  int64(value: number): this {
    this.#reserve(8)
    writeInt64(this.#bytes, this.#end, value)
    this.#end += 8
    return this
  }

  string(value: string | null): this {
    if (value === null) return this.int16(-1)
    const length = Buffer.byteLength(value)
    this.int16(length)
    return this.raw(Buffer.from(value))
  }

  /** Length-prefixed with an unsigned varint of length + 1: the "compact" string of flexible versions. */
  compactString(value: string): this {
    const bytes = Buffer.from(value)
    return this.uvarint(bytes.length + 1).raw(bytes)
  }

  bytes(value: Buffer): this {
    return this.int32(value.length).raw(value)
  }

  uvarint(value: number): this {
    let rest = value
    while (rest > 0x7f) {
      this.int8((((rest & 0x7f) | 0x80) << 24) >> 24)
      rest >>>= 7
    }
    return this.int8(rest)
  }

  /** No tagged fields: the end of every structure of a flexible version. */
  noTags(): this {
    return this.int8(0)
  }

  raw(value: Uint8Array): this {
    this.#reserve(value.length)
    this.#bytes.set(value, this.#end)
    this.#end += value.length
    return this
  }

  #reserve(bytes: number): void {
    if (this.#end + bytes <= this.#bytes.length) return
    const larger = Buffer.allocUnsafe(Math.max(this.#bytes.length * 2, this.#end + bytes))
    this.#bytes.copy(larger, 0, 0, this.#end)
    this.#bytes = larger
  }
}

export class WireReader {
  readonly #bytes: Buffer
  #at = 0

  constructor(bytes: Buffer) {
    this.#bytes = bytes
  }

  int8(): number {
    return this.#bytes.readInt8(this.#skip(1))
  }

  int16(): number {
    return this.#bytes.readInt16BE(this.#skip(2))
  }

  int32(): number {
    return this.#bytes.readInt32BE(this.#skip(4))
  }

  int64(): number {
    return readInt64(this.#bytes, this.#skip(8))
  }

  string(): string {
    const length = this.int16()
    return length < 0 ? '' : this.raw(length).toString('utf8')
  }

  /** null reads as ''. */
  compactString(): string {
    const length = this.uvarint() - 1
    return length < 0 ? '' : this.raw(length).toString('utf8')
  }

  bytes(): Buffer {
    const length = this.int32()
    return length < 0 ? Buffer.alloc(0) : this.raw(length)
  }

  array<T>(read: () => T): T[] {
    const count = this.int32()
    return Array.from({ length: Math.max(0, count) }, read)
  }

  compactArray<T>(read: () => T): T[] {
    const count = this.uvarint() - 1
    return Array.from({ length: Math.max(0, count) }, read)
  }

  uvarint(): number {
    let value = 0
    for (let shift = 0; shift < 35; shift += 7) {
      const byte = this.#bytes.readUInt8(this.#skip(1))
      value += (byte & 0x7f) * 2 ** shift
      if (byte < 0x80) return value
    }
    throw new Error('a variable-length number is too long')
  }

  skipTags(): void {
    for (let count = this.uvarint(); count > 0; count--) {
      this.uvarint()
      this.raw(this.uvarint())
    }
  }

  raw(length: number): Buffer {
    const from = this.#skip(length)
    return this.#bytes.subarray(from, from + length)
  }

  #skip(bytes: number): number {
    const at = this.#at
    this.#at += bytes
    if (this.#at > this.#bytes.length) throw new Error('the response is shorter than it says')
    return at
  }
}
