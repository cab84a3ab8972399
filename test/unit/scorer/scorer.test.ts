import { describe, expect, it } from 'vitest'
import type { FeatureSet } from '../../../processors/features/types.ts'
import {
  createModelPool,
  createScorer,
  type ScorerModel,
  type ScorerOptions,
} from '../../../processors/scorer/index.ts'
import { PoolBusy } from '../../../processors/scorer/pool.ts'
import { expression, FunctionPool, featureSet, ManualClock, model, row, testdata } from './support.ts'

const bytes = (text: string) => new TextEncoder().encode(text)
const simple = (name: string, over: Partial<ScorerModel> = {}) => model({ name, bytes: bytes(name), ...over })

async function scorerOf(models: readonly ScorerModel[], over: Partial<ScorerOptions> & { features?: FeatureSet } = {}) {
  const pool = (over.pool as FunctionPool | undefined) ?? new FunctionPool()
  const clock = new ManualClock()
  const log: Record<string, unknown>[] = []
  const scorer = await createScorer({
    plan: { models },
    featureSet: over.features ?? featureSet(['x']),
    pool,
    clock,
    log: (msg, fields) => log.push({ msg, ...fields }),
    ...over,
  })
  return { scorer, pool, clock, log }
}

/** A gate that a test opens. */
function gate() {
  const { promise: closed, resolve: open } = Promise.withResolvers<void>()
  return { closed, open }
}
const turns = async (count = 5) => {
  for (let i = 0; i < count; i++) await new Promise((resolve) => setImmediate(resolve))
}

describe('scoring', () => {
  it('gives the scores of each row in order, naming model, version, service and role', async () => {
    const { scorer } = await scorerOf([simple('propensity', { version: '7', service: 'home' })])
    const scores = await scorer.score([row('a', [0.25]), row('b', [0.5])])
    const common = {
      model: 'propensity',
      version: '7',
      service: 'home',
      role: 'champion',
      output: 'score',
      fallback: 'none',
    }
    expect(scores).toEqual([[{ ...common, value: 0.25 }], [{ ...common, value: 0.5 }]])
    expect(await scorer.score([])).toEqual([])
  })

  it('chunks a call by maxBatchRows and keeps the order', async () => {
    const { scorer, pool } = await scorerOf([simple('m', { maxBatchRows: 4 })])
    const scores = await scorer.score(Array.from({ length: 10 }, (_, i) => row(`e${i}`, [i])))
    expect(pool.batches).toEqual([4, 4, 2])
    expect(scores.map(([it]) => it?.value)).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9])
  })

  it('scores a model of fixed batch 1 row by row, and pads a fixed batch of 4 without leaking the padding', async () => {
    for (const [fixed, batches] of [
      [1, [1, 1, 1, 1, 1, 1]],
      [4, [4, 4]],
    ] as const) {
      const pool = new FunctionPool([{ name: 'x', type: 'float32', dims: [fixed, 1] }])
      const { scorer, log } = await scorerOf([simple('m')], { pool })
      const scores = await scorer.score(Array.from({ length: 6 }, (_, i) => row(`e${i}`, [i])))
      expect(pool.batches).toEqual(batches)
      expect(scores.map((list) => list.map((it) => it.value))).toEqual([[0], [1], [2], [3], [4], [5]])
      expect(log).toMatchObject([
        {
          msg: 'model binding',
          model: 'm',
          note: expect.stringMatching(fixed === 1 ? /row by row/ : /exactly 4 rows/),
        },
      ])
    }
  })

  it('scores only the events for which `when` is true', async () => {
    const when = expression((event) => event.eventType === 'commerce.purchases')
    const { scorer, pool } = await scorerOf([simple('buyers', { when }), simple('all')])
    const scores = await scorer.score([
      row('a', [1], { xdm: { eventType: 'commerce.purchases' } }),
      row('b', [2], { xdm: { eventType: 'web' } }),
    ])
    expect(scores.map((list) => list.map((it) => it.model))).toEqual([['buyers', 'all'], ['all']])
    expect(pool.batches.sort()).toEqual([1, 2])
  })
})

