import { Command } from 'commander'
import { fusedSource } from '../app/topics.ts'
import type { Engine } from '../engine/ports.ts'
import { partitionsNote } from '../runtime/repair/keyed-stage.ts'
import { type Resharded, reshard } from '../runtime/repair/reshard.ts'
import { type Plan, topicSpecs } from '../topology.ts'
import { BadUsage, CommandFailed, note, printJson, printLine, printTable } from './output.ts'
import { repairSetting } from './repair-shared.ts'
import { type EngineOptions, integerOption, withEngine, withOpenEngine } from './shared.ts'

interface ReshardCommandOptions extends EngineOptions {
  readonly partitions: number
  readonly stage?: string
  readonly fromTopic?: string
  readonly json?: true
}

export function reshardCommand(): Command {
  return withEngine(new Command('reshard'))
    .description('move the states to another number of partitions; producers and workers must be stopped')
    .requiredOption('--partitions <n>', 'the new number; the application file must say the same', integerOption)
    .option('--stage <name>', 'profile or entity.<name> (default: all whose number of partitions has changed)')
    .option(
      '--from-topic <name>',
      'the stage’s topic until now, when the application file names a new one (needs --stage)',
    )
    .option('--json', 'print JSON')
    .action((options: ReshardCommandOptions) =>
      withOpenEngine(options, async (opened, engine) => {
        if (opened.app.partitions !== options.partitions)
          throw new BadUsage(
            `${options.app} says partitions: ${opened.app.partitions}. Change it to ${options.partitions} first: workers will start with that file.`,
          )
        if (options.fromTopic !== undefined && options.stage === undefined)
          throw new BadUsage('--from-topic is the topic of one stage: name it with --stage.')
        const { plan, stages, snapshotTopic } = await repairSetting(opened, engine)
        const specs = new Map(topicSpecs(opened.app).map((spec) => [spec.topic, spec]))
        const done: Resharded[] = []
        for (const keyed of stages) {
          const { name, topic, group } = keyed.stage
          if (options.stage !== undefined && options.stage !== name) continue
          const known = (await engine.store.note(partitionsNote(group)))?.toString()
          const wanted = specs.get(topic)?.partitions ?? options.partitions
          if (options.fromTopic === undefined && known === String(wanted)) continue
          done.push(
            await reshard({
              log: engine.log,
              store: engine.store,
              keyed,
              partitions: wanted,
              fromTopic: options.fromTopic ?? topic,
              snapshotTopic,
              grow: () => growTopics(engine, plan, topic),
            }),
          )
        }
        if (options.stage !== undefined && !stages.some(({ stage }) => stage.name === options.stage))
          throw new BadUsage(`--stage ${JSON.stringify(options.stage)}: no stage of that name keeps states.`)
        if (options.json) return printJson({ stages: done })
        if (done.length === 0) return printLine('nothing to do: all states are cut for the numbers that the file says')
        printTable(
          ['stage', 'before', 'after', 'states', 'moved'],
          done.map((it) => [it.stage, it.before, it.after, it.states, it.moved]),
        )
        note('done: start the workers, then the producers')
      }),
    )
}

/** Gives the stage's input, and all topics that the application writes, the partitions that the file wants. */
async function growTopics(engine: Engine, plan: Plan, input: string): Promise<void> {
  const fused = fusedSource(plan.app)
  const raw = new Set(
    Object.keys(plan.app.sources)
      .filter((it) => it !== fused)
      .map(plan.topics.raw),
  )
  // How many partitions a raw topic has is its producers' business, unless its keys decide where states are.
  const specs = topicSpecs(plan.app).filter(({ topic }) => !raw.has(topic))
  await engine.log.ensureTopics(specs)
  for (const { topic, partitions } of specs) {
    const found = (await engine.log.bounds(topic)).length
    if (found > partitions && topic === input)
      throw new CommandFailed(
        `${topic} has ${found} partitions; a topic can't lose any. Name a new topic in the application file, and this one with --from-topic.`,
      )
    if (found >= partitions) continue
    if (!engine.log.grow)
      throw new CommandFailed(`${topic} has ${found} partitions, ${partitions} are wanted: this log can't add any.`)
    await engine.log.grow(topic, partitions)
  }
}
