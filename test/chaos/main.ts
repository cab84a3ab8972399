/** `npm run chaos -- --help` */
import { parseArgs } from 'node:util'
import { localProcessesUnavailable } from '../services/harness.ts'
import { type ChaosReport, isClean, runChaos } from './run.ts'

const HELP = `usage: npm run chaos -- [options]

Runs the program on a real broker, Redis and registry of its own, under load, and breaks things; then compares what was
written with a single-threaded reference. docs/chaos.md explains the report.

  --minutes M     how long faults are injected (default 2)
  --seed S        of events and faults (default: another one each time; it is printed)
  --rate R        raw events a second (default 400)
  --json          one line of JSON on standard output; progress goes to standard error
`

await main().catch((error: unknown) => {
  process.stderr.write(`${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`)
  process.exitCode = 1
})

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      minutes: { type: 'string', default: '2' },
      seed: { type: 'string' },
      rate: { type: 'string', default: '400' },
      json: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  })
  if (values.help) {
    process.stdout.write(HELP)
    return
  }
  const minutes = number('minutes', values.minutes, 0.5, 24 * 60)
  const seed = values.seed === undefined ? Date.now() % 1_000_000 : number('seed', values.seed, 0, 2 ** 32 - 1)
  const perSecond = number('rate', values.rate, 25, 20_000)
  if (localProcessesUnavailable()) {
    process.exitCode = 1
    return
  }
  const started = performance.now()
  const tell = (text: string) => {
    process.stderr.write(`${((performance.now() - started) / 1_000).toFixed(1).padStart(7)} s  ${text}\n`)
  }
  const report = await runChaos({ minutes, seed, perSecond, tell })
  const text = values.json ? `${JSON.stringify(report)}\n` : textOf(report)
  // After long runs, sockets of kafkajs' own clients are left over, which nobody can close any more.
  process.stdout.write(text, () => process.exit(isClean(report) ? 0 : 1))
}

function number(name: string, text: string, low: number, high: number): number {
  const value = Number(text)
  if (text === '' || !(value >= low && value <= high)) {
    throw new Error(`--${name}: ${JSON.stringify(text)} is no number from ${low} to ${high}`)
  }
  return value
}

function textOf(report: ChaosReport): string {
  const faults = Object.entries(report.faults)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([kind, count]) => {
      const gaps = report.gaps[kind]
      const measured = gaps ? `   alone ${gaps.count}: longest gap p50 ${gaps.p50Ms} ms, p99 ${gaps.p99Ms} ms` : ''
      return `  ${kind.padEnd(18)} ${String(count).padStart(4)}${measured}`
    })
  const lines = [
    `seed ${report.seed}, ${report.minutes} minutes, ${report.perSecond} events/s`,
    `faults ${report.faultsTotal}`,
    ...faults,
    `events ${report.events}, scored ${report.scored}, fallbacks ${report.fallbacks}`,
    `wrong ${report.wrong}, lost ${report.lost}, duplicated ${report.duplicated}`,
    `pause of a partition, planned: p50 ${report.pauseP50Ms} ms, p99 ${report.pauseP99Ms} ms`,
    `recovery of a partition, killed: p50 ${report.recoveryP50Ms} ms, p99 ${report.recoveryP99Ms} ms`,
    `worked off ${report.settledAfterMs} ms after the load ended`,
    ...report.unexpected,
    ...report.examples,
    ...(report.logs ? [`logs: ${report.logs}`] : []),
  ]
  return `${lines.join('\n')}\n`
}
