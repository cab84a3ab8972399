import { Command } from 'commander'
import { RtmlError } from '../app/errors.ts'
import { applicationSchema } from '../app/schema.ts'
import { systemClock } from '../app/system-clock.ts'
import { epochMs } from '../app/units.ts'
import { planOptions } from '../host/application-file.ts'
import { records } from '../host/raw-file.ts'
import { type Mapper, READY_MAPPINGS } from '../mapper/index.ts'
import { planApplication } from '../topology.ts'
import { BadUsage, note } from './output.ts'
import { examples, openApp } from './shared.ts'

interface MapOptions {
  readonly source: string
  readonly app?: string
  readonly header: string[]
}

export function mapCommand(): Command {
  return new Command('map')
    .description('map raw events from standard input to XDM, one JSON line each; rejects go to standard error')
    .requiredOption(
      '--source <name>',
      `source of the application, or without --app a ready mapping: ${READY_MAPPINGS.join(', ')}`,
    )
    .option('--app <file>', 'application file')
    .option(
      '--header <name=value>',
      'header that every record carries, such as X-Shopify-Topic=orders/create',
      collect,
      [],
    )
    .addHelpText(
      'after',
      examples(
        'rtml map --source ga4 < hits.jsonl > events.jsonl',
        'rtml map --source web --app rtml.yaml < raw.jsonl > events.jsonl 2> rejects.jsonl',
        'rtml map --source shopify --header X-Shopify-Topic=orders/create < order.json',
      ),
    )
    .action(async (options: MapOptions) => {
      const { mapper, format } = await mapperOf(options)
      const headers = Object.fromEntries(options.header.map(parseHeader))
      const counts = { read: 0, mapped: 0, rejected: 0, skipped: 0 }
      for await (const { value, place } of records(process.stdin, 'stdin', format)) {
        const record = { key: null, value, headers, timestamp: epochMs(systemClock.now()), place }
        await mapper.prepare([record])
        const result = mapper.map(record)
        counts.read++
        counts.mapped += result.events.length
        counts.rejected += result.rejected.length
        counts.skipped += result.skipped
        for (const event of result.events) await write(`${JSON.stringify(event.xdm)}\n`)
        for (const rejection of result.rejected) note(JSON.stringify({ place, ...rejection }))
      }
      note(JSON.stringify(counts))
    })
}

const collect = (value: string, all: string[]): string[] => [...all, value]

function parseHeader(text: string): [string, Buffer] {
  const at = text.indexOf('=')
  if (at < 1) throw new BadUsage(`--header ${JSON.stringify(text)}: write name=value.`)
  return [text.slice(0, at), Buffer.from(text.slice(at + 1))]
}

async function mapperOf(options: MapOptions): Promise<{ mapper: Mapper; format: string }> {
  const plan = await planApplication(
    options.app === undefined ? readyPlan(options.source) : openApp({ app: options.app }).planOptions,
  )
  const mapper = plan.mappers.get(options.source)
  if (mapper) return { mapper, format: plan.formats.get(options.source) ?? 'json' }
  const names = [...plan.mappers.keys()].join(', ')
  throw new RtmlError('CONFIG', `there is no source ${JSON.stringify(options.source)}. Sources: ${names}`, {
    place: options.app ?? '--source',
  })
}

/** An application that is nothing but one source with a ready mapping. */
function readyPlan(mapping: string) {
  const isReady = (READY_MAPPINGS as readonly string[]).includes(mapping)
  if (!isReady)
    throw new BadUsage(
      `there is no ready mapping ${JSON.stringify(mapping)}. Ready: ${READY_MAPPINGS.join(', ')}. For a source of your own, add --app FILE.`,
    )
  const app = applicationSchema.parse({ rtml: 1, name: 'map', sources: { [mapping]: { mapping } } })
  return planOptions({ app }, '.', process.env)
}

/** Waits for a slow reader of standard output instead of filling memory. */
function write(text: string): Promise<void> {
  return new Promise((resolve) => {
    if (process.stdout.write(text)) resolve()
    else process.stdout.once('drain', resolve)
  })
}
