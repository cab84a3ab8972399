/**
 * Packed bytes: variable-length integers, compact decimals, and texts that are written once and referred to afterwards.
 * The reader trusts nothing: every read is checked against the end, and every count against the bytes that are left, so
 * corrupt bytes cost an error and no memory.
 */

/** Longest text that a state keeps, in UTF-8 bytes; the rest is cut at a code point. */
const TEXT_BYTES_MAX = 256

/** Times and units stay below this, so that a zigzag code fits 53 bits. */
export const INTEGER_MAX = 2 ** 52 - 1

const TWO_28 = 2 ** 28
/** A number token is `zigzag(mantissa) · 8 + form`; the mantissa must leave room for the three bits. */
const MANTISSA_MAX = 2 ** 49
const POWERS = [1, 1e2, 1e4, 1e6] as const
const RAW = 4
const NONE = 5

export class ByteWriter {
  #bytes = Buffer.allocUnsafe(4_096)
  #length = 0
  #texts: string[] = []
  /** Only filled when a blob has many texts: scanning a short list is faster than hashing. */
  #textIndex = new Map<string, number>()

  start(): void {
    this.#length = 0
    this.#texts.length = 0
    if (this.#textIndex.size > 0) this.#textIndex.clear()
  }

  /** A copy: the writer's buffer is reused. */
  finish(): Buffer {
    const copy = Buffer.allocUnsafe(this.#length)
    this.#bytes.copy(copy, 0, 0, this.#length)
    return copy
  }

  /** Bytes written so far. */
  get length(): number {
    return this.#length
  }

  /** A copy of what was written since `start`, for `raw` to write again. */
  since(start: number): Uint8Array {
    return new Uint8Array(this.#bytes.subarray(start, this.#length))
  }

  /** Bytes that `since` gave. */
  raw(bytes: Uint8Array): void {
    if (this.#length + bytes.length > this.#bytes.length) this.#grow(bytes.length)
    this.#bytes.set(bytes, this.#length)
    this.#length += bytes.length
  }

  byte(value: number): void {
    if (this.#length === this.#bytes.length) this.#grow(1)
    this.#bytes[this.#length++] = value
  }

  u16(value: number): void {
    this.byte(value & 255)
    this.byte(value >>> 8)
  }

  u32(value: number): void {
    this.u16(value & 0xffff)
    this.u16(value >>> 16)
  }

  /** 48 bits, little endian. */
  u48(value: number): void {
    this.u32((value % 0x1_0000_0000) >>> 0)
    this.u16(Math.floor(value / 0x1_0000_0000))
  }

  float64(value: number): void {
    if (this.#length + 8 > this.#bytes.length) this.#grow(8)
    this.#bytes.writeDoubleLE(value, this.#length)
    this.#length += 8
  }

  /** An integer in [0, 2^53): seven bits a byte, low first. */
  varint(value: number): void {
    if (this.#length + 8 > this.#bytes.length) this.#grow(8)
    const bytes = this.#bytes
    let at = this.#length
    let rest = value
    while (rest >= TWO_28) {
      const high = Math.floor(rest / 128)
      bytes[at++] = (rest - high * 128) | 128
      rest = high
    }
    while (rest >= 128) {
      bytes[at++] = (rest & 127) | 128
      rest >>>= 7
    }
    bytes[at++] = rest
    this.#length = at
  }

  /** A float64 in as few bytes as its decimals need; NaN stands for "none". */
  number(value: number): void {
    if (Number.isNaN(value)) return this.varint(NONE)
    for (let form = 0; form < 4; form++) {
      const scaled = value * POWERS[form]!
      if (Number.isInteger(scaled) && Math.abs(scaled) < MANTISSA_MAX && scaled / POWERS[form]! === value) {
        return this.varint(zigzag(scaled) * 8 + form)
      }
    }
    this.varint(RAW)
    this.float64(value)
  }

  /** A sum of integer units. Units are mostly a millionth while values have few decimals: factors of 100 are left out. */
  units(value: number): void {
    if (Number.isInteger(value)) {
      for (let form = value === 0 ? 0 : 3; form >= 0; form--) {
        const power = POWERS[form]!
        if (value % power === 0 && Math.abs(value / power) < MANTISSA_MAX) {
          return this.varint(zigzag(value / power) * 8 + form)
        }
      }
    }
    this.varint(RAW)
    this.float64(value)
  }

  /** 0 and the text, the first time; its number in this blob afterwards. The text is already bounded: see `boundText`. */
  text(value: string): void {
    const known = this.#find(value)
    if (known >= 0) return this.varint(known + 1)
    this.varint(0)
    this.#texts.push(value)
    if (this.#texts.length > 16) this.#index()
    if (this.#length + value.length * 3 + 2 > this.#bytes.length) this.#grow(value.length * 3 + 2)
    if (!this.#ascii(value)) {
      const size = Buffer.byteLength(value)
      this.varint(size)
      this.#bytes.write(value, this.#length, size, 'utf8')
      this.#length += size
    }
  }

  #find(value: string): number {
    if (this.#textIndex.size > 0) return this.#textIndex.get(value) ?? -1
    return this.#texts.indexOf(value)
  }

  #index(): void {
    for (let i = this.#textIndex.size; i < this.#texts.length; i++) this.#textIndex.set(this.#texts[i]!, i)
  }

  /** Short ASCII texts are copied here: a native call costs more than the copy. */
  #ascii(value: string): boolean {
    if (value.length > 64) return false
    const bytes = this.#bytes
    let at = this.#length + 1
    for (let i = 0; i < value.length; i++) {
      const unit = value.charCodeAt(i)
      if (unit > 127) return false
      bytes[at++] = unit
    }
    bytes[this.#length] = value.length
    this.#length = at
    return true
  }

  #grow(by: number): void {
    const bytes = Buffer.allocUnsafe(Math.max(this.#bytes.length * 2, this.#length + by))
    bytes.set(this.#bytes.subarray(0, this.#length))
    this.#bytes = bytes
  }
}

export class ByteReader {
  #bytes: Buffer = Buffer.alloc(0)
  #at = 0
  #end = 0
  #texts: string[] = []

  start(bytes: Buffer): void {
    this.#bytes = bytes
    this.#at = 0
    this.#end = bytes.length
    this.#texts.length = 0
  }

  /** @throws when bytes are left over */
  finish(): void {
    const at = this.leave()
    if (at !== this.#end) throw corrupt(`${this.#end - at} bytes too many`)
  }

  /** Ends the reading. @returns how many bytes were read */
  leave(): number {
    this.#texts.length = 0
    return this.#at
  }

  byte(): number {
    if (this.#at >= this.#end) throw corrupt('it ends too early')
    return this.#bytes[this.#at++]!
  }

  u16(): number {
    const low = this.byte()
    return low | (this.byte() << 8)
  }

  u32(): number {
    const low = this.u16()
    return this.u16() * 0x1_0000 + low
  }

  u48(): number {
    const bytes = this.#bytes
    const at = this.#at
    if (at + 6 > this.#end) throw corrupt('it ends too early')
    this.#at = at + 6
    const low = (bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24)) >>> 0
    return (bytes[at + 4]! | (bytes[at + 5]! << 8)) * 0x1_0000_0000 + low
  }

  float64(): number {
    if (this.#at + 8 > this.#end) throw corrupt('it ends too early')
    const value = this.#bytes.readDoubleLE(this.#at)
    this.#at += 8
    if (!Number.isFinite(value)) throw corrupt('a number is not finite')
    return value
  }

  varint(): number {
    const bytes = this.#bytes
    let at = this.#at
    const first = at < this.#end ? bytes[at++]! : this.byte()
    if (first < 128) {
      this.#at = at
      return first
    }
    let value = first & 127
    let factor = 128
    for (;;) {
      if (at >= this.#end) throw corrupt('it ends too early')
      const next = bytes[at++]!
      value += (next & 127) * factor
      if (next < 128) break
      factor *= 128
      if (factor > 2 ** 49) throw corrupt('an integer is too long')
    }
    if (value > Number.MAX_SAFE_INTEGER) throw corrupt('an integer is too large')
    this.#at = at
    return value
  }

  /** A varint that can't be more than `max`, or than the bytes that are left (each counted thing takes at least one). */
  count(max: number): number {
    const value = this.varint()
    if (value > max || value > this.#end - this.#at) throw corrupt(`a count of ${value} is impossible`)
    return value
  }

  number(): number {
    const token = this.varint()
    const form = token % 8
    if (form < 4) return unzigzag((token - form) / 8) / POWERS[form]!
    if (token === RAW) return this.float64()
    if (token === NONE) return Number.NaN
    throw corrupt('a number has an unknown form')
  }

  units(): number {
    const token = this.varint()
    const form = token % 8
    if (form < 4) return unzigzag((token - form) / 8) * POWERS[form]!
    if (token === RAW) return this.float64()
    throw corrupt('a number has an unknown form')
  }

  text(): string {
    const known = this.varint()
    if (known > 0) {
      const text = this.#texts[known - 1]
      if (text === undefined) throw corrupt('it refers to a text that it does not have')
      return text
    }
    const size = this.varint()
    const from = this.#at
    if (size > TEXT_BYTES_MAX || from + size > this.#end) throw corrupt('a text is too long')
    this.#at = from + size
    const text = this.#bytes.toString('utf8', from, from + size)
    // Bytes that are no UTF-8 become U+FFFD, which has another length: such a text could not be written again.
    if (Buffer.byteLength(text) !== size) throw corrupt('a text is not UTF-8')
    this.#texts.push(text)
    return text
  }
}

export function corrupt(what: string): Error {
  return new Error(`the packed state is corrupt: ${what}. Restore the key from a snapshot, or delete it and replay`)
}

function zigzag(value: number): number {
  return value >= 0 ? value * 2 : -value * 2 - 1
}

function unzigzag(code: number): number {
  return code % 2 === 0 ? code / 2 : -(code + 1) / 2
}

/** The longest prefix of whole code points within `TEXT_BYTES_MAX` bytes; lone surrogates become U+FFFD, as UTF-8 has none. */
export function boundText(value: string): string {
  const text = value.isWellFormed() ? value : value.toWellFormed()
  if (text.length * 3 <= TEXT_BYTES_MAX || Buffer.byteLength(text) <= TEXT_BYTES_MAX) return text
  let size = 0
  let length = 0
  for (const point of text) {
    size += Buffer.byteLength(point)
    if (size > TEXT_BYTES_MAX) break
    length += point.length
  }
  return text.slice(0, length)
}
