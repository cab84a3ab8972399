import type { Baseline } from './j1/baseline.part.ts'
import type { Checked } from './j1/check.part.ts'
import type { Latency } from './j1/latency.ts'
import type { StateSize } from './j1/state.part.ts'
import type { Throughput } from './j1/worker.part.ts'
import type { ProfileSummary } from './profile.ts'

export type Delivery = 'exactly-once' | 'at-least-once'

/** What a run has measured; absent where a part was not run. */
export interface Figures {
  readonly engine: 'embedded' | 'kafka'
  readonly throughput: Throughput | undefined
  readonly profile: ProfileSummary | undefined
  readonly checked: Checked | undefined
  readonly state: StateSize | undefined
  readonly latencies: Partial<Readonly<Record<Delivery, Latency>>>
  /** Events a second of the latency runs. */
  readonly rate: number | undefined
  readonly baselines: readonly Baseline[]
}

/** The line that machines read. Latencies are those of exactly-once; a figure that was not measured is null. */
export function jsonOf({ throughput, checked, state, latencies }: Figures): Record<string, unknown> {
  const latency = latencies['exactly-once']
  return {
    eventsPerSecond: rounded(throughput && rateOf(throughput), 0),
    p50Ms: rounded(latency?.p50Ms, 2),
    p99Ms: rounded(latency?.p99Ms, 2),
    cpuSecondsPerMillion: rounded(throughput && cpuOf(throughput), 2),
    peakRssMb: rounded(throughput?.peakRssMb, 0),
    stateBytesPerProfile: rounded(state?.storedBytes, 0),
    checked: checked?.checked ?? null,
    wrong: checked?.wrong ?? null,
    stages: throughput
      ? Object.fromEntries(Object.entries(throughput.stages).map(([step, micros]) => [step, rounded(micros, 2)]))
      : null,
  }
}

const rounded = (value: number | undefined, digits: number): number | null =>
  value === undefined ? null : Number(value.toFixed(digits))

const rateOf = ({ events, seconds }: Throughput): number => events / seconds
/** CPU seconds per million events = microseconds an event. */
const cpuOf = ({ events, cpuSeconds }: Throughput): number => (cpuSeconds * 1e6) / events

interface Line {
  readonly what: string
  readonly value: string
  readonly beside?: string
}

const TARGETS = {
  embedded: { rate: 60_000, p99: { 'exactly-once': 40, 'at-least-once': 15 } },
  kafka: { rate: 40_000, p99: { 'exactly-once': 40, 'at-least-once': 15 } },
} as const
const STATE_TARGET_BYTES = 330
const RSS_TARGET_MB = 300

/** The table that people read. */
export function tableOf(figures: Figures): string {
  const { engine, throughput, profile, checked, state, latencies, rate, baselines } = figures
  const targets = TARGETS[engine]
  const lines: Line[] = []
  const add = (what: string, value: string, beside = '') => lines.push({ what, value, beside })
  if (throughput) {
    const speed = rateOf(throughput)
    add('events/s', thousands(speed), `target ${thousands(targets.rate)}: ${ratio(speed, targets.rate)}`)
    const cpu = cpuOf(throughput)
    add('CPU, µs an event', cpu.toFixed(1), `= CPU seconds per million; ${thousands(1e6 / cpu)} events/s a core`)
    const main = (throughput.mainSeconds * 1e6) / throughput.events
    add('  of it main thread', main.toFixed(1), `${thousands(1e6 / main)} events/s when the other threads have a core`)
    add('peak resident, MB', throughput.peakRssMb.toFixed(0), `target ${RSS_TARGET_MB}; mapped files included`)
    add('  without mapped files', throughput.peakOwnMb.toFixed(0))
    for (const { name, eventsPerSecond, cpuMicrosPerEvent } of baselines) {
      const text = `${cpuMicrosPerEvent.toFixed(1)} µs CPU an event: rtml takes ${ratio(cpu, cpuMicrosPerEvent)}`
      add(name, thousands(eventsPerSecond), text)
    }
    add('events a batch', throughput.eventsPerBatch.toFixed(0))
    for (const [step, micros] of Object.entries(throughput.stages))
      add(`step ${step}, µs an event`, micros.toFixed(2), 'elapsed, waiting included')
  } else
    for (const { name, eventsPerSecond, cpuMicrosPerEvent } of baselines)
      add(name, thousands(eventsPerSecond), `${cpuMicrosPerEvent.toFixed(1)} µs CPU an event`)
  for (const [mode, latency] of Object.entries(latencies) as [Delivery, Latency][]) {
    const { p50Ms, p99Ms, p999Ms, maxMs, events, missing } = latency
    const text = `p99.9 ${p999Ms.toFixed(1)}, max ${maxMs.toFixed(0)}; ${thousands(events)} events at ${thousands(rate ?? 0)}/s, ${missing} missing`
    add(`p50 ms, ${mode}`, p50Ms.toFixed(1), text)
    add(`p99 ms, ${mode}`, p99Ms.toFixed(1), `target ${targets.p99[mode]}`)
  }
  if (state) {
    const text = `target ${STATE_TARGET_BYTES}; ${state.packedBytes.toFixed(0)} packed, ${thousands(state.profiles)} profiles`
    add('state, bytes a profile', state.storedBytes.toFixed(0), text)
  }
  if (checked) {
    const text = `by the slow reference too: ${thousands(checked.byReference)}; by the model again: ${thousands(checked.byModel)}`
    add('ids checked', thousands(checked.checked), text)
    add('wrong', String(checked.wrong), checked.examples.join('\n'))
  }
  for (const [folder, micros] of Object.entries(profile?.microsByPlace ?? {}))
    add(`profile ${folder}`, `${((micros / (profile?.totalMicros ?? 1)) * 100).toFixed(1)} %`, 'of the main thread')
  return printed(`job J1, ${engine} engine`, lines)
}

function printed(title: string, lines: readonly Line[]): string {
  const wide = Math.max(...lines.map(({ what }) => what.length))
  const long = Math.max(...lines.map(({ value }) => value.length))
  const rows = lines.map(({ what, value, beside = '' }) =>
    `${what.padEnd(wide)}  ${value.padStart(long)}  ${beside}`.trimEnd(),
  )
  return `${title}\n${rows.join('\n')}\n`
}

const thousands = (value: number): string => Math.round(value).toLocaleString('en-US')
const ratio = (value: number, of: number): string => `${(value / of).toFixed(2)} ×`