describe('champion, arms and shadows', () => {
  const service = [
    simple('champion', { service: 'home' }),
    simple('arm-a', { service: 'home', role: 'arm', share: 0.2 }),
    simple('arm-b', { service: 'home', role: 'arm', share: 0.3 }),
    simple('shadow', { service: 'home', role: 'shadow' }),
  ]
  const rows = (purpose: string, count = 4_000) =>
    Array.from({ length: count }, (_, i) => row(`${purpose}-${i}`, [i], { key: `ECID:${i}` }))
  const servedBy = async (models: readonly ScorerModel[], purpose: string) => {
    const { scorer } = await scorerOf(models)
    const scores = await scorer.score(rows(purpose))
    return scores.map((list) => list.find((it) => it.role !== 'shadow')?.model)
  }

  it('gives each profile to exactly one of champion and arms by share, and every row to the shadow', async () => {
    const { scorer } = await scorerOf(service)
    const scores = await scorer.score(rows('e'))
    expect(scores.every((list) => list.length === 2)).toBe(true)
    expect(scores.every((list) => list.some((it) => it.role === 'shadow' && it.model === 'shadow'))).toBe(true)
    const count = (name: string) => scores.filter((list) => list.some((it) => it.model === name)).length / scores.length
    expect(Math.abs(count('arm-a') - 0.2)).toBeLessThan(0.03)
    expect(Math.abs(count('arm-b') - 0.3)).toBeLessThan(0.03)
  })

  it('is sticky: other events, another process and a new arm at the end leave a profile where it was', async () => {
    const first = await servedBy(service, 'morning')
    expect(await servedBy(service, 'evening')).toEqual(first)
    const grown = await servedBy([...service, simple('arm-c', { service: 'home', role: 'arm', share: 0.1 })], 'evening')
    const moved = grown.flatMap((name, i) => (name === first[i] ? [] : [{ from: first[i], to: name }]))
    expect(moved.length).toBeGreaterThan(0)
    expect(moved.every((it) => it.from === 'champion' && it.to === 'arm-c')).toBe(true)
  })

  it('lets rivals watch each other: each row has one that serves, and the others as shadows', async () => {
    const watching = service.map((model) => (model.name === 'arm-b' ? model : { ...model, watch: true }))
    const { scorer } = await scorerOf(watching)
    const scores = await scorer.score(rows('e', 400))
    const plain = await servedBy(service, 'e')
    expect(scores.map((list) => list.find((it) => it.role !== 'shadow')?.model)).toEqual(plain.slice(0, 400))
    for (const list of scores) {
      expect(list.filter(({ role }) => role !== 'shadow')).toHaveLength(1)
      const names = list.map(({ model }) => model)
      expect(names).toEqual(expect.arrayContaining(['champion', 'arm-a', 'shadow']))
      // It doesn't watch, so it is there only where it serves.
      expect(names.includes('arm-b')).toBe(list.some(({ model, role }) => model === 'arm-b' && role === 'arm'))
    }
  })

  it('draws arms of two services independently', async () => {
    const elsewhere = [
      simple('other', { service: 'cart' }),
      simple('arm-o', { service: 'cart', role: 'arm', share: 0.2 }),
    ]
    const [home, cart] = [await servedBy(service, 'e'), await servedBy(elsewhere, 'e')]
    const inBoth = home.filter((name, i) => name === 'arm-a' && cart[i] === 'arm-o').length / home.length
    expect(Math.abs(inBoth - 0.2 * 0.2)).toBeLessThan(0.015)
  })

  it.each<[string, ScorerModel[], string]>([
    [
      'two champions',
      [simple('a', { service: 'home' }), simple('b', { service: 'home' })],
      'service "home" has two champions, a and b.',
    ],
    [
      'no champion',
      [simple('a', { service: 'home', role: 'arm', share: 0.5 })],
      'service "home" has arms but no champion.',
    ],
    [
      'an arm without a share',
      [simple('a', { service: 'home' }), simple('b', { service: 'home', role: 'arm' })],
      'arm b of service "home" has no share. Give it one: share: 0.1.',
    ],
    [
      'shares above 1',
      [
        simple('a', { service: 'home' }),
        simple('b', { service: 'home', role: 'arm', share: 0.7 }),
        simple('c', { service: 'home', role: 'arm', share: 0.4 }),
      ],
      'add up to 1.100, more than 1',
    ],
  ])('refuses a service with %s', async (_, models, message) => {
    await expect(scorerOf(models)).rejects.toMatchObject({ code: 'CONFIG', message: expect.stringContaining(message) })
  })
})

