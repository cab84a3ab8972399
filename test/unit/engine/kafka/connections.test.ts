import { expect, it } from 'vitest'
import { ms } from '../../../../processors/app/units.ts'
import { BoundPool, ConnectionClosed, NoAnswer } from '../../../../processors/engine/kafka/protocol/connections.ts'
import { ManualClock } from '../../scorer/support.ts'

const TIMEOUT = ms(1_000)
const never = () => new Promise<never>(() => {})

/** A pool as kafkajs has one: two connections, the second for fetches. */
function poolOf(over: { send?: () => Promise<unknown> } = {}) {
  const clock = new ManualClock()
  const connection = () => ({
    connectionStatus: 'connected',
    authenticatedAt: null,
    rejected: [] as Error[],
    destroyedWith: [] as (Error | undefined)[],
    connects: [] as PromiseWithResolvers<unknown>[],
    isQueueGone: false,
    socket: { connecting: false, destroy: (_error?: Error) => {} },
    requestQueue: { destroy: () => {} },
    isConnected: () => true,
    connect(): Promise<unknown> {
      const connect = Promise.withResolvers<unknown>()
      this.connects.push(connect)
      return connect.promise
    },
    disconnect: never,
    rejectRequests(error: Error) {
      this.rejected.push(error)
    },
  })
  const connections = [connection(), connection()]
  for (const it of connections) {
    it.socket.destroy = (error) => it.destroyedWith.push(error)
    it.requestQueue.destroy = () => {
      it.isQueueGone = true
    }
  }
  const pool = {
    pool: connections,
    send: over.send ?? never,
    getConnection: never,
  }
  const bound = new BoundPool(pool, clock, TIMEOUT)
  return { clock, connections, bound, pool: bound.pool }
}

it('passes answers and refusals on', async () => {
  const refusal = new Error('not now')
  const answers = [Promise.resolve('yes'), Promise.reject(refusal)]
  const { pool } = poolOf({ send: () => answers.shift()! })
  await expect(pool.send({})).resolves.toBe('yes')
  await expect(pool.send({})).rejects.toBe(refusal)
})

it('ends a request that is never answered, later than its own time-out would', async () => {
  const { clock, pool } = poolOf()
  let error: unknown
  const request = pool.send({ requestTimeout: 5_000 }).catch((it: unknown) => {
    error = it
  })
  clock.advance(7_999)
  await Promise.resolve()
  expect(error).toBeUndefined()
  clock.advance(1)
  await request
  expect(error).toBeInstanceOf(NoAnswer)
})

it('ends the opening of a connection that nobody answers', async () => {
  const { clock, pool } = poolOf()
  const opening = pool.getConnection()
  clock.advance(3_000)
  await expect(opening).rejects.toBeInstanceOf(NoAnswer)
})

it('ends requests with the failure of a connection, also those that kafkajs has not queued yet', async () => {
  const { connections, pool } = poolOf()
  const request = pool.send({})
  const failure = new Error('read ECONNRESET')
  connections[0]!.rejectRequests(failure)
  await expect(request).rejects.toBe(failure)
  expect(connections[0]!.rejected).toEqual([failure])
})

it('does not take a connection that is being disposed of for connected', () => {
  const { connections } = poolOf()
  expect(connections[0]!.isConnected()).toBe(true)
  connections[0]!.connectionStatus = 'disconnecting'
  expect(connections[0]!.isConnected()).toBe(false)
})

it('closes at once and for good, whatever is under way', async () => {
  const { bound, connections, pool } = poolOf()
  const request = pool.send({})
  connections[1]!.socket.connecting = true
  bound.close()
  await expect(request).rejects.toBeInstanceOf(ConnectionClosed)
  expect(connections.map((it) => it.isConnected())).toEqual([false, false])
  expect(connections.map((it) => it.isQueueGone)).toEqual([true, true])
  // Only who connects has to be told.
  expect(connections.map((it) => it.destroyedWith)).toEqual([[undefined], [expect.any(ConnectionClosed)]])
  await expect(pool.send({})).rejects.toBeInstanceOf(ConnectionClosed)
  await expect(pool.getConnection()).rejects.toBeInstanceOf(ConnectionClosed)
})

it('opens one socket for all who connect at once, and another one later', async () => {
  const { connections } = poolOf()
  const [connection] = connections
  const both = [connection!.connect(), connection!.connect()]
  expect(connection!.connects).toHaveLength(1)
  connection!.connects[0]!.resolve(true)
  await expect(Promise.all(both)).resolves.toEqual([true, true])
  void connection!.connect()
  expect(connection!.connects).toHaveLength(2)
})
