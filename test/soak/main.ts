/** `npm run soak -- --help` */
import { parseArgs } from 'node:util'
import { localProcessesUnavailable } from '../services/harness.ts'
import { type EngineName, type SoakReport, soak } from './run.ts'

const HELP = `usage: npm run soak -- [options]

Lets a worker run at half of its highest rate, and watches memory, handles, Redis and lag. docs/chaos.md has figures.

  --minutes M       for each engine (default 20)
  --engine NAME     embedded, kafka or both (default both)
  --share S         of the highest rate (default 0.5)
  --seed S          of the events (default 1)
  --json            one line of JSON on standard output: {"soaks": […]}
`

await main().catch((error: unknown) => {
  process.stderr.write(`${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`)
  process.exitCode = 1
})

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      minutes: { type: 'string', default: '20' },
      engine: { type: 'string', default: 'both' },
      share: { type: 'string', default: '0.5' },
      seed: { type: 'string', default: '1' },
      json: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  })
  if (values.help) {
    process.stdout.write(HELP)
    return
  }
  const engines = enginesOf(values.engine)
  const minutes = number('minutes', values.minutes, 0.2, 24 * 60)
  const share = number('share', values.share, 0.01, 1)
  const seed = number('seed', values.seed, 0, 2 ** 32 - 2)
  if (engines.includes('kafka') && localProcessesUnavailable()) {
    process.exitCode = 1
    return
  }
  const soaks: SoakReport[] = []
  for (const engine of engines) {
    soaks.push(await soak({ engine, minutes, seed, share, tell: (text) => process.stderr.write(`${text}\n`) }))
  }
  process.stdout.write(values.json ? `${JSON.stringify({ soaks })}\n` : soaks.map(textOf).join('\n'))
}

function enginesOf(text: string): EngineName[] {
  if (text === 'both') return ['embedded', 'kafka']
  if (text === 'embedded' || text === 'kafka') return [text]
  throw new Error(`--engine: ${JSON.stringify(text)} is not embedded, kafka or both`)
}

function number(name: string, text: string, low: number, high: number): number {
  const value = Number(text)
  if (text === '' || !(value >= low && value <= high))
    throw new Error(`--${name}: ${JSON.stringify(text)} is no number from ${low} to ${high}`)
  return value
}

function textOf(report: SoakReport): string {
  const line = (name: string, it: SoakReport['rssMb'] | undefined) =>
    it ? [`  ${name} ${it.first.toFixed(1)} → ${it.last.toFixed(1)} MB, ${it.slopePerMinute.toFixed(2)} MB/min`] : []
  const { engine, minutes, maxPerSecond, perSecond, events, cores, handles, files, lag } = report
  return `${[
    `${engine}: ${minutes} minutes at ${perSecond} of ${Math.round(maxPerSecond)} events/s, ${events} events, ${cores.toFixed(2)} cores`,
    ...line('own     ', report.ownMb),
    ...line('resident', report.rssMb),
    ...line('heap    ', report.heapMb),
    ...line('redis   ', report.redisMb),
    `  handles ${handles.first} → ${handles.last}, at most ${handles.max}; files ${files.first} → ${files.last}, at most ${files.max}`,
    `  lag p50 ${lag.p50}, max ${lag.max}, last ${lag.last}`,
  ].join('\n')}\n`
}
