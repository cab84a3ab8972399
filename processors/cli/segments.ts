import { Command } from 'commander'
import { parseDuration } from '../app/duration.ts'
import { systemClock } from '../app/system-clock.ts'
import { openApplicationFile } from '../host/application-file.ts'
import { previewRules, type RulePreview } from '../host/rule-preview.ts'
import { planApplication } from '../topology.ts'
import { BadUsage, printJson, printLine } from './output.ts'
import { type EngineOptions, examples, withEngine, withOpenEngine } from './shared.ts'

interface PreviewOptions extends EngineOptions {
  readonly with: string
  readonly last: string
  readonly json?: true
}

export function segmentsCommand(): Command {
  return new Command('segments').description('segments and decisions').addCommand(
    withEngine(new Command('preview'))
      .description('what would change with the segments and decisions of another application file, over the log')
      .requiredOption('--with <file>', 'application file with the new segments and decisions')
      .option('--last <duration>', 'of the log: what would have happened in this time', '6h')
      .option('--json', 'print JSON')
      .addHelpText('after', examples('rtml segments preview --with new.yaml --last 6h'))
      .action((options: PreviewOptions) =>
        withOpenEngine(options, async (opened, engine) => {
          const lastMs = parseDuration(options.last)
          if (lastMs === undefined) throw new BadUsage(`--last ${options.last} is not a duration. Use 6h or 7d.`)
          const other = openApplicationFile(options.with, process.env).app
          const preview = await previewRules({
            plan: await planApplication(opened.planOptions),
            engine,
            before: opened.app,
            after: other,
            lastMs,
            now: systemClock.now(),
            env: (name) => process.env[name],
            clock: systemClock,
          })
          if (options.json) printJson(preview)
          else print(preview)
        }),
      ),
  )
}

function print({ from, events, profiles, isPartial, segments, decisions }: RulePreview): void {
  printLine(`${events} events since ${from}, ${profiles} profiles${isPartial ? ' (the first ones only)' : ''}`)
  for (const { name, before, after } of segments) {
    printLine(
      `segment ${name}: entered ${before.entered} → ${after.entered}, left ${before.exited} → ${after.exited}, in ${before.members} → ${after.members}`,
    )
  }
  for (const { name, answers, changed } of decisions)
    printLine(`decision ${name}: ${changed} of ${answers} answers would be others`)
}
