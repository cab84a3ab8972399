import { cp } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import { expect, it } from 'vitest'
import type { Engine } from '../../processors/engine/ports.ts'
import { append, examples, learn, learned, openData, prepare, runAlone, shop } from './harness.ts'

const COUNT = 1_200

/** An engine whose process dies at the n-th write of this kind: before or after it, as the parity says. */
function mortal(
  engine: Engine,
  kind: 'apply' | 'append',
  n: number,
): { engine: Engine; dead: Promise<'there'>; kill: () => void } {
  const dead = Promise.withResolvers<'there'>()
  let calls = 0
  let isDead = false
  // Nothing of a dead process goes on: its calls never settle.
  const forever = new Promise<never>(() => {})
  const wrap = <T extends object>(target: T, mine: boolean): T =>
    new Proxy(target, {
      get: (it, name) => {
        const value = Reflect.get(it, name) as unknown
        if (typeof value !== 'function') return value
        return (...args: unknown[]) => {
          if (isDead) return forever
          if (!mine || name !== kind || ++calls < n) return value.apply(it, args)
          isDead = true
          const last = n % 2 === 0 ? Promise.resolve(value.apply(it, args)) : Promise.resolve()
          void last.then(() => dead.resolve('there'))
          return forever
        }
      },
    })
  const wrapped = {
    ...engine,
    name: engine.name,
    registry: engine.registry,
    store: wrap(engine.store, kind === 'apply'),
    log: wrap(engine.log, kind === 'append'),
    down: () => engine.down(),
  } as Engine
  const kill = () => {
    isDead = true
  }
  return { engine: wrapped, dead: dead.promise, kill }
}

it('goes on as if it had not been killed, wherever that was: the same weights to the last byte', async () => {
  await using folder = await shop()
  const { dir, plan } = folder
  {
    await using engine = await openData(dir)
    await prepare(engine, plan)
    await append(engine, plan, examples({ count: COUNT }))
  }
  await cp(join(dir, 'data'), join(dir, 'copy', 'data'), { recursive: true })

  await using engine = await openData(dir)
  let deaths = 0
  for (const n of [1, 2, 3, 4]) {
    for (const kind of ['apply', 'append'] as const) {
      const process = mortal(engine, kind, n)
      void runAlone(process.engine, plan, { batchRecords: 30 })
      // The last ones may have too little left to do to come so far: they die when nothing more happens.
      const where = await Promise.race([process.dead, setTimeout(2_000, 'idle' as const)])
      process.kill()
      if (where === 'there') deaths++
    }
  }
  await using _ = await learn(engine, plan, { batchRecords: 30 })
  const stream = await learned(engine, plan)

  await using other = await openData(join(dir, 'copy'))
  await using __ = await learn(other, plan)
  const whole = await learned(other, plan)
  expect(deaths).toBeGreaterThanOrEqual(5)
  expect(stream.status().labels).toBe(COUNT)
  expect(Buffer.from(stream.learnerBytes()).equals(whole.learnerBytes())).toBe(true)
})
