import { existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { Command } from 'commander'
import { CommandFailed, printJson, printLine } from './output.ts'
import { examples } from './shared.ts'

/** A small shop: JSON events, four features, a test. It runs as it is. */
const APPLICATION = `# yaml-language-server: $schema=./node_modules/rtml/schemas/application.schema.json
rtml: 1
name: shop

sources:
  web:
    mapping:
      mapping: web
      fields:
        _id: id
        timestamp: time
        eventType: type
        identityMap.CustomerID: { from: customer }
        commerce.order.priceTotal: { from: 'to_decimal(total)', when: 'type == "commerce.purchases"' }
        web.webPageDetails.name: page

identity:
  priority: [CustomerID]

features:
  events_1h: { kind: count, window: 1h }
  purchases_30d: { kind: count, window: 30d, where: 'eventType == "commerce.purchases"' }
  spend_30d: { kind: sum, window: 30d, value: commerce.order.priceTotal }
  since_purchase: { kind: recency, where: 'eventType == "commerce.purchases"' }

# models:
#   propensity:
#     file: propensity.onnx
#     inputs: [events_1h, purchases_30d, spend_30d]

tests:
  - name: a purchase counts
    source: web
    events:
      - { id: e1, time: '2026-01-01T10:00:00Z', type: commerce.purchases, customer: c1, total: '12.50', page: checkout }
    expect:
      features: { events_1h: 1, purchases_30d: 1, spend_30d: 12.5 }
`

const EVENTS = [
  { id: 'e1', time: '2026-01-01T10:00:00Z', type: 'web.webpagedetails.pageViews', customer: 'c1', page: 'home' },
  {
    id: 'e2',
    time: '2026-01-01T10:01:00Z',
    type: 'commerce.purchases',
    customer: 'c1',
    total: '12.50',
    page: 'checkout',
  },
  { id: 'e3', time: '2026-01-01T10:02:00Z', type: 'web.webpagedetails.pageViews', customer: 'c2', page: 'home' },
]

export function initCommand(): Command {
  return new Command('init')
    .description('make a new application: rtml.yaml and some events to try it with')
    .argument('[dir]', 'folder', '.')
    .option('--json', 'print JSON')
    .addHelpText('after', examples('rtml init', 'rtml init shop'))
    .action((dir: string, options: { json?: true }) => {
      const file = join(dir, 'rtml.yaml')
      const events = join(dir, 'events.jsonl')
      for (const path of [file, events])
        if (existsSync(path)) throw new CommandFailed(`${path} is there already; nothing was changed.`)
      // Not always recursive: on some file systems that never returns where a folder can't be made.
      if (!existsSync(dir)) mkdirSync(dir, { recursive: !existsSync(dirname(resolve(dir))) })
      writeFileSync(file, APPLICATION)
      writeFileSync(events, `${EVENTS.map((event) => JSON.stringify(event)).join('\n')}\n`)
      if (options.json) return printJson({ made: [file, events] })
      printLine(`made ${file} and ${events}. Next:${dir === '.' ? '' : `\n  cd ${dir}`}
  rtml check                             plan it
  rtml test                              run its examples
  rtml run                               run it (embedded engine, in .rtml)
  rtml replay events.jsonl --source web  send it the events, from another terminal
  rtml profile CustomerID:c1             see a profile's features`)
    })
}
