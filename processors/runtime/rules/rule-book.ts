import { RtmlError } from '../../app/errors.ts'
import { ms, type Offset, offset } from '../../app/units.ts'
import type { RuleCompiler, RuleDefinitions, Rules } from '../../decisions/rules.ts'
import type { Log, PartitionBounds } from '../../engine/ports.ts'
import { type RetryContext, retry, Stopped } from '../retry.ts'
import { changed, NO_OVERLAY, type Overlay, onTop, type RuleChange, readRuleChange, ruleRecord } from './rule-record.ts'

/** A change that holds, with the revision that it made. */
export interface AppliedChange extends RuleChange {
  readonly revision: number
}

export type Changed =
  | { readonly kind: 'done'; readonly revision: number }
  /** Somebody else was faster. */
  | { readonly kind: 'conflict'; readonly revision: number }

const HISTORY_MAX = 1_000
const WAIT_MS = 10_000
/** The overlay goes into each partition's log as one record. */
const OVERLAY_BYTES = 48_000

/**
 * The rules that hold: the application file's with what was changed since, in the order of one partition. Complete up to the
 * end of the log when `open` returns, then followed. A change names the revision that it was made to, so of two at once one
 * is refused, by everybody alike.
 */
export class RuleBook implements AsyncDisposable {
  readonly file: RuleDefinitions
  readonly #compiler: RuleCompiler
  readonly #log: Log
  readonly #topic: string
  readonly #context: RetryContext
  readonly #stop = new AbortController()
  #following: Promise<void> = Promise.resolve()
  #current: Rules
  #overlay: Overlay = NO_OVERLAY
  #revision = 0
  readonly #history: AppliedChange[] = []
  readonly #waiting = new Map<string, (changed: Changed) => void>()

  private constructor(options: RuleBookOptions) {
    this.#compiler = options.compiler
    this.#log = options.log
    this.#topic = options.topic
    this.#context = options.context
    this.#current = options.initial
    this.file = options.initial.definitions
  }

  /** @throws RtmlError LOG_DOWN */
  static async open(options: RuleBookOptions): Promise<RuleBook> {
    const book = new RuleBook(options)
    const [bounds] = await options.log.bounds(options.topic)
    if (!bounds) return book
    if (bounds.start < bounds.end) {
      for await (const run of options.log.read(bounds, bounds.start, { until: bounds.end }))
        for (const record of run.records) book.#take(readRuleChange(record))
    }
    book.#following = book.#follow(bounds)
    return book
  }

  /** Compiled; the same object until a change comes. */
  get current(): Rules {
    return this.#current
  }

  get revision(): number {
    return this.#revision
  }

  get overlay(): Overlay {
    return this.#overlay
  }

  /** Newest last. */
  get history(): readonly AppliedChange[] {
    return this.#history
  }

  /** What the rules would be with other definitions on top. @throws RtmlError CONFIG */
  compileWith(more: Partial<Overlay>): Rules {
    const definitions = onTop(onTop(this.file, this.#overlay), { ...NO_OVERLAY, ...more })
    return this.#compiler.compile(definitions, this.#revision + 1)
  }

  /**
   * Checks a change, writes it, and waits until it holds here.
   * @throws RtmlError CONFIG when it can't be compiled, or there would be too much; LOG_DOWN
   */
  async change(change: RuleChange): Promise<Changed> {
    if (change.base !== this.#revision) return { kind: 'conflict', revision: this.#revision }
    const overlay = changed(this.#overlay, this.file, change)
    this.#compiler.compile(onTop(this.file, overlay), this.#revision + 1)
    if (JSON.stringify(overlay.segments).length > OVERLAY_BYTES) {
      throw new RtmlError(
        'CONFIG',
        `more than ${OVERLAY_BYTES} bytes of changed segments. Move some into the application file.`,
        { place: change.name },
      )
    }
    const answered = Promise.withResolvers<Changed>()
    this.#waiting.set(change.id, answered.resolve)
    try {
      await this.#log.append([ruleRecord(this.#topic, change)])
      const stop = new AbortController()
      const late = this.#context.clock.sleep(ms(WAIT_MS), stop.signal).then(() => undefined)
      const result = await Promise.race([answered.promise, late])
      stop.abort()
      if (result) return result
      throw new RtmlError('LOG_DOWN', `the change is written, but has not been read back for ${WAIT_MS / 1_000} s`, {
        place: this.#topic,
      })
    } finally {
      this.#waiting.delete(change.id)
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort()
    await this.#following
  }

  async #follow(bounds: PartitionBounds): Promise<void> {
    let position: Offset = bounds.end
    const { signal } = this.#stop
    try {
      await retry(this.#context, signal, async () => {
        for await (const run of this.#log.read(bounds, position, { signal })) {
          for (const record of run.records) this.#take(readRuleChange(record))
          position = offset(run.to)
        }
      })
    } catch (error) {
      if (!(error instanceof Stopped))
        this.#context.logger.error(
          { topic: bounds.topic, error: String(error) },
          'changed rules are no longer followed',
        )
    }
  }

  #take(change: RuleChange | undefined): void {
    if (!change) return
    if (change.base !== this.#revision) {
      this.#waiting.get(change.id)?.({ kind: 'conflict', revision: this.#revision })
      return
    }
    this.#revision++
    this.#overlay = changed(this.#overlay, this.file, change)
    this.#history.push({ ...change, revision: this.#revision })
    if (this.#history.length > HISTORY_MAX) this.#history.shift()
    try {
      this.#current = this.#compiler.compile(onTop(this.file, this.#overlay), this.#revision)
    } catch (error) {
      // Made by a version with another application file: what this one can't evaluate it doesn't put in force.
      this.#context.logger.error(
        { revision: this.#revision, error: String(error) },
        'changed rules do not fit this application file; the ones before them stay',
      )
    }
    this.#waiting.get(change.id)?.({ kind: 'done', revision: this.#revision })
  }
}

export interface RuleBookOptions {
  readonly compiler: RuleCompiler
  readonly initial: Rules
  readonly log: Log
  readonly topic: string
  readonly context: RetryContext
}
