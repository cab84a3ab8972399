/** Lines over time by uPlot, in the colours of the page; and bars of a distribution. */
import { useEffect, useRef } from 'preact/hooks'
import uPlot from 'uplot'
import 'uplot/dist/uPlot.min.css'
import { count, number } from './format.ts'
import { isDark } from './theme.ts'
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
  /** The scale begins at the least value instead of 0. */
  readonly isTight?: boolean
}

const timeOfDay = (seconds: number) => new Date(seconds * 1_000).toLocaleTimeString('en-GB')

/** A canvas knows no light-dark(): the colour as the browser computes it. */
function colorOf(name: string): string {
  const probe = document.createElement('i')
  probe.style.color = `var(${name})`
  document.body.append(probe)
  const { color } = getComputedStyle(probe)
  probe.remove()
  return color
}

export function Chart({ label, x, lines, format, isTime = true, height = 160, isTight = false }: ChartProps) {
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
        scales: { x: { time: isTime }, y: { range: (_chart, min, max) => rangeOf(min, max, isTight) } },
        axes: [
          {
            ...axis,
            size: 28,
            space: 80,
            values: (_chart, ticks) => ticks.map((tick) => (isTime ? timeOfDay(tick) : count(tick))),
          },
          { ...axis, size: 62, values: (_chart, ticks) => ticks.map((tick) => format(tick)) },
        ],
        series: [
          {},
          ...lines.map(({ name, color, isDashed }) => ({
            label: name,
            stroke: colorOf(color),
            width: 1.5,
            // A line of one point is none.
            points: {
              show: (chart: uPlot, line: number) => [...(chart.data[line] ?? [])].filter((it) => it != null).length < 3,
            },
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
  }, [names, isDark.value, height, isTime, isTight])
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

function rangeOf(min: number | null, max: number | null, isTight: boolean): [number, number] {
  if (min === null || max === null) return [0, 1]
  const room = (max - min || Math.abs(max) || 1) * 0.1
  return isTight ? [min - room, max + room] : [Math.min(0, min), max > 0 ? max * 1.1 : 1]
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
      {bars.map(({ from, to, count: times }, index) => {
        const height = times === 0 ? 0 : Math.max(0.6, (30 * times) / highest)
        return (
          <rect key={from} x={index * width + 0.3} y={32 - height} width={Math.max(0.5, width - 0.6)} height={height}>
            <title>{`${number(from)} to ${number(to)}: ${times}`}</title>
          </rect>
        )
      })}
    </svg>
  )
}
