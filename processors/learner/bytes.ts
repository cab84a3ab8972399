/**
 * Packed state: little-endian, a magic number, then fields in a fixed order. Readers check every length before they use it,
 * so damaged bytes are refused with the place instead of becoming a wrong model.
 */
const MAGIC = 0x314c5452 // "RTL1"
const TEXT_MAX = 4_000_000
const encoder = new TextEncoder()
const decoder = new TextDecoder('utf-8', { fatal: true })

export class StateWriter {
  #bytes = new Uint8Array(256)
  #view = new DataView(this.#bytes.buffer)
  #at = 0

  /** @param kind what the state belongs to; a reader refuses any other */
  constructor(kind: string) {
    this.u32(MAGIC).text(kind)
  }

  u32(value: number): this {
    // Reserving may replace the view, so it comes first.
    const at = this.#reserve(4)
    this.#view.setUint32(at, value, true)
    return this
  }

  f64(...values: readonly number[]): this {
    for (const value of values) {
      const at = this.#reserve(8)
      this.#view.setFloat64(at, value, true)
    }
    return this
  }

  text(value: string): this {
    return this.bytes(encoder.encode(value))
  }

  bytes(value: Uint8Array): this {
    this.u32(value.length)
    const at = this.#reserve(value.length)
    this.#bytes.set(value, at)
    return this
  }

  /** Length, then the numbers. */
  f64s(values: Float64Array | readonly number[]): this {
    this.u32(values.length)
    const at = this.#reserve(values.length * 8)
    for (let i = 0; i < values.length; i++) this.#view.setFloat64(at + i * 8, values[i]!, true)
    return this
  }

  done(): Uint8Array {
    return this.#bytes.slice(0, this.#at)
  }

  #reserve(size: number): number {
    const start = this.#at
    const end = start + size
    if (end > this.#bytes.length) {
      const grown = new Uint8Array(Math.max(end, this.#bytes.length * 2))
      grown.set(this.#bytes.subarray(0, start))
      this.#bytes = grown
      this.#view = new DataView(grown.buffer)
    }
    this.#at = end
    return start
  }
}

export class StateReader {
  readonly #bytes: Uint8Array
  readonly #view: DataView
  readonly #kind: string
  #at = 0

  /** @throws Error when the bytes are not a state of this kind */
  constructor(bytes: Uint8Array, kind: string) {
    this.#bytes = bytes
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    this.#kind = kind
    if (bytes.length < 8 || this.u32() !== MAGIC) throw new Error(`the bytes are no packed state of ${kind}`)
    const found = this.text()
    if (found !== kind) throw new Error(`the packed state is that of ${JSON.stringify(found)}, not of ${kind}`)
  }

  u32(): number {
    return this.#view.getUint32(this.#take(4), true)
  }

  f64(): number {
    return this.#view.getFloat64(this.#take(8), true)
  }

  text(): string {
    return decoder.decode(this.bytes(TEXT_MAX))
  }

  bytes(max = Number.MAX_SAFE_INTEGER): Uint8Array {
    const length = this.u32()
    if (length > max)
      throw new Error(`a field of ${length} bytes in the packed state of ${this.#kind}; the most is ${max}`)
    const at = this.#take(length)
    return this.#bytes.subarray(at, at + length)
  }

  /** @param length how many there must be; absent: any number */
  f64s(length?: number): Float64Array<ArrayBuffer> {
    const count = this.u32()
    if (length !== undefined && count !== length) {
      throw new Error(`the packed state of ${this.#kind} has ${count} numbers where ${length} belong`)
    }
    const at = this.#take(count * 8)
    const values = new Float64Array(count)
    for (let i = 0; i < count; i++) values[i] = this.#view.getFloat64(at + i * 8, true)
    return values
  }

  /** @throws Error when bytes are left over */
  end(): void {
    const left = this.#bytes.length - this.#at
    if (left !== 0) throw new Error(`${left} bytes too many in the packed state of ${this.#kind}`)
  }

  #take(size: number): number {
    const at = this.#at
    if (at + size > this.#bytes.length) {
      throw new Error(`the packed state of ${this.#kind} ends at byte ${this.#bytes.length}, inside a field`)
    }
    this.#at = at + size
    return at
  }
}

/** Kind of the state in these bytes. @throws Error when they are no packed state */
export function kindOfState(bytes: Uint8Array): string {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  if (bytes.length < 8 || view.getUint32(0, true) !== MAGIC) throw new Error('the bytes are no packed state')
  const length = view.getUint32(4, true)
  if (length > bytes.length - 8) throw new Error('the packed state ends inside its name')
  return decoder.decode(bytes.subarray(8, 8 + length))
}
