/**
 * Reads zip files with bounds: entries that are stored or deflated, no encryption, no zip64, one disk.
 * Source: PKWARE APPNOTE.TXT 6.3.10, sections 4.3.7, 4.3.12, 4.3.16.
 */
import { crc32, inflateRawSync } from 'node:zlib'

export interface ZipLimits {
  readonly maxEntries: number
  /** Of one entry, inflated. */
  readonly maxEntryBytes: number
  /** Of all entries, inflated. */
  readonly maxTotalBytes: number
}

/** The file is no zip, is cut, or breaks a bound. The message says what and, for an entry, which. */
export class ZipProblem extends Error {}

const END = 0x06054b50
const CENTRAL = 0x02014b50
const LOCAL = 0x04034b50
const END_BYTES = 22
const MAX_COMMENT = 65_535

export const isZip = (bytes: Uint8Array): boolean =>
  bytes.length >= 4 && bytes[0] === 0x50 && bytes[1] === 0x4b && bytes[2] === 3 && bytes[3] === 4

/** @throws ZipProblem */
export function readZip(bytes: Uint8Array, limits: ZipLimits): Map<string, Uint8Array> {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const end = endOf(view)
  const count = view.getUint16(end + 10, true)
  const directory = view.getUint32(end + 16, true)
  if (count === 0xffff || directory === 0xffffffff)
    throw new ZipProblem('zip64 is not read: write it with less than 65535 entries and 4 GiB')
  if (count > limits.maxEntries) throw new ZipProblem(`has ${count} entries, the limit is ${limits.maxEntries}`)
  const entries = new Map<string, Uint8Array>()
  let total = 0
  let at = directory
  for (let index = 0; index < count; index++) {
    if (at + 46 > end || view.getUint32(at, true) !== CENTRAL)
      throw new ZipProblem(`the directory is damaged at entry ${index + 1}`)
    const nameBytes = view.getUint16(at + 28, true)
    const name = nameOf(bytes.subarray(at + 46, at + 46 + nameBytes), index)
    const data = entry(bytes, view, at, end, name, limits)
    total += data.length
    if (total > limits.maxTotalBytes)
      throw new ZipProblem(`its entries have more than ${limits.maxTotalBytes} bytes together`)
    if (entries.has(name)) throw new ZipProblem(`entry ${JSON.stringify(name)} stands twice`)
    if (!name.endsWith('/')) entries.set(name, data)
    at += 46 + nameBytes + view.getUint16(at + 30, true) + view.getUint16(at + 32, true)
  }
  return entries
}

function endOf(view: DataView): number {
  const first = Math.max(0, view.byteLength - END_BYTES - MAX_COMMENT)
  for (let at = view.byteLength - END_BYTES; at >= first; at--) {
    if (view.getUint32(at, true) === END && at + END_BYTES + view.getUint16(at + 20, true) === view.byteLength) {
      if (view.getUint16(at + 4, true) !== 0 || view.getUint16(at + 6, true) !== 0)
        throw new ZipProblem('spans several disks')
      return at
    }
  }
  throw new ZipProblem('is no zip file, or is cut: it has no end of the directory')
}

/** Names are looked up, never written to a disk; one that points elsewhere is refused all the same. */
function nameOf(bytes: Uint8Array, index: number): string {
  let name: string
  try {
    name = new TextDecoder('utf-8', { fatal: true }).decode(bytes)
  } catch {
    throw new ZipProblem(`the name of entry ${index + 1} is no UTF-8`)
  }
  const isPlain = name.length > 0 && name.length <= 512 && !/[\\:\0]/.test(name) && !name.startsWith('/')
  if (!isPlain || name.split('/').some((it) => it === '..' || it === '.'))
    throw new ZipProblem(`entry ${JSON.stringify(name.slice(0, 100))} has a name that leads out of the file`)
  return name
}

function entry(
  bytes: Uint8Array,
  view: DataView,
  at: number,
  end: number,
  name: string,
  limits: ZipLimits,
): Uint8Array {
  const place = `entry ${JSON.stringify(name)}`
  const flags = view.getUint16(at + 8, true)
  const method = view.getUint16(at + 10, true)
  const crc = view.getUint32(at + 16, true)
  const packed = view.getUint32(at + 20, true)
  const size = view.getUint32(at + 24, true)
  const local = view.getUint32(at + 42, true)
  if (flags & 1) throw new ZipProblem(`${place} is encrypted`)
  if (packed === 0xffffffff || size === 0xffffffff || local === 0xffffffff)
    throw new ZipProblem(`${place} is zip64, which is not read`)
  if (size > limits.maxEntryBytes)
    throw new ZipProblem(`${place} has ${size} bytes, the limit is ${limits.maxEntryBytes}`)
  if (local + 30 > end || view.getUint32(local, true) !== LOCAL)
    throw new ZipProblem(`${place} isn't where the directory says`)
  const from = local + 30 + view.getUint16(local + 26, true) + view.getUint16(local + 28, true)
  if (from + packed > end) throw new ZipProblem(`${place} is cut`)
  const data = unpack(bytes.subarray(from, from + packed), method, size, place)
  if (data.length !== size || crc32(data) !== crc) throw new ZipProblem(`${place} is damaged: size or checksum differ`)
  return data
}

function unpack(packed: Uint8Array, method: number, size: number, place: string): Uint8Array {
  if (method === 0) return packed
  if (method !== 8)
    throw new ZipProblem(`${place} is packed by method ${method}; only stored (0) and deflate (8) are read`)
  try {
    // Inflating stops at the size that the directory declared: what claims to be small can't grow.
    return inflateRawSync(packed, { maxOutputLength: Math.max(1, size) })
  } catch (error) {
    throw new ZipProblem(`${place} can't be inflated to its ${size} bytes: ${(error as Error).message}`)
  }
}
