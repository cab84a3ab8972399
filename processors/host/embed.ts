import { RtmlError } from '../app/errors.ts'
import type { Engine, Headers, NewRecord } from '../engine/ports.ts'
import type { ProfileScores } from '../outputs/index.ts'
import type { Health } from '../runtime/service.ts'
import { type Logger, silentLogger } from '../runtime/telemetry.ts'
import type { Plan } from '../topology.ts'
import { type Env, type OpenedApplication, openApplicationFile } from './application-file.ts'
import { type ProfileView, viewProfile } from './profile-view.ts'
import { keyedRecord } from './raw-record.ts'
import { type FeedOptions, followScores } from './score-feed.ts'
import { startWorker } from './start.ts'

export interface LoadOptions {
  /** Where `${NAME}` references are looked up. Default: the environment of the process. */
  readonly env?: Env
}

/**
 * Reads and validates an application file; nothing is started or connected to.
 * @param file path; files that it names are looked up beside it
 * @throws RtmlError CONFIG with every problem, each with file, line, column and what was expected
 */
export function loadApp(file: string, options: LoadOptions = {}): OpenedApplication {
  return openApplicationFile(file, options.env ?? process.env)
}

export interface RunOptions {
  /** Directory of the embedded engine. Default: RTML_DATA_DIR, or `.rtml`. */
  readonly dataDir?: string
  /** Chooses and configures the engine, as for the command line. Default: the environment of the process. */
  readonly env?: Env
  /** An engine that is open already; it stays yours to close. */
  readonly engine?: Engine
  /** pino, or anything with its four methods. Default: silence. */
  readonly logger?: Logger
}

/** One raw event for `send`. */
export interface RawEvent {
  /** An object is sent as JSON; text and bytes as they are, in the format of the source. */
  readonly value: object | string | Uint8Array
  /** Default: the identity that the event maps to, so that a visitor's events stay in order. */
  readonly key?: string
  readonly headers?: Readonly<Record<string, string>>
}

/** An application that runs inside this process. Dispose it to drain, commit and close. */
export interface EmbeddedApplication extends AsyncDisposable {
  readonly app: OpenedApplication['app']
  readonly plan: Plan
  readonly engine: Engine
  /** Settles with the error when the application can't go on; the process should then end, or dispose it. */
  readonly failed: Promise<unknown>
  /**
   * Appends raw events to the topic of a source. Resolves when the log has them durably; they are scored soon after.
   * @throws RtmlError CONFIG when there is no such source, LOG_DOWN when the log is away: nothing is known then, send again
   */
  send(source: string, events: readonly RawEvent[]): Promise<void>
  /** Follows the scores of all profiles: from the moment on in which the promise resolves, or from the start of the topic. */
  scores(options?: FeedOptions): Promise<AsyncGenerator<ProfileScores>>
  /** A profile's features, each with its age; undefined when the store has no such profile. @param key `<NAMESPACE>:<id>` */
  profile(key: string): Promise<ProfileView | undefined>
  health(): Health
  /** Figures in Prometheus' text format. */
  metrics(): Promise<string>
}

/**
 * Runs an application: the embedded engine in `dataDir`, or Kafka, Redis and a registry when the environment names them.
 * Resolves when events flow; waits for dependencies that are away.
 * @throws RtmlError CONFIG, MODEL_LOAD, MODEL_INPUT, TOPIC_SETTING, PARTITIONS_CHANGED
 */
export async function run(opened: OpenedApplication, options: RunOptions = {}): Promise<EmbeddedApplication> {
  await using cleanUp = new AsyncDisposableStack()
  const worker = cleanUp.use(
    await startWorker({
      opened,
      env: options.env ?? process.env,
      logger: options.logger ?? silentLogger,
      dataDir: options.dataDir,
      ...(options.engine ? { engine: options.engine } : {}),
    }),
  )
  const { plan, engine } = await worker.started
  const rest = cleanUp.move()
  return {
    app: opened.app,
    plan,
    engine,
    failed: worker.failed,
    async send(source, events) {
      const mapper = plan.mappers.get(source)
      if (!mapper) {
        const names = [...plan.mappers.keys()].join(', ')
        throw new RtmlError('CONFIG', `there is no source ${JSON.stringify(source)}. Sources: ${names}`, {
          place: opened.file,
        })
      }
      const records: NewRecord[] = []
      for (const event of events)
        records.push((await keyedRecord(mapper, plan.topics.raw(source), rawRecord(event))).record)
      await engine.log.append(records)
    },
    scores: (feed) => followScores(engine, plan.topics.scores, feed),
    profile: (key) => viewProfile(plan, engine, key),
    health: () => worker.health(),
    metrics: () => worker.metrics.expose(),
    [Symbol.asyncDispose]: () => rest.disposeAsync(),
  }
}

function rawRecord({ value, key, headers = {} }: RawEvent) {
  const isBytes = typeof value === 'string' || value instanceof Uint8Array
  const bytes: Headers = Object.fromEntries(Object.entries(headers).map(([name, text]) => [name, Buffer.from(text)]))
  return {
    key: key === undefined ? null : Buffer.from(key),
    value: Buffer.from(isBytes ? (value as string) : JSON.stringify(value)),
    headers: bytes,
  }
}
