/** The parts of a chaos run that must themselves be right: links, plans and gaps. */
import { once } from 'node:events'
import { connect, createServer, type Socket } from 'node:net'
import { afterEach, describe, expect, it } from 'vitest'
import type { Injected } from './inject.ts'
import { Link } from './link.ts'
import { pausesOf } from './pauses.ts'
import { KINDS, planOf } from './plan.ts'

describe('a link', () => {
  const cleanUp: (() => Promise<void> | void)[] = []
  afterEach(async () => {
    for (const end of cleanUp.splice(0).reverse()) await end()
  })

  /** A server that echoes, behind a link. */
  async function echo(): Promise<Link> {
    const server = createServer((socket) => socket.on('error', () => {}).pipe(socket))
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    const address = server.address() as { port: number }
    const link = await Link.open(address.port)
    cleanUp.push(() => void server.close())
    cleanUp.push(() => link[Symbol.asyncDispose]())
    return link
  }
  async function client(link: Link): Promise<Socket> {
    const socket = connect(link.port, '127.0.0.1')
    socket.on('error', () => {})
    await once(socket, 'connect')
    cleanUp.push(() => void socket.destroy())
    return socket
  }
  const closeOf = (socket: Socket) => new Promise<void>((resolve) => socket.once('close', () => resolve()))
  const answer = async (socket: Socket, text: string): Promise<string> => {
    socket.write(text)
    let got = ''
    while (got.length < text.length) got += String((await once(socket, 'data'))[0])
    return got
  }

  it('passes bytes both ways, slowly when told to, in order', async () => {
    const link = await echo()
    const socket = await client(link)
    expect(await answer(socket, 'hello')).toBe('hello')
    link.slow(40)
    const started = performance.now()
    expect(await answer(socket, 'x'.repeat(200_000))).toHaveLength(200_000)
    expect(performance.now() - started).toBeGreaterThanOrEqual(79)
    socket.write('slow ')
    link.heal()
    expect(await answer(socket, 'fast')).toMatch(/^slow /)
  })

  it('holds bytes without telling anybody, and delivers them late', async () => {
    const link = await echo()
    const socket = await client(link)
    for (const direction of ['forth', 'back', 'both'] as const) {
      link.silent(direction)
      let isHeld = true
      const answered = answer(socket, direction).then((text) => ({ text, isHeld }))
      // Another link's round trip: had the bytes been let through, they would be here by now.
      await answer(await client(await echo()), 'meanwhile')
      isHeld = false
      link.heal()
      expect(await answered).toEqual({ text: direction, isHeld: false })
    }
  })

  it('resets connections when it is cut, and takes none until it is healed', async () => {
    const link = await echo()
    const socket = await client(link)
    await answer(socket, 'here')
    const closed = closeOf(socket)
    link.cut()
    await closed
    const refused = connect(link.port, '127.0.0.1')
    refused.on('error', () => {})
    await closeOf(refused)
    link.heal()
    expect(await answer(await client(link), 'again')).toBe('again')
  })
})

describe('a plan', () => {
  it('is a function of the seed', () => {
    expect(planOf(7, 10)).toEqual(planOf(7, 10))
    expect(planOf(8, 10)).not.toEqual(planOf(7, 10))
  })

  it.each([1, 2, 3, 4, 5])('has more than 200 faults of all kinds in 30 minutes (seed %d)', (seed) => {
    const plan = planOf(seed, 30)
    expect(plan.length).toBeGreaterThan(200)
    expect(new Set(plan.map(({ kind }) => kind))).toEqual(new Set(KINDS))
    expect(plan.map(({ atMs }) => atMs)).toEqual(plan.map(({ atMs }) => atMs).toSorted((a, b) => a - b))
    expect(plan.at(-1)!.atMs).toBeLessThan(30 * 60_000)
  })
})

describe('pauses', () => {
  const every = (ms: number, from: number, to: number) =>
    Array.from({ length: Math.ceil((to - from) / ms) }, (_, index) => from + index * ms)
  const fault = (kind: Injected['kind'], startedAt: number, endedAt = startedAt): Injected => ({
    kind,
    startedAt,
    endedAt,
  })

  it('are the longest gaps of each partition around a fault that stands alone', () => {
    const partitions = [every(10, 0, 60_000), [...every(10, 0, 30_100), ...every(10, 30_800, 60_000)]]
    const { planned, kills, byKind } = pausesOf([fault('worker-leave', 30_000, 30_500)], partitions)
    expect(planned).toEqual({ count: 2, p50Ms: 10, p99Ms: 710 })
    expect(kills.count).toBe(0)
    expect(byKind).toEqual({ 'worker-leave': { count: 1, p50Ms: 710, p99Ms: 710 } })
  })

  it('are not told of faults that have others near them', () => {
    const partitions = [every(10, 0, 60_000)]
    const near = [fault('worker-kill', 20_000, 21_000), fault('redis-flush', 28_000)]
    expect(pausesOf(near, partitions).kills.count).toBe(0)
    expect(pausesOf([near[0]!, fault('redis-flush', 30_000)], partitions).kills.count).toBe(1)
  })
})