describe('when a model gives no score', () => {
  const failing = (over: Partial<ScorerModel>) => simple('m', { outputs: { score: undefined }, ...over })
  const broken = () => {
    const pool = new FunctionPool()
    pool.answer = () => {
      throw new Error('the model broke')
    }
    return pool
  }

  it('uses the prior, says so, and counts and logs the failure', async () => {
    const { scorer, log } = await scorerOf([failing({ fallback: { kind: 'prior', value: 0.05 } })], { pool: broken() })
    expect(await scorer.score([row('a', [1])])).toMatchObject([[{ value: 0.05, fallback: 'prior' }]])
    expect(scorer.counters()).toMatchObject({ fallbacks: { error: 1, deadline: 0 }, absent: 0 })
    expect(log).toMatchObject([{ msg: 'model run failed', model: 'm', failures: 1, cause: 'the model broke' }])
  })

  it('logs the 1st, 2nd, 4th and 8th failure only', async () => {
    const { scorer, log } = await scorerOf([failing({})], { pool: broken() })
    for (let i = 0; i < 9; i++) await scorer.score([row(`e${i}`, [1])])
    expect(log.map((it) => it.failures)).toEqual([1, 2, 4, 8])
  })

  it('uses the last score of the profile, never a fallback of it; a profile that it does not know gets none', async () => {
    const { scorer, pool } = await scorerOf([failing({ fallback: { kind: 'previous' } })])
    await scorer.score([row('a', [0.7], { key: 'ECID:known' })])
    pool.answer = (_key, rows) => rows.map(() => Number.NaN)
    for (let i = 0; i < 3; i++) {
      const scores = await scorer.score([row('b', [9], { key: 'ECID:known' }), row('c', [9], { key: 'ECID:new' })])
      expect(scores).toMatchObject([[{ value: expect.closeTo(0.7, 5), fallback: 'previous' }], []])
    }
    expect(scorer.counters()).toMatchObject({ fallbacks: { notFinite: 6 }, absent: 3 })
  })

  it('uses a rule over the event and the features, where a missing number is null', async () => {
    const rule = expression((xdm, { features }) => {
      const { x, missing } = features as { x: number; missing: number | null }
      return xdm.eventType === 'web' && missing === null ? x * 2 : 'no number'
    })
    const features = featureSet(['x', 'missing'])
    const { scorer } = await scorerOf([failing({ fallback: { kind: 'rule', rule } })], { pool: broken(), features })
    const scores = await scorer.score([
      row('a', [0.2, Number.NaN], { xdm: { eventType: 'web' } }),
      row('b', [0.2, Number.NaN], { xdm: { eventType: 'other' } }),
    ])
    expect(scores).toMatchObject([[{ value: expect.closeTo(0.4, 5), fallback: 'rule' }], []])
  })

  it('leaves a shadow’s score out', async () => {
    const { scorer } = await scorerOf(
      [
        simple('champion', { service: 's', fallback: { kind: 'prior', value: 0.5 } }),
        simple('shadow', { service: 's', role: 'shadow' }),
      ],
      { pool: broken() },
    )
    expect(await scorer.score([row('a', [1])])).toMatchObject([[{ model: 'champion', fallback: 'prior' }]])
  })

  it('falls back only for the row whose output is not finite', async () => {
    const { scorer } = await scorerOf([failing({ fallback: { kind: 'prior', value: -1 } })])
    const scores = await scorer.score([
      row('a', [1]),
      row('b', [Number.NaN]),
      row('c', [Number.POSITIVE_INFINITY]),
      row('d', [4]),
    ])
    expect(scores.map(([it]) => [it?.value, it?.fallback])).toEqual([
      [1, 'none'],
      [-1, 'prior'],
      [-1, 'prior'],
      [4, 'none'],
    ])
  })

  it('counts a full queue apart from a broken model', async () => {
    const pool = new FunctionPool()
    pool.answer = () => {
      throw new PoolBusy('full')
    }
    const { scorer } = await scorerOf([failing({ fallback: { kind: 'prior', value: 0 } })], { pool })
    await scorer.score([row('a', [1])])
    expect(scorer.counters().fallbacks).toMatchObject({ busy: 1, error: 0 })
  })
})

