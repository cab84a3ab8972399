import { randomUUID } from 'node:crypto'
import { Command } from 'commander'
import { systemClock } from '../app/system-clock.ts'
import { ms } from '../app/units.ts'
import type { Engine } from '../engine/ports.ts'
import { sideFeatures } from '../features/index.ts'
import {
  type BackfillRequest,
  keepsTracks,
  PROGRESS_KEY,
  requestNote,
  unpackProgress,
} from '../runtime/repair/backfill.ts'
import { type KeyedStage, originNote } from '../runtime/repair/keyed-stage.ts'
import { replayStages } from '../topology.ts'
import { BadUsage, CommandFailed, note, printJson, printLine, progress } from './output.ts'
import { interrupted, repairSetting } from './repair-shared.ts'
import { type EngineOptions, withEngine, withOpenEngine } from './shared.ts'

interface BackfillCommandOptions extends EngineOptions {
  readonly features: string
  readonly partial?: true
  readonly wait: boolean
  readonly json?: true
}

const LOOK_EVERY_MS = ms(500)
/** Workers look for requests every five seconds; one that has not begun by then is not there, or has another version. */
const SILENCE_MS = 60_000
const HASHES = 2 ** 32

export function backfillCommand(): Command {
  return withEngine(new Command('backfill'))
    .description('fill features that were added later from the log, while the workers go on serving')
    .requiredOption('--features <names>', 'names of features, separated by commas')
    .option('--partial', 'also where the log no longer reaches back: such features then count from its first record on')
    .option('--no-wait', 'leave the request for the workers and end')
    .option('--json', 'print JSON')
    .action((options: BackfillCommandOptions) =>
      withOpenEngine(options, async (opened, engine) => {
        const names = options.features.split(',').map((name) => name.trim())
        if (names.some((name) => name === '')) throw new BadUsage('--features: write names separated by commas.')
        const { plan, stages } = await repairSetting(opened, engine)
        const { features, featureSet } = sideFeatures(plan.app, plan.expressions, names)
        const sides = replayStages(plan, { engine, clock: systemClock, env: opened.planOptions.env, featureSet })
        const chosen = stages.filter(({ stage }) =>
          sides.some((side) => side.stage.name === stage.name && keepsTracks(side.kernel)),
        )
        const truncated = await truncatedShards(engine, chosen)
        if (truncated.length > 0 && !options.partial)
          throw new CommandFailed(
            `LOG_TRUNCATED ${truncated.join(', ')}: the log no longer reaches back to the first event, so what came before can't be filled. With --partial the features count from what the log still has.`,
          )
        const request: BackfillRequest = {
          id: randomUUID(),
          at: systemClock.now(),
          features: names,
          isPartial: options.partial === true,
        }
        for (const { stage } of chosen)
          await engine.store.setNote(requestNote(stage.group), Buffer.from(JSON.stringify(request)))
        if (features.length > names.length) note(`filled together, because they share panes: ${features.join(', ')}`)
        const filled = options.wait ? await watch(engine, chosen, request) : undefined
        if (options.json) printJson({ request: request.id, features, truncated, filled: filled ?? null })
        else if (filled === undefined) printLine(`request ${request.id} is left for the workers`)
        else printLine(`${features.join(', ')}: filled in ${filled} states`)
      }),
    )
}

async function truncatedShards(engine: Engine, stages: readonly KeyedStage[]): Promise<string[]> {
  const found: string[] = []
  for (const { stage } of stages) {
    for (const { topic, partition, start } of await engine.log.bounds(stage.topic)) {
      const origin = await engine.store.note(originNote({ group: stage.group, topic, partition }))
      if (start > 0 || origin !== undefined) found.push(`${topic}[${partition}]`)
    }
  }
  return found
}

/** Follows the shards' progress until all are done. @returns number of states */
async function watch(engine: Engine, stages: readonly KeyedStage[], request: BackfillRequest): Promise<number> {
  const signal = interrupted()
  const bar = progress(100, 'backfill')
  let last = ''
  let changedAt = systemClock.now()
  try {
    while (!signal.aborted) {
      const found = await progressOf(engine, stages, request)
      if (found.every(({ isDone }) => isDone)) return found.reduce((sum, it) => sum + it.filled, 0)
      const done = found.reduce((sum, { next, isDone }) => sum + (isDone ? 1 : next / HASHES), 0) / found.length
      bar.update(Math.floor(done * 100))
      const text = JSON.stringify(found)
      if (text !== last) changedAt = systemClock.now()
      last = text
      if (systemClock.now() - changedAt > SILENCE_MS)
        throw new CommandFailed(
          'no worker has made progress for a minute. Do workers run, all of this version of the application file? Their log says why features are not filled. The request stands for a day.',
        )
      await systemClock.sleep(LOOK_EVERY_MS, signal)
    }
  } finally {
    bar.stop()
  }
  throw new CommandFailed('interrupted; the workers go on with the request')
}

async function progressOf(engine: Engine, stages: readonly KeyedStage[], request: BackfillRequest) {
  const all: { next: number; isDone: boolean; filled: number }[] = []
  for (const keyed of stages) {
    const { group, topic } = keyed.stage
    for (const { partition } of await engine.log.bounds(topic)) {
      const [packed] = await engine.store.load({ group, topic, partition }, [PROGRESS_KEY])
      const found = unpackProgress(keyed, packed)
      all.push(found?.id === request.id ? found : { next: 0, isDone: false, filled: 0 })
    }
  }
  return all
}
