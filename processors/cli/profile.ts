import { Command } from 'commander'
import { formatDuration } from '../app/duration.ts'
import { ms } from '../app/units.ts'
import { viewProfile } from '../host/profile-view.ts'
import { planApplication } from '../topology.ts'
import { CommandFailed, printJson, printLine, printTable } from './output.ts'
import { eraseCommand, erasedCommand } from './profile-erase.ts'
import { type EngineOptions, examples, withEngine, withOpenEngine } from './shared.ts'

export function profileCommand(): Command {
  // Options after a sub-command's name are the sub-command's.
  return withEngine(new Command('profile').enablePositionalOptions())
    .description("show a profile's features with their ages")
    .argument('<key>', 'primary identity, <NAMESPACE>:<id>, such as ECID:123')
    .option('--json', 'print JSON')
    .addHelpText('after', examples('rtml profile CustomerID:c1', 'rtml profile ECID:123 --json'))
    .action((key: string, options: EngineOptions & { json?: true }) =>
      withOpenEngine(options, async (opened, engine) => {
        const plan = await planApplication(opened.planOptions)
        const view = await viewProfile(plan, engine, key)
        if (!view)
          throw new CommandFailed(
            `there is no profile ${key} in the store. The key is <NAMESPACE>:<id>, as in profile.scores.`,
          )
        if (options.json) return printJson(view)
        printLine(
          `${view.key}  last event ${view.lastEvent}  ${view.stateBytes} bytes  shard ${view.partition}  features ${view.featureSetVersion}`,
        )
        printTable(
          ['feature', 'value', 'age'],
          view.features.map(({ column, value, ageMs }) => [
            column,
            value === null ? '–' : shorten(value),
            ageMs === null ? '–' : age(ageMs),
          ]),
        )
      }),
    )
    .addCommand(eraseCommand())
    .addCommand(erasedCommand())
}

const shorten = (value: number | string) => (typeof value === 'number' ? String(Number(value.toPrecision(7))) : value)
const age = (value: number) => (value < 1_000 ? `${value}ms` : formatDuration(ms(Math.round(value / 1_000) * 1_000)))
