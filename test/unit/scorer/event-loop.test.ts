import { afterAll, beforeAll, expect, it } from 'vitest'
import { createModelPool, createScorer, type WorkerPool } from '../../../processors/scorer/index.ts'
import { cpuMs, LIMIT_MS, longestTurn, longestTurnOfThree } from './longest-turn.ts'
import { identityModel } from './proto-writer.ts'
import { benchModel, featureSet, ManualClock, model, row } from './support.ts'

let pool: WorkerPool
beforeAll(async () => {
  pool = await createModelPool()
})
afterAll(() => pool[Symbol.asyncDispose]())

it('notices a turn that blocks', async () => {
  const busy = async () => {
    for (const until = cpuMs() + 30; cpuMs() < until; );
  }
  expect(await longestTurn(busy)).toBeGreaterThan(LIMIT_MS)
})

it('is not blocked while a model of 64 MiB loads', async () => {
  const big = identityModel({ padding: new Uint8Array(64 * 1_048_576) })
  let key = 0
  const longest = await longestTurnOfThree(async () => {
    const name = `big-${key++}`
    await pool.load(name, big)
    await pool.unload(name)
  })
  expect(longest).toBeLessThan(LIMIT_MS)
})

it('is not blocked while 40,000 rows are scored by 100 trees', async () => {
  const names = Array.from({ length: 32 }, (_, i) => `f${i}`)
  const plan = { models: [model({ name: 'bench', bytes: benchModel(), inputs: names, deadlineMs: 60_000 })] }
  await using scorer = await createScorer({ plan, featureSet: featureSet(names), pool, clock: new ManualClock() })
  const rows = Array.from({ length: 4_096 }, (_, i) =>
    row(
      `e${i}`,
      names.map((_, j) => Math.sin(i * 31 + j)),
      { key: `ECID:${i}` },
    ),
  )
  const longest = await longestTurnOfThree(async () => {
    for (let i = 0; i < 10; i++) {
      const scores = await scorer.score(rows)
      expect(scores.every(([it]) => it?.fallback === 'none')).toBe(true)
    }
  })
  expect(longest).toBeLessThan(LIMIT_MS)
})
