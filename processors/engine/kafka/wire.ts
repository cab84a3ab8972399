/**
 * kafkajs' connections, seen from here. kafkajs opens, secures and authenticates connections, keeps metadata and encodes
 * the small requests; the requests that carry records and those that it doesn't know are written in protocol/. Its
 * consumer and producer are not used (docs/decisions/004-kafka-engine.md says why).
 *
 * A `Cluster` is given publicly to partition assigners, which is how it is had here.
 */
import { type Cluster, Kafka, logLevel, type SASLOptions } from 'kafkajs'
import { RtmlError } from '../../app/errors.ts'
import type { Clock } from '../../app/units.ts'
import type { BrokerSettings } from './config.ts'
import type { Health } from './health.ts'
import { oauthTokens } from './oauth.ts'
import { boundConnections, CLOSED } from './protocol/connections.ts'
import { isRefused, isSilent } from './protocol/errors.ts'
import { nodeOf, type WireBroker } from './protocol/node.ts'
import { findCoordinator } from './protocol/requests.ts'
import { text } from './text.ts'
import { tlsOptions } from './tls.ts'

/** Opens connections with one set of settings. */
export class Wire {
  readonly settings: BrokerSettings
  readonly clock: Clock
  readonly health: Health
  readonly #kafka: Promise<Kafka>
  readonly #lines = new Set<Line>()

  constructor(settings: BrokerSettings, clock: Clock, health: Health, log?: (text: string) => void) {
    this.settings = settings
    this.clock = clock
    this.health = health
    this.#kafka = openClient(settings, log)
    this.#kafka.catch(() => {})
  }

  kafka(): Promise<Kafka> {
    return this.#kafka
  }

