import { once } from 'node:events'
import { createWriteStream } from 'node:fs'
import { Command, Option } from 'commander'
import { type Cell, type Export, type ExportColumn, exportExamples, exportSamples } from '../host/export-rows.ts'
import { writeParquet } from '../host/parquet-file.ts'
import { planApplication } from '../topology.ts'
import { BadUsage, note } from './output.ts'
import { type EngineOptions, examples, withEngine, withOpenEngine } from './shared.ts'

interface ExportCommandOptions extends EngineOptions {
  readonly from?: number
  readonly to?: number
  readonly label?: string
  readonly featureSet?: string
  readonly format: 'jsonl' | 'parquet'
  readonly out?: string
}

export function exportCommand(): Command {
  return withEngine(new Command('export'))
    .description('what models saw, or what learners are given, as rows: to train on, or to look at')
    .argument('<what>', 'samples: every event that was scored; examples: samples with their label')
    .option(
      '--from <time>',
      'first event time, such as 2026-01-31 or 2026-01-31T12:00:00Z; default: all there is',
      timeOption,
    )
    .option('--to <time>', 'event time after the last; default: all there is', timeOption)
    .option('--label <name>', 'examples: of this label only')
    .option('--feature-set <version>', "rows with this version of the features; default: the application's")
    .addOption(new Option('--format <format>', 'form of the rows').choices(['jsonl', 'parquet']).default('jsonl'))
    .option('--out <file>', 'file to write; jsonl goes to standard output without it')
    .addHelpText(
      'after',
      examples(
        'rtml export examples --label purchase --format parquet --out examples.parquet',
        'rtml export samples --from 2026-01-01 --to 2026-02-01 | head',
      ),
    )
    .action((what: string, options: ExportCommandOptions) => {
      check(what, options)
      return withOpenEngine(options, async (opened, engine) => {
        const plan = await planApplication(opened.planOptions)
        if (options.label !== undefined && !plan.labels.some(({ name }) => name === options.label)) {
          const known = plan.labels.map(({ name }) => name).join(', ') || 'none'
          throw new BadUsage(`there is no label ${JSON.stringify(options.label)}. Labels: ${known}`)
        }
        const open = what === 'samples' ? exportSamples : exportExamples
        const rows = await open(engine, plan, {
          from: options.from ?? Number.NEGATIVE_INFINITY,
          to: options.to ?? Number.POSITIVE_INFINITY,
          label: options.label,
          featureSetVersion: options.featureSet,
        })
        const version = options.featureSet ?? plan.featureSet.version
        const count = await write(rows, options, { 'rtml.app': plan.app.name, 'rtml.feature_set': version })
        for (const [other, left] of rows.others) note(`${left} rows of feature set ${other} are left out`)
        note(`${count} ${what}`)
      })
    })
}

function check(what: string, { format, out, label, from, to }: ExportCommandOptions): void {
  if (what !== 'samples' && what !== 'examples') {
    throw new BadUsage(`${JSON.stringify(what)} can't be exported. Write samples or examples.`)
  }
  if (what === 'samples' && label !== undefined) throw new BadUsage('--label is for examples: samples have none yet.')
  if (format === 'parquet' && out === undefined) throw new BadUsage('a Parquet file wants --out FILE.')
  if (from !== undefined && to !== undefined && from >= to) throw new BadUsage('--from must be before --to.')
}

async function write(
  { columns, rows }: Export,
  { format, out }: ExportCommandOptions,
  about: Readonly<Record<string, string>>,
): Promise<number> {
  if (format === 'parquet') return writeParquet(out!, columns, rows(), about)
  const stream = out === undefined ? process.stdout : createWriteStream(out)
  let count = 0
  for await (const row of rows()) {
    count++
    if (!stream.write(`${JSON.stringify(jsonRow(columns, row))}\n`)) await once(stream, 'drain')
  }
  if (stream !== process.stdout) {
    stream.end()
    await once(stream, 'finish')
  }
  return count
}

/** Times as ISO texts; a missing number is null, as JSON has no NaN. */
function jsonRow(columns: readonly ExportColumn[], row: readonly Cell[]): Record<string, Cell> {
  return Object.fromEntries(
    columns.map(({ name, type }, at) => {
      const cell = row[at]!
      return [name, type === 'time' && cell !== null ? new Date(cell as number).toISOString() : cell]
    }),
  )
}

function timeOption(text: string): number {
  const time = Date.parse(text)
  if (Number.isNaN(time)) {
    throw new BadUsage(`${JSON.stringify(text)} is not a time. Write 2026-01-31, or 2026-01-31T12:00:00Z.`)
  }
  return time
}
