/** Quality over labels: of a learner and of the models that it is compared with. */
import { Chart, type Line } from '../chart.tsx'
import { number } from '../format.ts'
import type { Learner } from '../types.ts'
import { Empty } from '../ui.tsx'

const COLOURS = ['--accent', '--warn', '--good', '--bad', '--soft'] as const
const MEASURES = [
  ['logLoss', 'Log loss (lower is better)'],
  ['auc', 'AUC (higher is better)'],
  ['rmse', 'RMSE (lower is better)'],
] as const

/** @param isShown of a model, by its name in the curve; absent: all */
export function Curves({ of: { curve }, isShown = () => true }: { of: Learner; isShown?: (model: string) => boolean }) {
  const models = [...new Set(curve.flatMap(({ models: at }) => Object.keys(at)))]
    .filter(isShown)
    .slice(0, COLOURS.length)
  const charts = MEASURES.flatMap(([measure, title]) => {
    const lines: Line[] = models.map((model, index) => ({
      name: model,
      color: COLOURS[index] ?? '--soft',
      isDashed: index > 0,
      values: curve.map(({ models: at }) => at[model]?.[measure] ?? null),
    }))
    const shown = lines.filter(({ values }) => values.some((value) => value !== null))
    return shown.length === 0 ? [] : [{ measure, title, lines: shown }]
  })
  if (charts.length === 0) return <Empty title="No curve yet.">The first points appear with the first labels.</Empty>
  return (
    <div class="charts">
      {charts.map(({ measure, title, lines }) => (
        <Chart
          key={measure}
          label={title}
          x={curve.map(({ labels }) => labels)}
          lines={lines}
          format={number}
          isTime={false}
          isTight
        />
      ))}
    </div>
  )
}
