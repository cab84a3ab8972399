import { RtmlError } from '../app/errors.ts'
import { ALL_ROLES, type Role } from '../app/roles.ts'
import { systemClock } from '../app/system-clock.ts'
import { ms } from '../app/units.ts'
import type { Engine } from '../engine/ports.ts'
import type { DeployTarget } from '../runtime/gallery/model-follower.ts'
import { type Health, healthOf } from '../runtime/service.ts'
import type { Logger } from '../runtime/telemetry.ts'
import { fillFeatures, type RunningApplication, runApplication, runLearners } from '../topology.ts'
import type { Env, OpenedApplication } from './application-file.ts'
import { openEngine } from './open-engine.ts'
import { type PrometheusMetrics, prometheusMetrics } from './prometheus.ts'

/** A worker process: an application on an engine, with its figures and its health. Exists before the engine answers. */
export interface Worker extends AsyncDisposable {
  readonly opened: OpenedApplication
  readonly engine: Engine
  readonly metrics: PrometheusMetrics
  /** Undefined while it waits for dependencies. */
  readonly running: RunningApplication | undefined
  /** Resolves when events flow. @throws what made the start fail */
  readonly started: Promise<RunningApplication>
  /** Settles with the error when the worker can't go on. */
  readonly failed: Promise<unknown>
  health(): Health
}

export interface WorkerOptions {
  readonly opened: OpenedApplication
  readonly env: Env
  readonly logger: Logger
  readonly dataDir?: string | undefined
  /** What this process does of the whole. Default: everything. */
  readonly roles?: ReadonlySet<Role> | undefined
  /** Default: chosen by the environment. A given one stays the caller's. */
  readonly engine?: Engine
}

const LAG_EVERY_MS = 2_000
const END_MS = ms(1_000)
/** A start that takes longer is named in the health. */
const STARTING = 'starting'

/** @throws RtmlError CONFIG when the engine's settings aren't valid */
export async function startWorker(options: WorkerOptions): Promise<Worker> {
  const { env, logger, opened, roles = ALL_ROLES } = options
  const engine =
    options.engine ??
    (await openEngine(env, {
      dataDir: options.dataDir,
      role: 'run',
      onWarning: (text) => logger.warn({ client: 'kafkajs' }, text),
    }))
  if (engine.name === 'embedded' && roles.size < ALL_ROLES.size) {
    await engine[Symbol.asyncDispose]()
    throw new RtmlError(
      'CONFIG',
      'the embedded engine does everything in one process: its log and states are files that one process writes. Leave the roles away, or set KAFKA_BROKERS, REDIS_URL and SCHEMA_REGISTRY_URL.',
      { place: '--roles' },
    )
  }
  const metrics = prometheusMetrics()
  const stop = new AbortController()
  const failed = Promise.withResolvers<unknown>()
  let running: RunningApplication | undefined
  let startError: unknown

  const started = runApplication({
    ...opened.planOptions,
    engine,
    clock: systemClock,
    random: Math.random,
    hrtime: () => performance.now() / 1_000,
    metrics,
    logger,
    roles,
    targets: targetsOf(roles),
    signal: stop.signal,
  }).then((application) => {
    running = application
    void application.service.failed.then((error) => failed.resolve(error))
    return application
  })
  started.catch((error: unknown) => {
    startError = error
    if (!stop.signal.aborted) failed.resolve(error)
  })
  const learning = started.then((application) => (roles.has('learner') ? runLearners(application) : undefined))
  learning.catch((error: unknown) => {
    if (!stop.signal.aborted) failed.resolve(error)
  })
  const measuring = measure(engine, metrics, () => running, stop.signal)
  const filling = started.then(
    async (application) => {
      if (roles.has('scorer')) await fillFeatures(application, { env: (name) => env[name], signal: stop.signal })
    },
    () => {},
  )

  return {
    opened,
    engine,
    metrics,
    started,
    failed: failed.promise,
    get running() {
      return running
    },
    health() {
      const now = systemClock.now()
      if (running) {
        // Events flow with the models before: worth a look, not a reason to take the process out.
        const problems = running.models?.problems() ?? []
        const health = healthOf(running.service, engine.down(), now)
        return { ...health, reasons: [...health.reasons, ...problems] }
      }
      const idle = { error: startError, status: () => [] }
      const health = healthOf(idle, engine.down(), now)
      return { ...health, isReady: false, reasons: [...health.reasons, STARTING] }
    },
    async [Symbol.asyncDispose]() {
      stop.abort()
      await started.catch(() => {})
      // Before the stages: what they still write is learned by the next owner.
      await (await learning.catch(() => undefined))?.[Symbol.asyncDispose]()
      await running?.[Symbol.asyncDispose]()
      const rest = Promise.allSettled([measuring, filling])
      if (!options.engine) {
        // They may wait for a service that is away: closing the engine ends that.
        const timer = new AbortController()
        await Promise.race([rest, systemClock.sleep(END_MS, timer.signal)])
        timer.abort()
        await engine[Symbol.asyncDispose]()
      }
      await rest
    },
  }
}

/** Models of the hub score the stream, those of the edge answer requests. */
function targetsOf(roles: ReadonlySet<Role>): ReadonlySet<DeployTarget> {
  return new Set([
    ...(roles.has('scorer') ? (['hub'] as const) : []),
    ...(roles.has('edge') ? (['edge'] as const) : []),
  ])
}

/** Lag and dependencies as gauges, until `signal` aborts. */
async function measure(
  engine: Engine,
  metrics: PrometheusMetrics,
  running: () => RunningApplication | undefined,
  signal: AbortSignal,
): Promise<void> {
  const known = new Set<string>()
  while (!signal.aborted) {
    const down = engine.down()
    for (const dependency of down.keys()) known.add(dependency)
    for (const dependency of known) metrics.gauge('rtml_dependency_up', [dependency], down.has(dependency) ? 0 : 1)
    for (const { topic, shards } of running()?.service.status() ?? []) {
      // A log that is away shows in rtml_dependency_up; the lag stays at its last figure.
      const bounds = await engine.log.bounds(topic).catch(() => [])
      for (const { partition, end } of bounds) {
        const position = shards.get(partition)?.position
        if (position !== undefined)
          metrics.gauge('rtml_lag_events', [topic, String(partition)], Math.max(0, end - position))
      }
    }
    await systemClock.sleep(LAG_EVERY_MS as never, signal)
  }
}
