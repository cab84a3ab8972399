import { Command, Option } from 'commander'
import { pino } from 'pino'
import { parseRoles, ROLES } from '../app/roles.ts'
import { type Served, serve } from '../edge/serve.ts'
import { consoleDir } from '../host/console.ts'
import { overviewOf } from '../host/overview.ts'
import { startWorker, type Worker } from '../host/start.ts'
import type { Logger } from '../runtime/telemetry.ts'
import { CommandFailed, note } from './output.ts'
import { type EngineOptions, examples, openApp, portOption, withEngine } from './shared.ts'

export interface ListenOptions {
  /** `false`: health and metrics only. */
  readonly api?: boolean
  readonly host: string
  readonly port: number
}

export function runCommand(): Command {
  return withEngine(new Command('run'))
    .description('run the application until it is told to stop (SIGTERM drains and commits first)')
    .option('--host <address>', 'address of health, metrics and page', '127.0.0.1')
    .option('--port <port>', 'port; 0 takes any free one', portOption, 8080)
    .option(
      '--roles <list>',
      `what this process does: ${Object.keys(ROLES).join(',')} (default: RTML_ROLES, else everything; Kafka engine only)`,
    )
    .addOption(
      new Option('--log-level <level>', 'least severity of log lines')
        .choices(['debug', 'info', 'warn', 'error'])
        .default('info'),
    )
    .addHelpText(
      'after',
      examples(
        'rtml run',
        'rtml run --app shop/rtml.yaml --data /var/lib/rtml --host 0.0.0.0 --port 8080',
        'rtml run --roles edge --host 0.0.0.0',
      ),
    )
    .action(async (options: EngineOptions & ListenOptions & { logLevel: string; roles?: string }) => {
      const logger = pino({ level: options.logLevel, base: null }, pino.destination({ dest: 2, sync: false }))
      const named = options.roles ?? process.env.RTML_ROLES
      const roles = named ? parseRoles(named, options.roles === undefined ? 'RTML_ROLES' : '--roles') : undefined
      await using worker = await startWorker({
        opened: openApp(options),
        env: process.env,
        logger,
        dataDir: options.data,
        roles,
      })
      await using server = await listen(worker, { ...options, api: roles?.has('edge') ?? true }, logger)
      logger.info({ address: server.address, engine: worker.engine.name }, 'listening')
      worker.started.then(() => logger.info({ app: worker.opened.app.name }, 'events flow')).catch(() => {})
      const failed = Promise.race([worker.failed, server.failed])
      const end = await Promise.race([stopSignal(), failed.then((error) => ({ error }))])
      if (typeof end === 'object') throw end.error instanceof Error ? end.error : new CommandFailed(String(end.error))
      note(`rtml: ${end}: finishing what was taken in`)
      endWithin(STOP_MS)
    })
}

/** Below the half minute that supervisors give a process. */
const STOP_MS = 20_000

/**
 * A service that is away may hold up the end for as long as its time-outs add up to. Nothing depends on a finished drain:
 * the next owner goes on from what store and log have.
 */
function endWithin(ms: number): void {
  setTimeout(() => {
    note(
      `rtml: not finished after ${ms / 1_000} s; ending all the same. The next owner of the shards goes on from what is stored.`,
    )
    process.exit(1)
  }, ms).unref()
}

/** Serves a worker's API, health, metrics and page. @throws RtmlError CONFIG when nothing guards a public address */
export function listen(worker: Worker, { host, port, api }: ListenOptions, logger: Logger): Promise<Served> {
  return serve({
    worker,
    overview: () => overviewOf(worker),
    consoleDir,
    origins: worker.opened.app.edge.origins,
    env: process.env,
    logger,
    host,
    port,
    ...(api === undefined ? {} : { api }),
  }).catch((error: unknown) => {
    throw listenError(error, host, port)
  })
}

/** In words of the options instead of the operating system's. */
function listenError(error: unknown, host: string, port: number): unknown {
  switch ((error as NodeJS.ErrnoException).code) {
    case 'EADDRINUSE':
      return new CommandFailed(
        `port ${port} of ${host} is taken. Choose another with --port, or any free one: --port 0`,
      )
    case 'EADDRNOTAVAIL':
    case 'ENOTFOUND':
      return new CommandFailed(`${host} is no address of this machine. Choose another with --host, such as 127.0.0.1`)
    case 'EACCES':
      return new CommandFailed(`port ${port} needs more rights. Choose one above 1023 with --port`)
    default:
      return error
  }
}

export function stopSignal(): Promise<string> {
  return new Promise((resolve) => {
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => resolve(signal))
  })
}
