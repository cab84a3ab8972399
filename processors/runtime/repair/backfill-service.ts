import { RtmlError } from '../../app/errors.ts'
import { ms } from '../../app/units.ts'
import type { ShardContext } from '../context.ts'
import { Stopped } from '../retry.ts'
import type { Service } from '../service.ts'
import { type BackfillRequest, backfillShard, keepsTracks, parseRequest, requestNote } from './backfill.ts'
import type { KeyedStage } from './keyed-stage.ts'

const POLL_MS = ms(5_000)

export interface BackfillServiceOptions {
  readonly context: ShardContext
  readonly service: Pick<Service, 'running'>
  /** Stages that keep states. */
  readonly stages: readonly KeyedStage[]
  /** The same stages with some features only. @throws RtmlError CONFIG when a feature is unknown to this version */
  readonly sideStages: (features: readonly string[]) => readonly KeyedStage[]
  readonly signal: AbortSignal
  readonly pollMs?: number
}

/**
 * Looks from time to time whether an operator has asked for features to be filled, and does it for the shards that run
 * here, one after the other. A shard that is done is looked at again as long as the request stands: a store that lost
 * filled states has lost the shard's progress with them. Ends with `signal`; never fails, because serving doesn't depend on it.
 */
export async function serveBackfills(options: BackfillServiceOptions): Promise<void> {
  const { context, stages, signal } = options
  const pause = ms(options.pollMs ?? POLL_MS)
  while (!signal.aborted) {
    for (const keyed of stages) {
      try {
        const note = await context.store.note(requestNote(keyed.stage.group))
        const request = parseRequest(note, context.clock.now())
        if (request) await serve(options, keyed, request)
      } catch (error) {
        if (error instanceof Stopped || (error instanceof RtmlError && error.isTransient)) continue
        context.logger.error({ stage: keyed.stage.name, error: String(error) }, 'features could not be filled')
      }
    }
    await context.clock.sleep(pause, signal)
  }
}

async function serve(options: BackfillServiceOptions, keyed: KeyedStage, request: BackfillRequest): Promise<void> {
  const { context, service, signal } = options
  const { log, store, clock, logger } = context
  const side = options.sideStages(request.features).find(({ stage }) => stage.name === keyed.stage.name)
  if (!side || !keepsTracks(side.kernel)) return
  for (const worker of service.running(keyed.stage.name)) {
    try {
      await backfillShard({ log, store, clock, logger, keyed, side, request, worker, signal })
    } catch (error) {
      // The shard has gone to another worker, or stands elsewhere now: the next look sees.
      if (!(error instanceof Stopped)) throw error
    }
  }
}
