import { CODES, RtmlError } from '../app/errors.ts'
import { type Clock, ms, type Random } from '../app/units.ts'
import type { Logger, Metrics } from './telemetry.ts'

/** What repeated operations share. */
export interface RetryContext {
  readonly clock: Clock
  readonly random: Random
  readonly metrics: Metrics
  readonly logger: Logger
}

/** Whether an error is one that the program knows how to go on from, or to end with: anything else is a defect met by some record. */
export function isExpected(error: unknown): boolean {
  return error instanceof Stopped || (error instanceof RtmlError && CODES[error.code].severity !== 'reject')
}

const FIRST_DELAY_MS = 50
const MAX_DELAY_MS = 5_000

/** Thrown where the work was given up because its owner stopped. */
export class Stopped extends Error {
  constructor() {
    super('stopped')
    this.name = 'Stopped'
  }
}

/**
 * Repeats `operation` while it fails with a transient error, with exponential back-off and full jitter, until it
 * succeeds. Dependencies may be away for hours, so there is no last attempt: only `signal` ends the wait.
 * @throws Stopped when `signal` aborts; whatever else isn't transient
 */
export async function retry<T>(context: RetryContext, signal: AbortSignal, operation: () => Promise<T>): Promise<T> {
  for (let attempt = 0; ; attempt++) {
    if (signal.aborted) throw new Stopped()
    try {
      return await operation()
    } catch (error) {
      if (!(error instanceof RtmlError && error.isTransient)) throw error
      context.metrics.count('rtml_retries_total', [error.code])
      context.logger.warn({ code: error.code, attempt, reason: error.message }, 'dependency away, retrying')
      const bound = Math.min(MAX_DELAY_MS, FIRST_DELAY_MS * 2 ** Math.min(attempt, 10))
      await context.clock.sleep(ms(Math.ceil(bound * (0.5 + context.random() / 2))), signal)
    }
  }
}