describe('a deadline', () => {
  it('ends the wait: late rows fall back, rows that were in time keep their score, the late result is dropped', async () => {
    const { scorer, pool, clock } = await scorerOf([
      simple('fast', { deadlineMs: 50 }),
      simple('slow', { deadlineMs: 50, fallback: { kind: 'prior', value: 0.1 } }),
    ])
    const { closed, open } = gate()
    const run = pool.run.bind(pool)
    pool.run = async (key, inputs, fetches, signal) => {
      if (key.startsWith('slow')) {
        await Promise.race([closed, new Promise((resolve) => signal?.addEventListener('abort', resolve))])
        signal?.throwIfAborted()
      }
      return run(key, inputs, fetches, signal)
    }
    const scoring = scorer.score([row('a', [1])])
    await turns()
    clock.advance(51)
    expect(await scoring).toMatchObject([
      [
        { model: 'fast', value: 1, fallback: 'none' },
        { model: 'slow', value: 0.1, fallback: 'prior' },
      ],
    ])
    expect(scorer.counters().fallbacks).toMatchObject({ deadline: 1, error: 0 })
    open()
    await turns()
    expect(await scorer.score([])).toEqual([])
  })

  it('is waited beyond in the stream where no fallback knows anything, and nowhere else', async () => {
    const late = async (over: object) => {
      const { scorer, pool, clock } = await scorerOf([simple('m', { deadlineMs: 50, fallback: { kind: 'previous' } })])
      const { closed, open } = gate()
      const run = pool.run.bind(pool)
      pool.run = async (key, inputs, fetches, signal) => {
        if (signal) await new Promise((resolve) => signal.addEventListener('abort', resolve))
        signal?.throwIfAborted()
        await closed
        return run(key, inputs, fetches, signal)
      }
      const scoring = scorer.score([{ ...row('a', [7]), ...over }])
      await turns()
      clock.advance(51)
      await turns()
      open()
      return { scores: await scoring, absent: scorer.counters().absent }
    }
    expect(await late({ at: 'hub' })).toMatchObject({ scores: [[{ value: 7, fallback: 'none' }]], absent: 0 })
    expect(await late({ at: 'edge' })).toEqual({ scores: [[]], absent: 1 })
  })

  it('is not missed by a result that lies in the mailbox while the loop was held up', async () => {
    const { scorer, pool, clock } = await scorerOf([simple('m', { deadlineMs: 50 })])
    const { closed, open } = gate()
    pool.gate = closed
    const scoring = scorer.score([row('a', [1])])
    await turns()
    clock.advance(60)
    open()
    expect(await scoring).toMatchObject([[{ value: 1, fallback: 'none' }]])
  })

  it('is not looked at when deadlines are off', async () => {
    const { scorer, pool, clock } = await scorerOf([simple('m', { deadlineMs: 1 })], { deadlines: 'off' })
    const { closed, open } = gate()
    pool.gate = closed
    const scoring = scorer.score([row('a', [1])])
    await turns()
    clock.advance(1_000_000)
    await turns()
    open()
    expect(await scoring).toMatchObject([[{ value: 1, fallback: 'none' }]])
  })
})

