import { Command } from 'commander'
import { systemClock } from '../app/system-clock.ts'
import { paced } from '../runtime/repair/pace.ts'
import { type VerifiedShard, verifyShard } from '../runtime/repair/verify.ts'
import { BadUsage, CommandFailed, printJson, printLine, printTable } from './output.ts'
import { interrupted, repairSetting, stageNamed } from './repair-shared.ts'
import { type EngineOptions, integerOption, withEngine, withOpenEngine } from './shared.ts'

interface VerifyCommandOptions extends EngineOptions {
  readonly stage?: string
  readonly shard?: number
  readonly sample: number
  readonly rate?: number
  readonly seed?: number
  readonly json?: true
}

const DIFFERENCES_SHOWN = 20

export function verifyCommand(): Command {
  return withEngine(new Command('verify'))
    .description('compute a sample of live states again from the log and report any difference; safe while workers run')
    .option('--stage <name>', 'profile or entity.<name> (default: all stages that keep states)')
    .option('--shard <n>', 'only this shard', integerOption)
    .option('--sample <k>', 'keys of each shard', integerOption, 100)
    .option('--rate <n>', 'records to read from the log each second at most, such as 5000 or 5000/s', rateOption)
    .option('--seed <n>', 'which keys are sampled (default: others each time)', integerOption)
    .option('--json', 'print JSON')
    .action((options: VerifyCommandOptions) =>
      withOpenEngine(options, async (opened, engine) => {
        if (options.sample === 0) throw new BadUsage('--sample 0 would check nothing.')
        const { plan, stages, snapshotTopic } = await repairSetting(opened, engine)
        const signal = interrupted()
        const seed = options.seed ?? Math.floor(Math.random() * 2 ** 31)
        const pace = options.rate === undefined ? {} : { pace: paced(options.rate, systemClock, signal) }
        const chosen = options.stage === undefined ? stages : [stageNamed(stages, options.stage)]
        const results: VerifiedShard[] = []
        for (const keyed of chosen) {
          const { group, topic } = keyed.stage
          const partitions = (await engine.log.bounds(topic)).map(({ partition }) => partition)
          for (const partition of options.shard === undefined ? partitions : [options.shard]) {
            results.push(
              await verifyShard({
                log: engine.log,
                store: engine.store,
                featureSet: plan.featureSet,
                keyed,
                shard: { group, topic, partition },
                snapshotTopic,
                clock: systemClock,
                sample: options.sample,
                seed,
                signal,
                ...pace,
              }),
            )
          }
        }
        report(results, seed, options)
      }),
    )
}

function report(results: readonly VerifiedShard[], seed: number, options: VerifyCommandOptions): void {
  const checked = results.reduce((sum, it) => sum + it.checked, 0)
  const differences = results.flatMap((it) =>
    it.differences.map((difference) => ({ stage: it.stage, partition: it.partition, ...difference })),
  )
  const keys = new Set(differences.map(({ stage, key }) => `${stage}\0${key}`)).size
  if (options.json) printJson({ checked, differing: keys, seed, shards: results })
  else {
    printTable(
      ['stage', 'shard', 'position', 'from', 'records', 'checked', 'differ'],
      results.map((it) => [
        it.stage,
        it.partition,
        it.position ?? '–',
        it.base ?? '–',
        it.records,
        it.checked,
        new Set(it.differences.map(({ key }) => key)).size,
      ]),
    )
    for (const { stage, partition, key, what, live, recomputed } of differences.slice(0, DIFFERENCES_SHOWN))
      printLine(`${stage}[${partition}] ${key}: ${what} is ${live ?? 'missing'}, the log says ${recomputed ?? 'none'}`)
    if (differences.length > DIFFERENCES_SHOWN)
      printLine(`… ${differences.length - DIFFERENCES_SHOWN} more: --json has all`)
  }
  if (differences.length > 0)
    throw new CommandFailed(
      `${keys} of ${checked} states differ from the log (--seed ${seed} samples the same again). See docs/repair.md.`,
    )
  if (checked === 0) throw new CommandFailed('there was no state to check: has the application run on this engine?')
}

function rateOption(text: string): number {
  const rate = Number(text.replace(/\/s$/, ''))
  if (!(rate > 0)) throw new BadUsage(`--rate ${JSON.stringify(text)}: write a number above 0, such as 5000.`)
  return rate
}
