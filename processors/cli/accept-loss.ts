import { Command } from 'commander'
import { RtmlError } from '../app/errors.ts'
import type { Epoch, Offset } from '../app/units.ts'
import type { Engine, Shard } from '../engine/ports.ts'
import { type InputStage, inputStages } from '../host/stages.ts'
import { publisherId } from '../runtime/take-over.ts'
import { planApplication } from '../topology.ts'
import { BadUsage, printJson, printLine, printTable } from './output.ts'
import { type EngineOptions, examples, integerOption, withEngine, withOpenEngine } from './shared.ts'

interface Options extends EngineOptions {
  readonly stage: string
  readonly partition?: number
  readonly yes?: true
  readonly json?: true
}

interface Gap {
  readonly shard: Shard
  readonly committed: Offset
  /** Where the stage goes on: the log's start. */
  readonly to: Offset
}

/**
 * The way on after LOG_TRUNCATED: moves a stage's position to what the log still has. Feature states are kept; the events
 * in between are lost for good, which is why it is asked for and never done by itself.
 */
export function acceptLossCommand(): Command {
  return withEngine(new Command('accept-loss'))
    .description('after LOG_TRUNCATED: let a stage go on where the log begins now, without the events that are gone')
    .requiredOption('--stage <name>', 'stage, as rtml check lists them')
    .option('--partition <n>', 'only this partition', integerOption)
    .option('--yes', 'do it; without it the gaps are only shown')
    .option('--json', 'print JSON')
    .addHelpText(
      'after',
      examples('rtml accept-loss --stage profile', 'rtml accept-loss --stage profile --partition 0 --yes'),
    )
    .action((options: Options) =>
      withOpenEngine(options, async (opened, engine) => {
        const stages = inputStages(await planApplication(opened.planOptions))
        const stage = stages.find(({ name }) => name === options.stage)
        if (!stage) {
          const names = stages.map(({ name }) => name).join(', ')
          throw new BadUsage(`there is no stage ${JSON.stringify(options.stage)}. Stages: ${names}.`)
        }
        const gaps = await gapsOf(engine, stage, options.partition)
        if (options.yes) for (const gap of gaps) await skip(engine, stage, gap)
        const rows = gaps.map(({ shard, committed, to }) => ({ partition: shard.partition, from: committed, to }))
        if (options.json)
          return printJson({ stage: stage.name, topic: stage.topic, skipped: options.yes === true, gaps: rows })
        if (gaps.length === 0) return printLine(`${stage.name}: nothing is missing in ${stage.topic}`)
        printTable(
          ['partition', 'position', 'goes on at'],
          rows.map(({ partition, from, to }) => [partition, from, to]),
        )
        printLine(
          options.yes
            ? 'done: start the application again'
            : 'nothing was changed. Stop the application, then add --yes.',
        )
      }),
    )
}

async function gapsOf(engine: Engine, { group, topic }: InputStage, only: number | undefined): Promise<Gap[]> {
  const gaps: Gap[] = []
  for (const bounds of await engine.log.bounds(topic)) {
    if (only !== undefined && only !== bounds.partition) continue
    const shard = { group, topic, partition: bounds.partition }
    const committed = await engine.log.committed(group, shard)
    if (committed === undefined) continue
    if (committed < bounds.start) gaps.push({ shard, committed, to: bounds.start })
  }
  return gaps
}

/** In the order of a take-over: first the store, then the log. Repeating it after a failure half-way does no harm. */
async function skip(engine: Engine, stage: InputStage, { shard, to }: Gap): Promise<void> {
  if (stage.keepsState) {
    const { epoch, position } = await engine.store.own(shard)
    if (position !== undefined && position < to) await advance(engine, shard, epoch, position, to)
  }
  const publisher = await engine.log.publisher(publisherId(shard))
  try {
    await publisher.publish([], { ...shard, position: to })
  } finally {
    await publisher.close()
  }
}

async function advance(engine: Engine, shard: Shard, epoch: Epoch, from: Offset, to: Offset): Promise<void> {
  const applied = await engine.store.apply(shard, epoch, { from, to, states: new Map(), outputs: [] })
  if (applied.kind !== 'applied')
    throw new RtmlError('FENCED', 'the application is running. Stop it first.', {
      place: `${shard.topic}[${shard.partition}]`,
    })
}
