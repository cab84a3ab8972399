/** The learning curve: figures along the labels, in bounded memory. The distance of the points doubles when there are too many. */
import type { EpochMs } from '../../app/units.ts'
import { known, type Standing } from './standing.ts'

export interface LearningPoint {
  readonly labels: number
  readonly at: EpochMs
  /** By model; of the last labels. */
  readonly models: Readonly<
    Record<string, { readonly logLoss: number | null; readonly auc: number | null; readonly rmse: number | null }>
  >
}

export interface CurveState {
  readonly stride: number
  readonly points: readonly LearningPoint[]
}

const POINTS_MAX = 60
export const NEW_CURVE: CurveState = { stride: 50, points: [] }

/** To be called after each label. */
export function mark(
  curve: CurveState,
  labels: number,
  at: EpochMs,
  standings: ReadonlyMap<string, Standing>,
): CurveState {
  if (labels % curve.stride !== 0) return curve
  const models = Object.fromEntries(
    [...standings].map(([name, standing]) => {
      const { logLoss, auc, rmse } = standing.figures()
      return [name, { logLoss: known(logLoss ?? Number.NaN), auc, rmse }]
    }),
  )
  const points = [...curve.points, { labels, at, models }]
  if (points.length < POINTS_MAX) return { stride: curve.stride, points }
  const stride = curve.stride * 2
  return { stride, points: points.filter((it) => it.labels % stride === 0) }
}
