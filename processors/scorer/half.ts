/** float16 as the raw 16-bit words that tensors carry (IEEE 754 binary16). */

const float = new Float32Array(1)
const word = new Uint32Array(float.buffer)

/** Rounds to nearest, ties to even, as the runtime's own cast does. Beyond 65504: infinity. */
export function toHalf(value: number): number {
  float[0] = value
  const bits = word[0] as number
  const sign = (bits >>> 16) & 0x8000
  const magnitude = bits & 0x7fffffff
  if (magnitude > 0x7f800000) return sign | 0x7e00
  if (magnitude >= 0x47800000) return sign | 0x7c00
  if (magnitude >= 0x38800000) return sign | roundShift(magnitude - 0x38000000, 13)
  // Subnormal: the implicit one becomes explicit and moves right with the missing exponent.
  const shift = 126 - (magnitude >>> 23)
  return shift > 24 ? sign : sign | roundShift((magnitude & 0x7fffff) | 0x800000, shift)
}

function roundShift(value: number, shift: number): number {
  const half = 2 ** (shift - 1)
  const rest = value % (half * 2)
  const floor = (value - rest) / (half * 2)
  return rest > half || (rest === half && floor % 2 === 1) ? floor + 1 : floor
}

export function fromHalf(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1
  const exponent = (bits >>> 10) & 0x1f
  const fraction = bits & 0x3ff
  if (exponent === 0x1f) return fraction ? Number.NaN : sign * Number.POSITIVE_INFINITY
  return exponent === 0 ? sign * fraction * 2 ** -24 : sign * (1 + fraction / 1_024) * 2 ** (exponent - 15)
}
