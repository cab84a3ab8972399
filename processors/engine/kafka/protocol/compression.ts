/**
 * Codecs of record batches. Reading knows all four, since other people's producers choose; writing knows those that Node
 * brings. Sizes are bounded, so that a small batch can't unpack into all memory.
 */
import { constants, gunzipSync, gzipSync, zstdCompressSync, zstdDecompressSync } from 'node:zlib'

export type Compression = 'none' | 'gzip' | 'zstd'

/** Codec number of the batch attributes' lowest three bits. */
export const CODEC = { none: 0, gzip: 1, snappy: 2, lz4: 3, zstd: 4 } as const

/** An unpacked batch may not be larger. */
const UNPACKED_BYTES_MAX = 256 * 1024 * 1024

export function compress(records: Buffer, compression: Compression): Buffer {
  switch (compression) {
    case 'none':
      return records
    case 'gzip':
      return gzipSync(records, { level: constants.Z_BEST_SPEED })
    case 'zstd':
      return zstdCompressSync(records)
  }
}

/** @throws Error for an unknown codec or damaged bytes */
export function decompress(packed: Buffer, codec: number): Buffer {
  switch (codec) {
    case CODEC.none:
      return packed
    case CODEC.gzip:
      return gunzipSync(packed, { maxOutputLength: UNPACKED_BYTES_MAX })
    case CODEC.snappy:
      return unpackSnappy(packed)
    case CODEC.lz4:
      return unpackLz4Frame(packed)
    case CODEC.zstd:
      return zstdDecompressSync(packed, { maxOutputLength: UNPACKED_BYTES_MAX })
    default:
      throw new Error(`unknown compression codec ${codec}`)
  }
}

const XERIAL_MAGIC = Buffer.from([0x82, 0x53, 0x4e, 0x41, 0x50, 0x50, 0x59, 0x00])
const XERIAL_HEADER_BYTES = 16

/** Raw Snappy, or the Java library's stream of length-prefixed raw blocks. */
function unpackSnappy(packed: Buffer): Buffer {
  if (!packed.subarray(0, XERIAL_MAGIC.length).equals(XERIAL_MAGIC)) return unpackSnappyBlock(packed)
  const blocks: Buffer[] = []
  let total = 0
  for (let at = XERIAL_HEADER_BYTES; at < packed.length; ) {
    const length = packed.readInt32BE(at)
    const block = unpackSnappyBlock(packed.subarray(at + 4, at + 4 + length))
    total = checkedSize(total + block.length)
    blocks.push(block)
    at += 4 + length
  }
  return Buffer.concat(blocks)
}

/** Source: google/snappy, format_description.txt */
function unpackSnappyBlock(packed: Buffer): Buffer {
  let at = 0
  let size = 0
  for (let shift = 0; ; shift += 7) {
    const byte = packed.readUInt8(at++)
    size += (byte & 0x7f) * 2 ** shift
    if (byte < 0x80) break
    if (shift > 28) throw new Error('damaged Snappy block: length')
  }
  const out = Buffer.allocUnsafe(checkedSize(size))
  let end = 0
  while (at < packed.length) {
    const tag = packed[at++]!
    const kind = tag & 3
    if (kind === 0) {
      let length = tag >> 2
      if (length >= 60) {
        const width = length - 59
        length = packed.readUIntLE(at, width)
        at += width
      }
      length += 1
      if (at + length > packed.length || end + length > size) throw new Error('damaged Snappy block: literal')
      packed.copy(out, end, at, at + length)
      at += length
      end += length
      continue
    }
    let length: number
    let distance: number
    if (kind === 1) {
      length = ((tag >> 2) & 7) + 4
      distance = ((tag >> 5) << 8) | packed.readUInt8(at)
      at += 1
    } else {
      length = (tag >> 2) + 1
      distance = kind === 2 ? packed.readUInt16LE(at) : packed.readUInt32LE(at)
      at += kind === 2 ? 2 : 4
    }
    end = repeat(out, end, distance, length, size)
  }
  if (end !== size) throw new Error('damaged Snappy block: size')
  return out
}

const LZ4_MAGIC = 0x184d2204

/** Source: lz4/lz4, doc/lz4_Frame_format.md. Checksums are left to the batch's CRC. */
function unpackLz4Frame(packed: Buffer): Buffer {
  if (packed.readUInt32LE(0) !== LZ4_MAGIC) throw new Error('damaged LZ4 frame: magic number')
  const flags = packed.readUInt8(4)
  const hasContentSize = (flags & 0x08) !== 0
  const hasBlockChecksum = (flags & 0x10) !== 0
  const hasDictionary = (flags & 0x01) !== 0
  let at = 7 + (hasContentSize ? 8 : 0) + (hasDictionary ? 4 : 0)
  // Blocks may refer to the 64 KiB before them, so all go into one growing buffer.
  let out: Buffer = Buffer.allocUnsafe(Math.min(UNPACKED_BYTES_MAX, Math.max(65_536, packed.length * 4)))
  let end = 0
  for (;;) {
    const head = packed.readUInt32LE(at)
    at += 4
    if (head === 0) return out.subarray(0, end)
    const length = head & 0x7fffffff
    const block = packed.subarray(at, at + length)
    if (block.length < length) throw new Error('damaged LZ4 frame: block')
    at += length + (hasBlockChecksum ? 4 : 0)
    const bound = end + (head >>> 31 === 1 ? length : length * 255)
    if (bound > out.length) out = grown(out, end, bound)
    if (head >>> 31 === 1) end += block.copy(out, end)
    else end = unpackLz4Block(block, out, end)
  }
}

/** Source: lz4/lz4, doc/lz4_Block_format.md. @returns end of the unpacked bytes */
function unpackLz4Block(block: Buffer, out: Buffer, start: number): number {
  let at = 0
  let end = start
  const lengthFrom = (nibble: number): number => {
    let length = nibble
    if (nibble !== 15) return length
    for (let byte = 255; byte === 255; ) {
      byte = block.readUInt8(at++)
      length += byte
    }
    return length
  }
  while (at < block.length) {
    const token = block[at++]!
    const literal = lengthFrom(token >> 4)
    if (at + literal > block.length || end + literal > out.length) throw new Error('damaged LZ4 block: literal')
    block.copy(out, end, at, at + literal)
    at += literal
    end += literal
    if (at >= block.length) return end
    const distance = block.readUInt16LE(at)
    at += 2
    end = repeat(out, end, distance, lengthFrom(token & 15) + 4, out.length)
  }
  return end
}

/** Copies `length` bytes from `distance` before `end`, which may overlap what is being written. */
function repeat(out: Buffer, end: number, distance: number, length: number, size: number): number {
  if (distance === 0 || distance > end || end + length > size) throw new Error('damaged block: reference')
  if (distance >= length) return end + out.copy(out, end, end - distance, end - distance + length)
  for (let i = 0; i < length; i++) out[end + i] = out[end + i - distance]!
  return end + length
}

function grown(out: Buffer, end: number, wanted: number): Buffer {
  const larger = Buffer.allocUnsafe(Math.max(checkedSize(Math.min(wanted, UNPACKED_BYTES_MAX)), out.length))
  out.copy(larger, 0, 0, end)
  return larger
}

function checkedSize(size: number): number {
  if (size > UNPACKED_BYTES_MAX) throw new Error(`a compressed batch is larger than ${UNPACKED_BYTES_MAX} bytes`)
  return size
}
