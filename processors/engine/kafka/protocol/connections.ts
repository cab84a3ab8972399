/**
 * Connections of kafkajs 2.2.4, with an end to every wait. kafkajs gives requests a time-out, but one that is sent in the
 * instants between the failure of a connection and its disposal is neither answered nor timed out, and a disconnect waits
 * for the answers of a broker that may be gone. Members that its types leave out are declared here.
 */
import type { Cluster } from 'kafkajs'
import { type Clock, type Ms, ms } from '../../../app/units.ts'

interface Connection {
  readonly connectionStatus: string
  readonly socket?: { destroy(): void }
  isConnected(): boolean
  /** Called with each failure of the connection. */
  rejectRequests(error: Error): void
}

/** The connections to one node. */
export interface Pool {
  readonly pool: readonly Connection[]
  send(request: { readonly requestTimeout?: number | null }): Promise<unknown>
  getConnection(index?: number): Promise<unknown>
  destroy(): Promise<unknown>
}

interface Internals {
  readonly connectionPoolBuilder: { build(...args: unknown[]): Promise<Pool> }
}

/** kafkajs' own time-outs come first; ours are for what they miss. */
const GRACE_MS = 1_000

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
    super('the connection was closed')
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
    for (const connection of pool.pool) {
      // kafkajs takes one that is being disposed of for connected, and writes to it.
      connection.isConnected = () => connection.connectionStatus === 'connected'
      const reject = connection.rejectRequests.bind(connection)
      connection.rejectRequests = (error) => {
        reject(error)
        for (const end of this.#underWay) end(error)
      }
    }
    const send = pool.send.bind(pool)
    const getConnection = pool.getConnection.bind(pool)
    const destroy = pool.destroy.bind(pool)
    // A request may wait behind the opening of its connection.
    pool.send = (request) =>
      this.#within(2 * requestTimeoutMs + (request.requestTimeout ?? 0), 'answer', () => send(request))
    pool.getConnection = (index) => this.#within(2 * requestTimeoutMs, 'connection', () => getConnection(index))
    pool.destroy = () => {
      for (const connection of pool.pool) {
        connection.rejectRequests(new ConnectionClosed())
        connection.socket?.destroy()
      }
      return destroy()
    }
  }

  close(): void {
    this.#isClosed = true
    this.pool.destroy().catch(() => {})
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
