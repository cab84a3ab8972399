/** The connection to Redis: single, Sentinel or Cluster; scripts by hash; every failure told apart. */
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { Cluster, Redis, type RedisOptions } from 'ioredis'
import { RtmlError } from '../../app/errors.ts'
import type { Clock } from '../../app/units.ts'
import type { RedisSettings } from './config.ts'
import type { Health } from './health.ts'
import { tlsOptions } from './tls.ts'

interface Script {
  readonly name: string
  readonly lua: string
  readonly sha: string
}

const SCRIPTS = ['own', 'peek', 'apply', 'trim', 'restore-begin', 'restore-write', 'restore-end', 'scan'] as const
export type ScriptName = (typeof SCRIPTS)[number]

const scripts: ReadonlyMap<ScriptName, Script> = new Map(
  SCRIPTS.map((name) => {
    const lua = readFileSync(new URL(`./lua/${name}.lua`, import.meta.url), 'utf8')
    return [name, { name, lua, sha: createHash('sha1').update(lua).digest('hex') }]
  }),
)

type Argument = string | Buffer | number
/** What a command answers: ioredis gives Buffers for texts, numbers for integers. */
export type Reply = Buffer | number | null | readonly Reply[]

/** Words that a Redis error begins with when it will pass. Source: Redis error codes in server.c and cluster.c. */
const PASSING = /^(LOADING|READONLY|CLUSTERDOWN|MASTERDOWN|TRYAGAIN|MOVED|ASK|BUSY|OOM|MISCONF|NOREPLICAS|UNBLOCKED)\b/
const REFUSED = /^(NOAUTH|WRONGPASS|NOPERM)\b|invalid username-password|without any password/i
const RECONNECT_WAIT_MS_MAX = 1_000
const WAITING_COMMANDS_MAX = 10_000

export class RedisLine {
  readonly settings: RedisSettings
  readonly #clock: Clock
  readonly #health: Health
  readonly #client: Promise<Redis | Cluster>
  /** Commands without an answer: bounded, so that a frozen server can't fill the memory. */
  #waiting = 0
  /** Why there is no connection. */
  #lastError: Error | undefined

  constructor(settings: RedisSettings, clock: Clock, health: Health) {
    this.settings = settings
    this.#clock = clock
    this.#health = health
    this.#client = this.#open()
    this.#client.catch(() => {})
  }

