import { once } from 'node:events'
import { Command } from 'commander'
import type { XdmEvent } from '../app/event.ts'
import { systemClock } from '../app/system-clock.ts'
import { epochMs } from '../app/units.ts'
import { FeatureReplay } from '../host/feature-replay.ts'
import { valuesOf } from '../host/profile-view.ts'
import { openRawFile, records } from '../host/raw-file.ts'
import { type Plan, planApplication } from '../topology.ts'
import { BadUsage, CommandFailed, note } from './output.ts'
import { type AppOptions, examples, openApp, sourceNamed, withApp } from './shared.ts'

interface FeaturesOptions extends AppOptions {
  readonly source?: string
  readonly from?: string
  readonly to?: string
}

export function featuresCommand(): Command {
  return withApp(new Command('features'))
    .description("features of a file of raw events, as each event would have been scored: an author's training data")
    .argument('<file>', 'raw events as the source sends them (CSV, JSON lines …; .gz), in order of the log, or -')
    .option('--source <name>', "source of the application that reads the file; default: the application's only one")
    .option('--from <time>', 'only events from this instant on (ISO); earlier ones still count in the features')
    .option('--to <time>', 'only events before this instant (ISO)')
    .addHelpText(
      'after',
      examples(
        'rtml features events.jsonl > features.jsonl',
        'rtml features history.jsonl.gz --source web --from 2026-01-01T00:00:00Z --to 2026-02-01T00:00:00Z',
      ),
    )
    .action(async (file: string, options: FeaturesOptions) => {
      const { planOptions } = openApp(options)
      // Models come out of this; none must be needed to make it.
      const plan = await planApplication({ ...planOptions, app: { ...planOptions.app, models: {}, learners: {} } })
      const from = instant(options.from, Number.NEGATIVE_INFINITY)
      const to = instant(options.to, Number.POSITIVE_INFINITY)
      const counts = await write(plan, file, options, (event) => event.ts >= from && event.ts < to)
      note(
        `${counts.rows} rows of ${counts.events} events; ${counts.rejected} records rejected, ${counts.refused} events late or seen before`,
      )
      if (counts.events === 0)
        throw new CommandFailed(`${file} has no event that the source can map: rtml map says why.`)
    })
}

function instant(text: string | undefined, otherwise: number): number {
  if (text === undefined) return otherwise
  const ms = Date.parse(text)
  if (Number.isNaN(ms)) throw new BadUsage(`${JSON.stringify(text)} is not a time. Write 2026-01-31T12:00:00Z.`)
  return ms
}

async function write(plan: Plan, file: string, options: FeaturesOptions, isWanted: (event: XdmEvent) => boolean) {
  const { mapper, format } = sourceNamed(plan, options)
  const replay = new FeatureReplay(plan.featureSet)
  const counts = { rows: 0, events: 0, rejected: 0, refused: 0 }
  const now = epochMs(systemClock.now())
  for await (const { value, place } of records(openRawFile(file), file, format)) {
    const record = { key: null, value, headers: {}, timestamp: now, place }
    await mapper.prepare([record])
    const { events, rejected } = mapper.map(record)
    counts.rejected += rejected.length
    for (const event of events) {
      counts.events++
      if (replay.apply(event) !== 'applied') {
        counts.refused++
        continue
      }
      if (!isWanted(event)) continue
      counts.rows++
      if (!process.stdout.write(line(plan, event, replay))) await once(process.stdout, 'drain')
    }
  }
  return counts
}

function line(plan: Plan, event: XdmEvent, replay: FeatureReplay): string {
  const columns = valuesOf(plan, replay.vector(event)).map(({ column, value }) => [column, value])
  const about = { event_id: event.id, profile: event.key, time_ms: event.ts, event_type: event.xdm.eventType ?? null }
  return `${JSON.stringify({ ...about, ...Object.fromEntries(columns) })}\n`
}
