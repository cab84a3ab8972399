import { RtmlError } from '../../app/errors.ts'
import { ms } from '../../app/units.ts'
import type { ShardContext } from '../context.ts'
import { Stopped } from '../retry.ts'
import type { RuleBook } from '../rules/rule-book.ts'
import { RuleTeller } from '../rules/rule-teller.ts'
import type { Service } from '../service.ts'
import type { TimerClock } from './timer-clock.ts'
import { TimerKeeper } from './timer-keeper.ts'

/** A timer is at most so much late. */
const LOOK_EVERY_MS = ms(500)

/** Keeps the timers of the profile shards that run in this process, until it is disposed of. */
export function serveTimers(options: {
  readonly context: ShardContext
  readonly service: Pick<Service, 'running'>
  readonly topic: string
  readonly clock: TimerClock
  readonly rules: Pick<RuleBook, 'revision' | 'overlay'>
}): AsyncDisposable {
  const stop = new AbortController()
  const serving = serve(options, stop.signal)
  return {
    async [Symbol.asyncDispose]() {
      stop.abort()
      await serving
    },
  }
}

async function serve(
  { context, service, topic, clock, rules }: Parameters<typeof serveTimers>[0],
  signal: AbortSignal,
): Promise<void> {
  const keepers = new Map<number, TimerKeeper>()
  const told = new RuleTeller(context, rules)
  while (!signal.aborted) {
    const shards = new Map(service.running('profile').map(({ shard }) => [shard.partition, shard]))
    for (const partition of keepers.keys()) if (!shards.has(partition)) keepers.delete(partition)
    for (const [partition, shard] of shards) {
      let keeper = keepers.get(partition)
      if (!keeper) {
        keeper = new TimerKeeper({ log: context.log, topic, input: shard.topic, partition, clock })
        keepers.set(partition, keeper)
      }
      try {
        await told.tell(shard)
        const ticks = await keeper.look(context.clock.now(), signal)
        if (ticks > 0) context.metrics.count('rtml_ticks_total', [], ticks)
        context.metrics.gauge('rtml_timers_near', [String(partition)], keeper.held)
      } catch (error) {
        if (error instanceof Stopped) continue
        // What it held is in the topic.
        keepers.delete(partition)
        if (!(error instanceof RtmlError && error.isTransient))
          context.logger.error({ partition, error: String(error) }, 'timers could not be read')
      }
    }
    await context.clock.sleep(LOOK_EVERY_MS, signal)
  }
}
