/** A point of a measured line: minutes, and a value. */
export type Point = readonly [minutes: number, value: number]

/** Least squares: what a value grows by in a minute. 0 with fewer than two points. */
export function slopeOf(points: readonly Point[]): number {
  const count = points.length
  const meanX = points.reduce((sum, [x]) => sum + x, 0) / count
  const meanY = points.reduce((sum, [, y]) => sum + y, 0) / count
  const covariance = points.reduce((sum, [x, y]) => sum + (x - meanX) * (y - meanY), 0)
  const variance = points.reduce((sum, [x]) => sum + (x - meanX) ** 2, 0)
  return variance > 0 ? covariance / variance : 0
}