describe('explanations', () => {
  const features = featureSet(['a', 'b', 'c:2', 'unused'], { a: 1 })
  const pool = () => {
    const it = new FunctionPool([{ name: 'x', type: 'float32', dims: [-1, 4] }])
    // 2a + b + c0·c1: c is one feature of two columns.
    it.answer = (_key, rows) => rows.map(([a = 0, b = 0, c0 = 0, c1 = 0]) => 2 * a + b + c0 * c1)
    return it
  }
  const explained = (over: Partial<ScorerModel> = {}) => simple('m', { inputs: ['a', 'b', 'c'], ...over })

  it('on request name what moved the score from the declared defaults, the strongest first', async () => {
    const { scorer } = await scorerOf([explained()], { features, pool: pool() })
    const [[score] = []] = await scorer.score([row('e', [4, 0.5, 3, 5, 9], { explain: true })])
    expect(score).toMatchObject({ value: 23.5 })
    expect(score?.explanation).toEqual([
      { feature: 'c', contribution: 15 },
      { feature: 'a', contribution: 6 },
      { feature: 'b', contribution: 0.5 },
    ])
  })

  it('keep the top N and leave out what is at its default or has no effect', async () => {
    const { scorer } = await scorerOf([explained({ explain: { share: 0, top: 1 } })], { features, pool: pool() })
    const [[first] = [], [second] = []] = await scorer.score([
      row('e', [4, 0.5, 3, 5, 9], { explain: true }),
      row('f', [1, 0, 3, 0, 9], { explain: true }),
    ])
    expect(first?.explanation).toEqual([{ feature: 'c', contribution: 15 }])
    expect(second?.explanation).toEqual([])
  })

  it('are sampled by the event’s id: the same events in every process', async () => {
    const rows = Array.from({ length: 1_000 }, (_, i) => row(`event-${i}`, [4, 1, 1, 1, 1]))
    const explainedIds = async () => {
      const { scorer } = await scorerOf([explained({ explain: { share: 0.1, top: 5 } })], { features, pool: pool() })
      return (await scorer.score(rows)).map(([it]) => it?.explanation !== undefined)
    }
    const first = await explainedIds()
    expect(await explainedIds()).toEqual(first)
    const share = first.filter(Boolean).length / rows.length
    expect(Math.abs(share - 0.1)).toBeLessThan(0.03)
  })

  it('sampled ones are left out when the scores have used the time up', async () => {
    const slow = pool()
    const { scorer, clock } = await scorerOf([explained({ explain: { share: 1, top: 5 }, deadlineMs: 50 })], {
      features,
      pool: slow,
    })
    slow.answer = (_key, rows) => {
      clock.advance(49)
      return rows.map(([a = 0]) => a)
    }
    const [[inTime] = []] = await scorer.score([row('e', [4, 1, 1, 1, 1])])
    expect(inTime?.explanation).toBeDefined()
    slow.answer = (_key, rows) => rows.map(([a = 0]) => a)
    const run = slow.run.bind(slow)
    slow.run = async (...given) => {
      const result = await run(...given)
      clock.advance(60)
      return result
    }
    const [[late] = []] = await scorer.score([row('f', [4, 1, 1, 1, 1])])
    expect(late).toMatchObject({ value: 4, fallback: 'none' })
    expect(late?.explanation).toBeUndefined()
    expect(scorer.counters().unexplained).toBe(1)
  })

  it('are not given for a fallback', async () => {
    const nan = pool()
    nan.answer = (_key, rows) => rows.map(() => Number.NaN)
    const { scorer } = await scorerOf([explained({ fallback: { kind: 'prior', value: 0.5 } })], { features, pool: nan })
    const [[score] = []] = await scorer.score([row('e', [4, 1, 1, 1, 1], { explain: true })])
    expect(score).toMatchObject({ fallback: 'prior' })
    expect(score?.explanation).toBeUndefined()
  })
})

