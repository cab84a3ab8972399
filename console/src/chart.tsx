/** Lines over time by uPlot, in the colours of the page; and bars of a distribution. */
import { useEffect, useRef } from 'preact/hooks'
import uPlot from 'uplot'
import 'uplot/dist/uPlot.min.css'
import { number } from './format.ts'
import { theme } from './theme.ts'
import type { Distribution } from './types.ts'

export interface Line {
  readonly name: string
  /** `--accent`, … */
  readonly color: string
  readonly values: readonly (number | null)[]
  readonly isDashed?: boolean
}

interface ChartProps {
  readonly label: string
  /** Seconds since 1970, or counts where `isTime` is false; rising. */
  readonly x: readonly number[]
  readonly lines: readonly Line[]
  readonly format: (value: number | null) => string
  readonly isTime?: boolean
  readonly height?: number
}

const colorOf = (name: string) => getComputedStyle(document.documentElement).getPropertyValue(name).trim()

export function Chart({ label, x, lines, format, isTime = true, height = 160 }: ChartProps) {
  const place = useRef<HTMLDivElement>(null)
  const chart = useRef<uPlot>(null)
  const names = lines.map(({ name }) => name).join('\n')
  // Made again when its lines or the colours change, fed below
  useEffect(() => {
    const box = place.current
    if (!box) return
    const axis: uPlot.Axis = {
      stroke: colorOf('--soft'),
      grid: { stroke: colorOf('--line'), width: 1 },
      ticks: { show: false },
      font: '12px system-ui, sans-serif',
    }
    const made = new uPlot(
      {
        width: Math.max(120, box.clientWidth),
        height,
        legend: { show: false },
        cursor: { drag: { x: false, y: false }, points: { size: 6 } },
        scales: { x: { time: isTime }, y: { range: (_chart, _min, max) => [0, max > 0 ? max * 1.1 : 1] } },
        axes: [
          { ...axis, size: 28 },
          { ...axis, size: 62, values: (_chart, ticks) => ticks.map((tick) => format(tick)) },
        ],
        series: [
          {},
          ...lines.map(({ name, color, isDashed }) => ({
            label: name,
            stroke: colorOf(color),
            width: 1.5,
            points: { show: false },
            ...(isDashed ? { dash: [4, 4] } : {}),
          })),
        ],
      },
      dataOf(x, lines),
      box,
    )
    chart.current = made
    const resized = new ResizeObserver(() => made.setSize({ width: Math.max(120, box.clientWidth), height }))
    resized.observe(box)
    return () => {
      resized.disconnect()
      made.destroy()
    }
  }, [names, theme.value, height, isTime])
  useEffect(() => chart.current?.setData(dataOf(x, lines)), [x, lines])
  return (
    <figure class="chart">
      <figcaption>
        <span>{label}</span>
        <span class="legend">
          {lines.map(({ name, color, values, isDashed }) => (
            <span key={name}>
              <i class={isDashed ? 'dashed' : undefined} style={{ borderColor: `var(${color})` }} aria-hidden="true" />
              {name} <b>{format(values.findLast((value) => value !== null) ?? null)}</b>
            </span>
          ))}
        </span>
      </figcaption>
      <div ref={place} aria-hidden="true" />
    </figure>
  )
}

const dataOf = (x: readonly number[], lines: readonly Line[]): uPlot.AlignedData => [
  [...x],
  ...lines.map(({ values }) => [...values]),
]

/** Bars of equal width; each says its range and count on hover. */
export function Histogram({ bars, label }: { bars: Distribution['histogram']; label: string }) {
  const highest = Math.max(1, ...bars.map((bar) => bar.count))
  const width = 100 / bars.length
  return (
    <svg class="histogram" viewBox="0 0 100 32" preserveAspectRatio="none" role="img" aria-label={label}>
      {bars.map(({ from, to, count }, index) => {
        const height = count === 0 ? 0 : Math.max(0.6, (30 * count) / highest)
        return (
          <rect key={from} x={index * width + 0.3} y={32 - height} width={Math.max(0.5, width - 0.6)} height={height}>
            <title>{`${number(from)} to ${number(to)}: ${count}`}</title>
          </rect>
        )
      })}
    </svg>
  )
}
