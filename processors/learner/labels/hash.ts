/** FNV-1a with a final mix (murmur3's): a text as a number in [0, 1), the same on every run and machine. */
export function unitHash(text: string, seed = 0): number {
  let h = (2_166_136_261 ^ seed) >>> 0
  for (let i = 0; i < text.length; i++) h = Math.imul(h ^ text.charCodeAt(i), 16_777_619)
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b)
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35)
  return ((h ^ (h >>> 16)) >>> 0) / 4_294_967_296
}
