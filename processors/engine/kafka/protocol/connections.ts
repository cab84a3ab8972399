/**
 * Connections of kafkajs 2.2.4, with an end to every wait, and none left behind. kafkajs gives requests a time-out, but one
 * that is sent in the instants between the failure of a connection and its disposal is neither answered nor timed out; a
 * disconnect waits for the answers of a broker that may be gone; and when two users connect at once, one socket is
 * forgotten and stays open for ever. Members that its types leave out are declared here.
 */
import type { Cluster } from 'kafkajs'
import { type Clock, type Ms, ms } from '../../../app/units.ts'

interface Connection {
  connectionStatus: string
  authenticatedAt: unknown
  readonly socket?: { readonly connecting: boolean; destroy(error?: Error): void }
  readonly requestQueue: { destroy(): void }
  isConnected(): boolean
  connect(): Promise<unknown>
  disconnect(): Promise<unknown>
  /** Called with each failure of the connection. */
  rejectRequests(error: Error): void
}

/** The connections to one node. */
export interface Pool {
  readonly pool: readonly Connection[]
  send(request: { readonly requestTimeout?: number | null }): Promise<unknown>
  getConnection(index?: number): Promise<unknown>
}

interface Internals {
  readonly connectionPoolBuilder: { build(...args: unknown[]): Promise<Pool> }
}

/** kafkajs' own time-outs come first; ours are for what they miss. */
const GRACE_MS = 1_000

/** In kafkajs' log, nobody needs to read that we closed a connection. */
export const CLOSED = 'the connection was closed'

/** Nothing was answered in time. */
export class NoAnswer extends Error {
  constructor(what: string, afterMs: number) {
    super(`no ${what} within ${afterMs} ms`)
    this.name = 'NoAnswer'
  }
}

/** We closed the connection while a request was under way. */
export class ConnectionClosed extends Error {
  constructor() {
    super(CLOSED)
    this.name = 'ConnectionClosed'
  }
}

/**
 * Gives every wait of a cluster's connections an end. Call it before the cluster connects.
 * @param requestTimeoutMs of a request without a time-out of its own; also bounds the opening of a connection
 * @returns what closes the connections at once and for good: requests and openings under way fail
 */
export function boundConnections(cluster: Cluster, clock: Clock, requestTimeoutMs: Ms): () => void {
  const { connectionPoolBuilder } = cluster as unknown as Internals
  const build = connectionPoolBuilder.build.bind(connectionPoolBuilder)
  const pools: BoundPool[] = []
  let isClosed = false
  connectionPoolBuilder.build = async (...args) => {
    if (isClosed) throw new ConnectionClosed()
    const pool = new BoundPool(await build(...args), clock, requestTimeoutMs)
    pools.push(pool)
    if (isClosed) pool.close()
    return pool.pool
  }
  return () => {
    isClosed = true
    for (const pool of pools) pool.close()
  }
}

/** The connections to one node, with an end to every wait; kafkajs goes on using its own object, which is changed. */
export class BoundPool {
  readonly pool: Pool
  readonly #clock: Clock
  // A set, and no promise that all races share: one that lives as long as the connection would keep every race alive.
  readonly #underWay = new Set<(error: Error) => void>()
  #isClosed = false

  constructor(pool: Pool, clock: Clock, requestTimeoutMs: Ms) {
    this.pool = pool
    this.#clock = clock
    for (const connection of pool.pool) this.#bind(connection)
    const send = pool.send.bind(pool)
    const getConnection = pool.getConnection.bind(pool)
    // A request may wait behind the opening of its connection.
    pool.send = (request) =>
      this.#within(2 * requestTimeoutMs + (request.requestTimeout ?? 0), 'answer', () => send(request))
    pool.getConnection = (index) => this.#within(2 * requestTimeoutMs, 'connection', () => getConnection(index))
  }

  close(): void {
    this.#isClosed = true
    for (const connection of this.pool.pool) void connection.disconnect()
  }

  #bind(connection: Connection): void {
    // kafkajs takes one that is being disposed of for connected, and writes to it.
    connection.isConnected = () => connection.connectionStatus === 'connected'
    const reject = connection.rejectRequests.bind(connection)
    connection.rejectRequests = (error) => {
      reject(error)
      for (const end of this.#underWay) end(error)
    }
    const connect = connection.connect.bind(connection)
    let connecting: Promise<unknown> | undefined
    connection.connect = () => {
      connecting ??= connect().finally(() => {
        connecting = undefined
      })
      return connecting
    }
    connection.disconnect = async () => {
      connection.authenticatedAt = null
      connection.connectionStatus = 'disconnected'
      const error = new ConnectionClosed()
      connection.rejectRequests(error)
      connection.requestQueue.destroy()
      // A connect under way learns of its end only through an error; else nobody needs to hear of it.
      if (connection.socket?.connecting) connection.socket.destroy(error)
      else connection.socket?.destroy()
    }
  }

  #within<T>(limitMs: number, what: string, work: () => Promise<T>): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      if (this.#isClosed) return reject(new ConnectionClosed())
      const timer = new AbortController()
      const settle = () => {
        this.#underWay.delete(end)
        timer.abort()
      }
      const end = (error: Error) => {
        settle()
        reject(error)
      }
      this.#underWay.add(end)
      work().then(
        (value) => {
          settle()
          resolve(value)
        },
        (error: Error) => end(error),
      )
      const bound = limitMs + GRACE_MS
      void this.#clock.sleep(ms(bound), timer.signal).then(() => {
        if (!timer.signal.aborted) end(new NoAnswer(what, bound))
      })
    })
  }
}
