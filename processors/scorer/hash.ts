const encoder = new TextEncoder()
/** Texts up to a third of this are encoded here, without an allocation for each event: 0.06 µs instead of 0.28. */
const scratch = new Uint8Array(1_536)

/**
 * A uniform number in [0, 1) that depends only on the text: MurmurHash3 x86 32-bit (seed 0) of its UTF-8 bytes, / 2^32.
 * Any language can repeat it. Salt the text by purpose: the same hash for arms and for sampling would correlate them.
 * Source: MurmurHash3.cpp of Austin Appleby, public domain
 */
export function unitHash(text: string): number {
  if (text.length * 3 > scratch.length) return murmur3(encoder.encode(text)) / 4_294_967_296
  const { written } = encoder.encodeInto(text, scratch)
  return murmur3(scratch, written) / 4_294_967_296
}

/**
 * @param length bytes to hash, from the first
 * @returns unsigned 32-bit
 */
export function murmur3(bytes: Uint8Array, length = bytes.length): number {
  let hash = 0
  const whole = length & ~3
  for (let i = 0; i < whole; i += 4) {
    const word =
      (bytes[i] as number) |
      ((bytes[i + 1] as number) << 8) |
      ((bytes[i + 2] as number) << 16) |
      ((bytes[i + 3] as number) << 24)
    hash ^= scramble(word)
    hash = (hash << 13) | (hash >>> 19)
    hash = (Math.imul(hash, 5) + 0xe6546b64) | 0
  }
  let tail = 0
  for (let i = length - 1; i >= whole; i--) tail = (tail << 8) | (bytes[i] as number)
  if (length > whole) hash ^= scramble(tail)
  hash ^= length
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b)
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35)
  return (hash ^ (hash >>> 16)) >>> 0
}

function scramble(word: number): number {
  const mixed = Math.imul(word, 0xcc9e2d51)
  return Math.imul((mixed << 15) | (mixed >>> 17), 0x1b873593)
}
