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
    isDestroyed: false,
    rejected: [] as Error[],
    get socket() {
      return { destroy: () => (this.isDestroyed = true) }
    },
    isConnected: () => true,
    rejectRequests(error: Error) {
      this.rejected.push(error)
    },
  })
  const connections = [connection(), connection()]
  const pool = {
    pool: connections,
    send: over.send ?? never,
    getConnection: never,
    destroy: async () => true,
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
  bound.close()
  await expect(request).rejects.toBeInstanceOf(ConnectionClosed)
  expect(connections.map((it) => it.isDestroyed)).toEqual([true, true])
  await expect(pool.send({})).rejects.toBeInstanceOf(ConnectionClosed)
  await expect(pool.getConnection()).rejects.toBeInstanceOf(ConnectionClosed)
})
