import { expect, it } from 'vitest'
import { truth, World } from './world.ts'

const codes = (world: World) => new Set(world.alerts.filter(({ state }) => state === 'open').map(({ code }) => code))

it('takes over from a champion that knows less, step by step, each with its evidence', () => {
  const world = new World()
  world.until(() => world.share === 1, 120)
  console.log(world.moves, world.second)
  expect(world.moves.map(({ kind, toShare }) => `${kind} ${toShare}`)).toEqual([
    'promote 0.05',
    'promote 0.5',
    'promote 1',
  ])
  for (const { evidence, why } of world.moves) {
    expect(evidence.low).toBeGreaterThan(0)
    expect(evidence.labels).toBeGreaterThanOrEqual(400)
    expect(why).toMatch(/loss lower by/)
  }
})
it('poison', () => {
  for (const seed of [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]) {
    let poison = Number.POSITIVE_INFINITY
    const world = new World({ seed, corrupt: (y, { second }) => (second >= poison ? 1 - y : y) })
    for (let i = 0; i < 120 && world.share < 1; i++) world.run(1)
    if (world.share < 1) {
      console.log(
        seed,
        world.moves.map((m) => m.kind + m.toShare + ' ' + m.why),
      )
      continue
    }
    world.run(120)
    const before = world.moves.length
    console.log(world.moves.slice(3), codes(world))
    poison = world.second
    const versions = new Map(world.servedBy)
    world.run(60)
    console.log(
      poison,
      world.moves
        .slice(before)
        .map((it) => ({ s: (it.at - 1_700_000_000_000) / 1000 - poison, kind: it.kind, why: it.why, v: it.version })),
    )
    console.log(
      [...world.servedBy].filter(([v]) => !versions.has(v)),
      world.stream.status().next,
    )
  }
}, 60_000)