  /** Connections of one user: requests of one node wait for each other, so users that wait long have their own. */
  line(): Line {
    const line = new Line(this, () => this.#lines.delete(line))
    this.#lines.add(line)
    return line
  }

  /** Closes the lines that are still open: somebody may be waiting for a broker that is away. */
  async close(): Promise<void> {
    await Promise.all([...this.#lines].map((line) => line.close()))
  }
}

/** One set of connections, one to each node (and one more for fetches); opened on first use, thrown away on failure. */
export class Line {
  readonly #wire: Wire
  readonly #onClosed: () => void
  #connections: Connections | undefined
  #closed = false
  readonly #coordinators = new Map<string, WireBroker>()
  #turn = 0

  constructor(wire: Wire, onClosed: () => void) {
    this.#wire = wire
    this.#onClosed = onClosed
  }

  /**
   * Runs `use` with a connected cluster. A failed connection is thrown away, so that the next call starts afresh.
   * @param place what was being done, for the message
   * @throws RtmlError LOG_DOWN when there was no answer, CONFIG when the broker refuses for good; what the broker said
   *   otherwise (see protocol/errors.ts)
   */
  async call<T>(place: string, use: (cluster: Cluster) => Promise<T>): Promise<T> {
    const { health } = this.#wire
    if (this.#closed) throw new RtmlError('LOG_DOWN', 'the log is closed', { place })
    try {
      this.#connections ??= this.#open()
      const value = await use(await this.#connections.cluster)
      health.up('kafka')
      return value
    } catch (error) {
      if (error instanceof RtmlError) throw error
      if (isRefused(error)) throw refusal(place, error)
      if (!isSilent(error)) throw error
      // Cut off by `close`: that says nothing about the broker.
      if (this.#closed) throw new RtmlError('LOG_DOWN', 'the log is closed', { place, cause: error })
      health.silent('kafka')
      this.drop()
      const brokers = this.#wire.settings.brokers.join(',')
      throw new RtmlError('LOG_DOWN', `${place}: no answer from ${brokers}: ${text(error)}. Retried.`, { cause: error })
    }
  }

  /** The node that coordinates a group, or the transactions of an id; remembered until `forget` or a failure. */
  async coordinator(cluster: Cluster, of: 'group' | 'transaction', id: string): Promise<WireBroker> {
    const key = `${of} ${id}`
    const known = this.#coordinators.get(key)
    if (known) return known
    const nodes = cluster.getNodeIds()
    if (nodes.length === 0) await cluster.refreshMetadata()
    // Another node each time, so that one that is away is not asked for ever.
    const asked = await nodeOf(
      cluster,
      Number(nodes[this.#turn++ % Math.max(1, nodes.length)] ?? cluster.getNodeIds()[0]),
    )
    const found = await nodeOf(cluster, await findCoordinator(asked, of, id))
    this.#coordinators.set(key, found)
    return found
  }

  /**
   * Asks for metadata anew. kafkajs asks for all topics that the line has ever used and fails when one of them is gone, so
   * a line that can't refresh begins afresh.
   * @throws RtmlError as `call`
   */
  async refresh(): Promise<void> {
    await this.call('metadata', (cluster) => cluster.refreshMetadata()).catch((error: unknown) => {
      if (error instanceof RtmlError) throw error
      this.drop()
    })
    this.forget()
  }

  forget(): void {
    this.#coordinators.clear()
  }

  /** Throws the connections away; the next call opens new ones. */
  drop(): void {
    this.#connections?.cut()
    this.#connections = undefined
    this.#coordinators.clear()
  }

  /** Closes the connections at once; requests under way fail with LOG_DOWN. */
  async close(): Promise<void> {
    this.#closed = true
    this.#onClosed()
    this.drop()
  }

  #open(): Connections {
    const { clock, settings } = this.#wire
    let isCut = false
    let cut: (() => void) | undefined
    const open = async () => {
      const cluster = newCluster(await this.#wire.kafka())
      cut = boundConnections(cluster, clock, settings.requestTimeoutMs)
      if (isCut) cut()
      await cluster.connect()
      await cluster.refreshMetadata()
      return cluster
    }
    return {
      cluster: open(),
      cut: () => {
        isCut = true
        cut?.()
      },
    }
  }
}

interface Connections {
  readonly cluster: Promise<Cluster>
  /** Closes them at once, also while they are being opened. */
  cut(): void
}

function newCluster(kafka: Kafka): Cluster {
  let cluster: Cluster | undefined
  // Assigners are made at once and given the cluster; this consumer joins no group, so no group permission is needed.
  kafka.consumer({
    groupId: 'unused',
    allowAutoTopicCreation: false,
    partitionAssigners: [
      (given) => {
        cluster = given.cluster
        return {
          name: '',
          version: 0,
          assign: async () => [],
          protocol: () => ({ name: '', metadata: Buffer.alloc(0) }),
        }
      },
    ],
  })
  if (!cluster) throw new Error('kafkajs gave no cluster: version 2.2 is needed')
  return cluster
}

async function openClient(settings: BrokerSettings, log: ((text: string) => void) | undefined): Promise<Kafka> {
  const ssl = settings.tls && (await tlsOptions(settings.tls))
  const sasl = saslOptions(settings)
  return new Kafka({
    brokers: [...settings.brokers],
    clientId: settings.clientId,
    connectionTimeout: Math.min(5_000, settings.requestTimeoutMs),
    authenticationTimeout: settings.requestTimeoutMs,
    requestTimeout: settings.requestTimeoutMs,
    // Retrying is decided here, per operation, and not in two places.
    retry: { retries: 1, initialRetryTime: 50, maxRetryTime: 500 },
    ...(ssl && { ssl }),
    ...(sasl && { sasl }),
    logLevel: log ? logLevel.WARN : logLevel.NOTHING,
    logCreator: () => (entry) => {
      // What a broker answers reaches the caller as an error; many answers only mean "not yet".
      const { message } = entry.log
      if (!message.startsWith('Response ') && !message.includes(CLOSED)) log?.(`${entry.namespace}: ${message}`)
    },
  })
}

function saslOptions({ sasl }: BrokerSettings): SASLOptions | undefined {
  if (!sasl) return undefined
  if (sasl.mechanism !== 'oauthbearer') return { ...sasl }
  return { mechanism: 'oauthbearer', oauthBearerProvider: oauthTokens(sasl) }
}

function refusal(place: string, error: unknown): RtmlError {
  return new RtmlError(
    'CONFIG',
    `${place}: the broker refuses: ${text(error)}. Check credentials and ACLs (docs/kafka.md).`,
    {
      cause: error,
    },
  )
}