describe('a hot swap', () => {
  const versions = (version: string, over: Partial<ScorerModel> = {}) => [
    model({ name: 'a', bytes: bytes(`a${version}`), version, ...over }),
    model({ name: 'b', bytes: bytes(`b${version}`), version, ...over }),
  ]
  const versionsOf = (scores: { version: string }[][]) =>
    scores.map((list) => [...new Set(list.map((it) => it.version))])

  it('never mixes versions in a call, drops none, and unloads the old sessions when the last old call has ended', async () => {
    const { scorer, pool } = await scorerOf(versions('1'))
    const { closed, open } = gate()
    pool.gate = closed
    const old = scorer.score([row('a', [1]), row('b', [2])])
    await scorer.swap({ models: versions('2') })
    pool.gate = Promise.resolve()
    expect(versionsOf(await scorer.score([row('c', [3])]))).toEqual([['2']])
    expect(pool.unloaded).toEqual([])
    open()
    expect(versionsOf(await old)).toEqual([['1'], ['1']])
    await turns()
    expect(pool.unloaded.map((it) => it.slice(0, 3)).sort()).toEqual(['a@1', 'b@1'])
    expect([...pool.loaded.keys()].map((it) => it.slice(0, 3)).sort()).toEqual(['a@2', 'b@2'])
  })

  it('scores with the models that are deployed where the row is asked for, and lays samples out for the stream only', async () => {
    const { scorer } = await scorerOf([
      simple('all'),
      simple('stream', { deploy: 'hub' }),
      simple('http', { deploy: 'edge' }),
    ])
    const [everywhere, hub, edge] = [
      row('a', [1]),
      { ...row('b', [1]), at: 'hub' as const },
      { ...row('c', [1]), at: 'edge' as const },
    ]
    const scores = await scorer.score([everywhere, hub, edge])
    expect(scores.map((it) => it.map(({ model }) => model))).toEqual([
      ['all', 'stream', 'http'],
      ['all', 'stream'],
      ['all', 'http'],
    ])
    expect(scorer.outputs().map(({ model }) => model)).toEqual(['all', 'stream'])
    const mixed = [simple('c', { service: 's' }), simple('d', { service: 's', role: 'arm', share: 0.5, deploy: 'hub' })]
    await expect(scorer.swap({ models: mixed })).rejects.toThrow(/deployed to both and hub/)
  })

  it('keeps a session that the new plan uses too, and the previous scores of a model', async () => {
    const [a, b] = versions('1', { fallback: { kind: 'previous' } }) as [ScorerModel, ScorerModel]
    const { scorer, pool } = await scorerOf([a, b])
    await scorer.score([row('e', [0.5], { key: 'ECID:1' })])
    await scorer.swap({ models: [a, { ...b, version: '2' }] })
    await turns()
    expect(pool.unloaded.map((it) => it.slice(0, 3))).toEqual(['b@1'])
    pool.answer = () => {
      throw new Error('broken')
    }
    expect(await scorer.score([row('f', [0.9], { key: 'ECID:1' })])).toMatchObject([
      [
        { model: 'a', value: 0.5, fallback: 'previous' },
        { model: 'b', version: '2', value: 0.5, fallback: 'previous' },
      ],
    ])
  })

  it('loads the same version again when its bytes changed', async () => {
    const { scorer, pool } = await scorerOf([model({ name: 'a', bytes: bytes('one') })])
    await scorer.swap({ models: [model({ name: 'a', bytes: bytes('two') })] })
    await turns()
    expect(pool.unloaded).toHaveLength(1)
    expect([...pool.loaded.values()].map((it) => new TextDecoder().decode(it))).toEqual(['two'])
  })

  it('that is refused changes nothing and unloads what it had loaded', async () => {
    const { scorer, pool } = await scorerOf(versions('1'))
    const broken = [versions('2')[0], model({ name: 'b', bytes: Uint8Array.of(0xff), version: '2' })] as ScorerModel[]
    await expect(scorer.swap({ models: broken })).rejects.toThrow('a broken model')
    await expect(scorer.swap({ models: [simple('c', { inputs: ['y'] })] })).rejects.toThrow('MODEL_INPUT c@1 wants "y"')
    await turns()
    expect(versionsOf(await scorer.score([row('c', [3])]))).toEqual([['1']])
    expect([...pool.loaded.keys()].map((it) => it.slice(0, 3)).sort()).toEqual(['a@1', 'b@1'])
  })

  it('stays consistent under many calls and swaps at once', async () => {
    const { scorer, pool } = await scorerOf(versions('0'))
    const calls: Promise<{ version: string }[][]>[] = []
    const swaps: Promise<void>[] = []
    for (let i = 1; i <= 50; i++) {
      calls.push(scorer.score([row(`e${i}`, [i]), row(`f${i}`, [i])]))
      swaps.push(scorer.swap({ models: versions(String(i)) }))
      if (i % 7 === 0) await turns(1)
    }
    await Promise.all(swaps)
    for (const scores of await Promise.all(calls)) {
      expect(scores.map((list) => list.length)).toEqual([2, 2])
      expect(new Set(scores.flat().map((it) => it.version)).size).toBe(1)
    }
    await turns()
    expect(scorer.counters().fallbacks).toMatchObject({ error: 0, deadline: 0 })
    expect([...pool.loaded.keys()].map((it) => it.split('#')[0]).sort()).toEqual(['a@50', 'b@50'])
    await scorer[Symbol.asyncDispose]()
    await turns()
    expect(pool.loaded.size).toBe(0)
  })

  it('works the same on real sessions: every call is answered by one model, and one session is left', async () => {
    await using pool = await createModelPool({ workers: 2 })
    const names = ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h']
    const plan = (i: number) => {
      const [name, output] = i % 2 ? ['boosting_regressor', undefined] : ['logreg_zipmap_odd', { class: 5 }]
      return {
        models: [
          model({
            name: 'm',
            version: `${i}`,
            bytes: testdata(`${name}.onnx`),
            inputs: names,
            outputs: { score: output },
          }),
        ],
      }
    }
    const options = { plan: plan(0), featureSet: featureSet(names), pool, clock: new ManualClock() }
    await using scorer = await createScorer(options)
    const rows = Array.from({ length: 700 }, (_, i) =>
      row(
        `e${i}`,
        names.map((_, j) => Math.sin(i + j)),
      ),
    )
    const expected = [await scorer.score(rows)]
    await scorer.swap(plan(1))
    expected.push(await scorer.score(rows))
    const calls = []
    for (let i = 2; i < 22; i++) {
      calls.push(scorer.score(rows), scorer.score(rows.slice(0, 3)))
      await scorer.swap(plan(i))
    }
    for (const scores of await Promise.all(calls)) {
      const [version] = new Set(scores.map(([it]) => it?.version))
      const same = expected[Number(version) % 2] as typeof scores
      expect(scores.map(([it]) => it?.value)).toEqual(same.slice(0, scores.length).map(([it]) => it?.value))
    }
    expect(scorer.counters()).toMatchObject({ absent: 0, swaps: 22 })
    await expect.poll(() => pool.stats().models).toBe(1)
  })
})
