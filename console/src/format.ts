/** Numbers, durations and times as people read them. */
const whole = new Intl.NumberFormat('en', { maximumFractionDigits: 0 })
const compacted = new Intl.NumberFormat('en', { notation: 'compact', maximumSignificantDigits: 3 })
const tenth = new Intl.NumberFormat('en', { maximumFractionDigits: 1 })
const significant = new Intl.NumberFormat('en', { maximumSignificantDigits: 4 })

export const NONE = '–'

export const count = (value: number | null | undefined): string => (value == null ? NONE : whole.format(value))

export function compact(value: number | null | undefined): string {
  if (value == null) return NONE
  return Math.abs(value) < 10_000 ? whole.format(value) : compacted.format(value)
}

/** Any number, four significant digits. */
export function number(value: number | string | null | undefined): string {
  if (value == null) return NONE
  return typeof value === 'string' ? value : significant.format(value)
}

export const signed = (value: number): string => `${value < 0 ? '−' : '+'}${Math.abs(value).toFixed(4)}`

export function rate(hertz: number | null | undefined): string {
  if (hertz == null) return NONE
  return `${hertz < 10 && hertz > 0 ? hertz.toFixed(1) : compact(Math.round(hertz))}/s`
}

export function milliseconds(value: number | null | undefined): string {
  if (value == null) return NONE
  if (value < 1) return `${value.toFixed(2)} ms`
  if (value < 1_000) return `${value < 100 ? value.toFixed(1) : Math.round(value)} ms`
  return duration(value)
}

const UNITS: readonly [number, string][] = [
  [31_557_600_000, 'y'],
  [86_400_000, 'd'],
  [3_600_000, 'h'],
  [60_000, 'min'],
  [1_000, 's'],
]

/** The two largest units of a duration: `3 d 4 h`. */
export function duration(ms: number | null | undefined): string {
  if (ms == null) return NONE
  if (ms < 1_000) return `${Math.round(ms)} ms`
  const at = UNITS.findIndex(([size]) => ms >= size)
  const [size, name] = UNITS[at] as [number, string]
  const first = Math.floor(ms / size)
  const next = UNITS[at + 1]
  const rest = next ? Math.floor((ms - first * size) / next[0]) : 0
  return rest > 0 && first < 10 ? `${first} ${name} ${rest} ${next?.[1]}` : `${whole.format(first)} ${name}`
}

export const ago = (at: number, now: number): string => {
  const ms = now - at
  if (ms < -1_500) return `in ${duration(-ms)}`
  return ms < 1_500 ? 'now' : `${duration(ms)} ago`
}

export function bytes(value: number | null | undefined): string {
  if (value == null) return NONE
  if (value < 1_024) return `${value} B`
  return value < 1_048_576 ? `${(value / 1_024).toFixed(1)} KiB` : `${(value / 1_048_576).toFixed(1)} MiB`
}

export const percent = (part: number, all: number): string =>
  all === 0 ? NONE : `${tenth.format((100 * part) / all)} %`

/** Base64 → text, or undefined when the bytes are no UTF-8. */
export function textOf(base64: string): string | undefined {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(Uint8Array.from(atob(base64), (it) => it.charCodeAt(0)))
  } catch {
    return undefined
  }
}

export function base64Of(text: string): string {
  const encoded = new TextEncoder().encode(text)
  return btoa(Array.from(encoded, (byte) => String.fromCharCode(byte)).join(''))
}

/** JSON with two spaces, or the text as it is. */
export function pretty(text: string): string {
  try {
    return JSON.stringify(JSON.parse(text), null, 2)
  } catch {
    return text
  }
}