  /**
   * Runs a script by its hash; sends its text when the server doesn't know it (after a restart or a failover).
   * @throws RtmlError STORE_DOWN, CONFIG
   */
  async run(name: ScriptName, keys: readonly Argument[], args: readonly Argument[]): Promise<Reply> {
    const { lua, sha } = scripts.get(name)!
    const rest = [keys.length, ...keys, ...args]
    return this.#call(async (client) => {
      try {
        return (await client.callBuffer('EVALSHA', sha, ...rest)) as Reply
      } catch (error) {
        if (!/^NOSCRIPT/.test(messageOf(error))) throw error
        return (await client.callBuffer('EVAL', lua, ...rest)) as Reply
      }
    })
  }

  async command(name: string, ...args: Argument[]): Promise<Reply> {
    return this.#call(async (client) => (await client.callBuffer(name, ...args)) as Reply)
  }

  /** Waits until the writes to `key` so far are on the wanted number of replicas. @throws RtmlError STORE_DOWN when they aren't */
  async replicated(key: string): Promise<void> {
    const { minReplicas, replicaWaitMs } = this.settings
    if (minReplicas === 0) return
    const count = await this.#call(async (client) => {
      // The key leads a cluster client to the node; WAIT itself has none.
      const [, waited] = (await client.pipeline().exists(key).call('WAIT', minReplicas, replicaWaitMs).exec()) ?? []
      if (waited?.[0]) throw waited[0]
      return waited?.[1] as number
    })
    if (count >= minReplicas) return
    const place = this.#place()
    throw new RtmlError(
      'STORE_DOWN',
      `${count} of ${minReplicas} replicas have the last write after ${replicaWaitMs} ms.`,
      { place },
    )
  }

  /** @throws RtmlError STORE_DOWN, CONFIG */
  async probe(): Promise<void> {
    await this.command('PING')
  }

  /** Asks once whether the server may throw states away. @throws RtmlError CONFIG when it may */
  async checkEviction(): Promise<void> {
    const info = await this.command('INFO', 'memory').catch((error: unknown) => {
      // Not every user may ask; the page of settings says what is needed.
      if (error instanceof RtmlError && error.code === 'CONFIG') return null
      throw error
    })
    const text = Buffer.isBuffer(info) ? info.toString() : ''
    const policy = /maxmemory_policy:(\S+)/.exec(text)?.[1] ?? 'noeviction'
    const limit = Number(/\bmaxmemory:(\d+)/.exec(text)?.[1] ?? 0)
    if (policy === 'noeviction' || limit === 0) return
    const message = `maxmemory-policy is ${policy}: Redis would drop states silently. Set it to noeviction.`
    throw new RtmlError('CONFIG', message, { place: this.#place() })
  }

  async close(): Promise<void> {
    const client = await this.#client.catch(() => undefined)
    client?.disconnect()
  }

  async #call<T>(use: (client: Redis | Cluster) => Promise<T>): Promise<T> {
    if (this.#waiting >= WAITING_COMMANDS_MAX) throw this.#down(`${WAITING_COMMANDS_MAX} commands wait for an answer`)
    this.#waiting++
    try {
      const client = await this.#client
      if (client.status !== 'ready') await this.#ready(client)
      const value = await use(client)
      this.#health.up('redis')
      return value
    } catch (error) {
      throw this.#classified(error)
    } finally {
      this.#waiting--
    }
  }

  /** Waits for the connection as long as for an answer. */
  async #ready(client: Redis | Cluster): Promise<void> {
    const timer = new AbortController()
    const ready = Promise.withResolvers<true>()
    const onReady = () => ready.resolve(true)
    client.once('ready', onReady)
    const late = this.#clock.sleep(this.settings.commandTimeoutMs, timer.signal).then(() => false)
    const isReady = client.status === 'ready' || (await Promise.race([ready.promise, late]))
    timer.abort()
    client.off('ready', onReady)
    if (!isReady) throw this.#lastError ?? new Error('not connected')
  }

  #classified(error: unknown): RtmlError | Error {
    if (error instanceof RtmlError) return error
    const message = messageOf(error)
    if (REFUSED.test(message)) {
      this.#health.up('redis')
      return new RtmlError('CONFIG', `${message}. Check credentials and ACL (docs/kafka.md).`, {
        place: this.#place(),
        cause: error,
      })
    }
    const isReply = error instanceof Error && error.name === 'ReplyError'
    if (isReply && !PASSING.test(message)) return error
    this.#health.silent('redis')
    return this.#down(message, error)
  }

  #down(message: string, cause?: unknown): RtmlError {
    return new RtmlError('STORE_DOWN', `${message}. Retried.`, { place: this.#place(), cause })
  }

  #place(): string {
    const { topology } = this.settings
    const nodes =
      topology.kind === 'single' ? [topology.node] : topology.kind === 'cluster' ? topology.nodes : topology.sentinels
    return `redis ${nodes.map(({ host, port }) => `${host}:${port}`).join(',')}`
  }

  async #open(): Promise<Redis | Cluster> {
    const { topology, username, password, tls, commandTimeoutMs } = this.settings
    const secure = tls && (await tlsOptions(tls))
    const retryStrategy = (times: number) => Math.min(RECONNECT_WAIT_MS_MAX, 50 * 2 ** Math.min(times, 10))
    const common: Common = {
      connectTimeout: commandTimeoutMs,
      commandTimeout: commandTimeoutMs,
      // What was sent and not answered may have happened: only the caller knows whether to send it again.
      autoResendUnfulfilledCommands: false,
      maxRetriesPerRequest: 0,
      enableOfflineQueue: false,
      // A master that became a replica answers READONLY: look for the new one.
      reconnectOnError: (error) => error.message.startsWith('READONLY'),
      retryStrategy,
      disableClientInfo: true,
      ...(username && { username }),
      ...(password && { password }),
      ...(secure && { tls: secure }),
    }
    const client = this.#connect(common, topology, retryStrategy)
    // Each command that waits for the connection listens: as many as may wait.
    client.setMaxListeners(WAITING_COMMANDS_MAX)
    client.on('error', (error) => {
      this.#lastError = error
      this.#health.silent('redis')
    })
    client.on('close', () => this.#health.silent('redis'))
    client.on('ready', () => {
      this.#lastError = undefined
      this.#health.up('redis')
    })
    return client
  }

  #connect(
    common: Common,
    topology: RedisSettings['topology'],
    retryStrategy: (times: number) => number,
  ): Redis | Cluster {
    switch (topology.kind) {
      case 'single':
        return new Redis({ ...common, ...topology.node, db: topology.database })
      case 'sentinel': {
        const { sentinels, master, database, sentinelUsername, sentinelPassword } = topology
        return new Redis({
          ...common,
          sentinels: sentinels.map((node) => ({ ...node })),
          name: master,
          db: database,
          sentinelRetryStrategy: retryStrategy,
          ...(sentinelUsername && { sentinelUsername }),
          ...(sentinelPassword && { sentinelPassword }),
          ...(common.tls && { sentinelTLS: common.tls, enableTLSForSentinelMode: true }),
        })
      }
      case 'cluster': {
        const { retryStrategy: _, enableOfflineQueue: __, ...redisOptions } = common
        return new Cluster([...topology.nodes], {
          redisOptions,
          enableOfflineQueue: false,
          clusterRetryStrategy: retryStrategy,
          slotsRefreshTimeout: this.settings.commandTimeoutMs,
          slotsRefreshInterval: 5_000,
          // With TLS the certificate names hosts, and nodes tell each other's addresses.
          ...(redisOptions.tls && { dnsLookup: asGiven }),
        })
      }
    }
  }
}

type Common = Omit<RedisOptions, 'replyMapping'>

const asGiven = (address: string, done: (error: null, address: string) => void): void => done(null, address)

const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error))
