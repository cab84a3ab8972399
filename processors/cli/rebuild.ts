import { Command } from 'commander'
import { systemClock } from '../app/system-clock.ts'
import { groupOf } from '../app/topics.ts'
import type { Engine } from '../engine/ports.ts'
import { acceptLoss, compareShard, type Rebuilt, rebuildShard } from '../runtime/repair/rebuild.ts'
import { BadUsage, CommandFailed, note, printJson, printLine } from './output.ts'
import { interrupted, type RepairSetting, repairSetting, stageNamed, withScratch } from './repair-shared.ts'
import { type EngineOptions, integerOption, withEngine, withOpenEngine } from './shared.ts'

interface RebuildCommandOptions extends EngineOptions {
  readonly shard: number
  readonly stage: string
  readonly dryRun?: true
  readonly acceptLoss?: true
  readonly json?: true
}

const DIFFERENCES_SHOWN = 20

export function rebuildCommand(): Command {
  return withEngine(new Command('rebuild'))
    .description("compute a shard's states again from the log, and put them into the place of the live ones")
    .requiredOption('--shard <n>', 'partition of the stage’s topic', integerOption)
    .option('--stage <name>', 'profile, entity.<name>, or with --accept-loss map.<source>', 'profile')
    .option('--dry-run', 'only compare with the live states; safe while workers run')
    .option(
      '--accept-loss',
      'go on after LOG_TRUNCATED: states stay as they are, the position moves to the first record that the log has',
    )
    .option('--json', 'print JSON')
    .action((options: RebuildCommandOptions) =>
      withOpenEngine(options, async (opened, engine) => {
        if (options.dryRun && options.acceptLoss) throw new BadUsage('--dry-run changes nothing, --accept-loss does.')
        const setting = await repairSetting(opened, engine)
        if (options.acceptLoss) return giveUp(options, engine, setting)
        const keyed = stageNamed(setting.stages, options.stage)
        const { group, topic } = keyed.stage
        const result = await withScratch((scratch) =>
          (options.dryRun ? compareShard : rebuildShard)({
            log: engine.log,
            store: engine.store,
            scratch,
            featureSet: setting.plan.featureSet,
            keyed,
            shard: { group, topic, partition: options.shard },
            snapshotTopic: setting.snapshotTopic,
            clock: systemClock,
            signal: interrupted(),
          }),
        )
        report(result, options)
      }),
    )
}

function report(result: Rebuilt, options: RebuildCommandOptions): void {
  if (options.json) printJson(result)
  else {
    const place = `${result.stage}[${result.partition}]`
    if (result.base === 'snapshot')
      note(
        `the log no longer reaches back to the first event: states begin with the snapshot of position ${result.from}`,
      )
    printLine(
      `${place}: ${result.states} states of position ${result.position} computed from ${result.records} records`,
    )
    for (const { key, what, live, recomputed } of result.differences.slice(0, DIFFERENCES_SHOWN))
      printLine(`  ${key}: ${what} was ${live ?? 'missing'}, the log says ${recomputed ?? 'none'}`)
    if (!result.isCompared) printLine('not compared: the store stood at another position')
    else printLine(result.differing === 0 ? 'equal to the live states' : `${result.differing} states differ`)
    if (result.isReplaced) printLine('the live states were replaced; workers may start')
  }
  if (!result.isReplaced && result.differing > 0)
    throw new CommandFailed(`${result.differing} states differ. Stop the workers and run this without --dry-run.`)
}

async function giveUp(options: RebuildCommandOptions, engine: Engine, setting: RepairSetting): Promise<void> {
  const { plan, stages, snapshotTopic } = setting
  const source = /^map\.(.+)$/.exec(options.stage)?.[1]
  const keyed = source === undefined ? stageNamed(stages, options.stage) : undefined
  if (source !== undefined && !plan.mappers.has(source))
    throw new BadUsage(`there is no source ${JSON.stringify(source)}.`)
  const topic = keyed?.stage.topic ?? plan.topics.raw(source!)
  const group = keyed?.stage.group ?? groupOf(plan.app, options.stage)
  const shard = { group, topic, partition: options.shard }
  const result = await withScratch((scratch) =>
    acceptLoss({ log: engine.log, store: engine.store, scratch, shard, snapshotTopic, keyed, signal: interrupted() }),
  )
  if (!result) {
    if (options.json) printJson({ stage: options.stage, partition: options.shard, lost: 0 })
    else printLine(`nothing is missing: ${topic}[${options.shard}] still has every record from the shard's position on`)
    return
  }
  const lost = result.lost === undefined ? 'an unknown number of' : result.lost
  note(
    `LOG_TRUNCATED accepted for ${topic}[${options.shard}]: ${lost} records were never read; from ${result.from ?? 'nothing'} to ${result.position}; states: ${result.states}`,
  )
  if (options.json) printJson({ stage: options.stage, ...result })
  else
    printLine(
      `${topic}[${options.shard}] goes on at ${result.position}; ${lost} records are lost; states: ${result.states}`,
    )
}
