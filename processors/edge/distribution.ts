/** What a column of served vectors looks like: exact over a bounded sample. Pure. */
export interface Distribution {
  readonly rows: number
  readonly missing: number
  readonly min: number | null
  readonly max: number | null
  readonly mean: number | null
  readonly quantiles: Record<string, number>
  readonly histogram: { from: number; to: number; count: number }[]
  readonly top: { value: string; count: number }[]
}

const QUANTILES = [0.01, 0.25, 0.5, 0.75, 0.99]
const BINS = 24
const TOP = 10
const TEXT_CHARS = 120

/** @param values NaN: missing; not changed */
export function distributionOfNumbers(values: Float64Array): Distribution {
  const known = values.filter((value) => !Number.isNaN(value)).sort()
  const [min, max] = [known[0], known.at(-1)]
  if (min === undefined || max === undefined) return { ...NOTHING, rows: values.length, missing: values.length }
  return {
    ...NOTHING,
    rows: values.length,
    missing: values.length - known.length,
    min,
    max,
    mean: known.reduce((sum, value) => sum + value / known.length, 0),
    quantiles: Object.fromEntries(QUANTILES.map((q) => [`p${q * 100}`, quantile(known, q)])),
    histogram: histogramOf(known, min, max),
  }
}

/** @param values '': missing */
export function distributionOfTexts(values: readonly string[]): Distribution {
  const counts = new Map<string, number>()
  let missing = 0
  for (const value of values) {
    if (value === '') missing++
    else counts.set(value, (counts.get(value) ?? 0) + 1)
  }
  const top = [...counts]
    .sort(([a, m], [b, n]) => n - m || (a < b ? -1 : 1))
    .slice(0, TOP)
    .map(([value, count]) => ({ value: value.slice(0, TEXT_CHARS), count }))
  return { ...NOTHING, rows: values.length, missing, top }
}

const NOTHING: Distribution = {
  rows: 0,
  missing: 0,
  min: null,
  max: null,
  mean: null,
  quantiles: {},
  histogram: [],
  top: [],
}

/** The smallest value with at least `q` of the sorted values at or below it. */
const quantile = (sorted: Float64Array, q: number): number =>
  sorted[Math.max(0, Math.ceil(q * sorted.length) - 1)] as number

/** Equal bins. Few whole numbers get a bin each, so that counts look like counts. */
function histogramOf(sorted: Float64Array, min: number, max: number): Distribution['histogram'] {
  if (min === max || !Number.isFinite(max - min)) return [{ from: min, to: max, count: sorted.length }]
  const isWhole = sorted.every(Number.isInteger) && max - min < BINS
  const [low, bins] = isWhole ? [min - 0.5, max - min + 1] : [min, BINS]
  const width = isWhole ? 1 : (max - min) / BINS
  const histogram = Array.from({ length: bins }, (_, bin) => ({
    from: low + bin * width,
    to: low + (bin + 1) * width,
    count: 0,
  }))
  for (const value of sorted) histogram[Math.min(bins - 1, Math.floor((value - low) / width))]!.count++
  return histogram
}
