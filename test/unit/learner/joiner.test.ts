import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { Ftrl } from '../../../processors/learner/ftrl.ts'
import { Heap } from '../../../processors/learner/heap.ts'
import {
  type Joined,
  type JoinRules,
  LabelJoiner,
  type Outcome,
  type Sample,
} from '../../../processors/learner/labels/joiner.ts'
import {
  fakeNegativeRate,
  fakeNegativeWeight,
  negativeSamplingRate,
} from '../../../processors/learner/labels/weights.ts'
import { SeededRandom } from '../../../processors/learner/random.ts'

const RULES: JoinRules = {
  windowMs: 100,
  latenessMs: 20,
  policy: 'wait',
  combine: 'first',
  negatives: 1,
  none: 0,
}
const sample = (id: string, ts: number, over: Partial<Sample<number>> = {}): Sample<number> => ({
  id,
  profile: 'p',
  ts,
  match: '',
  payload: 0,
  ...over,
})
const outcome = (id: string, ts: number, over: Partial<Outcome> = {}): Outcome => ({
  id,
  profile: 'p',
  ts,
  match: '',
  value: 1,
  ...over,
})
const short = (joined: readonly Joined<unknown>[]) => joined.map((it) => `${it.kind} ${it.sample.id}=${it.y}`)

describe('the join of samples and outcomes', () => {
  it('settles a sample when window and lateness are over, not before', () => {
    const joiner = new LabelJoiner<number>(RULES)
    joiner.sample(sample('a', 0))
    joiner.sample(sample('b', 50))
    joiner.outcome(outcome('o', 120))
    expect(joiner.advance(120)).toEqual([])
    expect(short(joiner.advance(121))).toEqual(['settled a=0', 'example a=0'])
    expect(short(joiner.advance(171))).toEqual(['settled b=1', 'example b=1'])
    expect(joiner.pending).toBe(0)
  })

  it('counts an outcome only after the sample, up to the end of the window, for the same profile and match', () => {
    const joiner = new LabelJoiner<number>(RULES)
    for (const [id, ts, over] of [
      ['same instant', 100, {}],
      ['just before', 99, {}],
      ['at the end', 0, {}],
      ['too early', -1, {}],
      ['other profile', 50, { profile: 'q' }],
      ['other match', 50, { match: 'x' }],
    ] as const)
      joiner.sample(sample(id, ts, over))
    joiner.outcome(outcome('o', 100))
    const labels = Object.fromEntries(joiner.advance(1_000).map((it) => [it.sample.id, it.y]))
    expect(labels).toEqual({
      'same instant': 0,
      'just before': 1,
      'at the end': 1,
      'too early': 0,
      'other profile': 0,
      'other match': 0,
    })
  })

  it.each([
    ['first', 5],
    ['last', 7],
    ['sum', 12],
    ['count', 2],
  ] as const)('combines several outcomes: %s', (combine, y) => {
    const joiner = new LabelJoiner<number>({ ...RULES, combine })
    joiner.sample(sample('a', 0))
    joiner.outcome(outcome('late one', 20, { value: 7 }))
    joiner.outcome(outcome('early one', 10, { value: 5 }))
    expect(joiner.advance(500)[0]).toMatchObject({ y })
  })

  it('takes each event once: duplicates and what comes too late are counted', () => {
    const joiner = new LabelJoiner<number>(RULES)
    joiner.sample(sample('a', 0))
    joiner.sample(sample('a', 0))
    joiner.outcome(outcome('o', 10))
    joiner.outcome(outcome('o', 10))
    expect(short(joiner.advance(200))).toEqual(['settled a=1', 'example a=1'])
    joiner.sample(sample('a', 0))
    joiner.outcome(outcome('o', 10))
    joiner.outcome(outcome('o2', 90))
    expect(joiner.advance(10_000)).toEqual([])
    expect(joiner.counts).toMatchObject({
      duplicateSamples: 1,
      duplicateOutcomes: 1,
      lateSamples: 1,
      lateOutcomes: 2,
      settled: 1,
      positives: 1,
    })
  })

  it('learns a fake negative at once, and a positive once when the first outcome comes', () => {
    const joiner = new LabelJoiner<number>({ ...RULES, policy: 'fake-negative' })
    expect(short(joiner.sample(sample('a', 0)))).toEqual(['example a=0'])
    expect(short(joiner.outcome(outcome('o', 10)))).toEqual(['example a=1'])
    expect(joiner.outcome(outcome('o2', 20))).toEqual([])
    expect(short(joiner.advance(500))).toEqual(['settled a=1'])
  })

  it('makes both copies when the outcome has overtaken the sample', () => {
    const joiner = new LabelJoiner<number>({ ...RULES, policy: 'fake-negative' })
    joiner.outcome(outcome('o', 10))
    expect(short(joiner.sample(sample('a', 0)))).toEqual(['example a=0', 'example a=1'])
  })

  it('samples negatives by id, keeps every positive, and weighs what is left', () => {
    const joiner = new LabelJoiner<number>({ ...RULES, negatives: 0.2 })
    for (let i = 0; i < 5_000; i++) joiner.sample(sample(`s${i}`, i % 10, { profile: `p${i}` }))
    for (let i = 0; i < 500; i++) joiner.outcome(outcome('o', 50, { profile: `p${i}` }))
    const examples = joiner.advance(1_000).filter((it) => it.kind === 'example')
    const negatives = examples.filter(({ y }) => y === 0)
    expect(examples.filter(({ y }) => y === 1)).toHaveLength(500)
    expect(Math.abs(negatives.length / 4_500 - 0.2)).toBeLessThan(0.02)
    expect(new Set(negatives.map(({ weight }) => weight))).toEqual(new Set([5]))
  })

  it('holds no more than its bounds', () => {
    const bounds = { samplesMax: 3, outcomesMax: 100, outcomesPerProfile: 2 }
    const joiner = new LabelJoiner<number>(RULES, bounds)
    for (let i = 0; i < 5; i++) joiner.sample(sample(`s${i}`, i))
    for (let i = 0; i < 5; i++) joiner.outcome(outcome(`o${i}`, 10 + i))
    expect(joiner.pending).toBe(3)
    expect(joiner.counts).toMatchObject({ overflowSamples: 2, overflowOutcomes: 3 })
    const busy = new LabelJoiner<number>(RULES, { ...bounds, samplesMax: 10, outcomesMax: 4 })
    for (let i = 0; i < 9; i++) busy.outcome(outcome('o', i, { profile: `p${i}` }))
    expect(busy.counts.overflowOutcomes).toBe(5)
  })

  it('forgets everything when time has passed', () => {
    const joiner = new LabelJoiner<number>(RULES)
    for (let i = 0; i < 1_000; i++) {
      joiner.sample(sample(`s${i}`, i, { profile: `p${i % 7}` }))
      joiner.outcome(outcome(`o${i}`, i, { profile: `p${i % 5}` }))
    }
    joiner.advance(1_000_000)
    const empty = new LabelJoiner<number>(RULES)
    empty.advance(1_000_000)
    Object.assign(empty.counts, joiner.counts)
    const nothing = () => new Uint8Array(0)
    expect(Buffer.from(joiner.encode(nothing))).toEqual(Buffer.from(empty.encode(nothing)))
  })

  it('drops, at the end, samples whose window is not over: nobody knows their label', () => {
    const joiner = new LabelJoiner<number>(RULES)
    joiner.sample(sample('known', 0))
    joiner.sample(sample('open', 60))
    expect(short(joiner.finish(120))).toEqual(['settled known=0', 'example known=0'])
  })
})

type Arrival =
  | { readonly kind: 'sample'; readonly sample: Sample<number> }
  | { readonly kind: 'outcome'; readonly outcome: Outcome }

/** Events in a possible order of arrival: none older than the newest before it by more than the lateness; some come twice. */
const arrivals = fc
  .array(
    fc.record({
      isSample: fc.boolean(),
      step: fc.integer({ min: 0, max: 30 }),
      back: fc.integer({ min: 0, max: 20 }),
      profile: fc.constantFrom('p', 'q'),
      match: fc.constantFrom('', 'x'),
      value: fc.integer({ min: 1, max: 9 }),
      again: fc.boolean(),
    }),
    { minLength: 1, maxLength: 80 },
  )
  .map((specs) => {
    let newest = 0
    return specs.flatMap(({ isSample, step, back, profile, match, value, again }, i): Arrival[] => {
      newest += step
      const ts = newest - back
      const arrival: Arrival = isSample
        ? { kind: 'sample', sample: { id: `s${i}`, profile, ts, match, payload: i } }
        : { kind: 'outcome', outcome: { id: `o${i}`, profile, ts, match, value } }
      return again ? [arrival, arrival] : [arrival]
    })
  })

const timeOf = (it: Arrival): number => (it.kind === 'sample' ? it.sample.ts : it.outcome.ts)

/** Every label from everything that ever came: what a query over a table would say. */
function reference(all: readonly Arrival[], rules: JoinRules, end: number): Map<string, number> {
  const outcomes = new Map(all.flatMap((it) => (it.kind === 'outcome' ? [[it.outcome.id, it.outcome]] : [])))
  const labels = new Map<string, number>()
  for (const it of all) {
    if (it.kind !== 'sample' || it.sample.ts + rules.windowMs > end) continue
    const { ts, profile, match, id } = it.sample
    const found = [...outcomes.values()]
      .filter((o) => o.profile === profile && o.match === match && o.ts > ts && o.ts <= ts + rules.windowMs)
      .sort((a, b) => a.ts - b.ts)
    const values = { first: found[0]?.value, last: found.at(-1)?.value, count: found.length }
    labels.set(
      id,
      found.length === 0
        ? rules.none
        : rules.combine === 'sum'
          ? found.reduce((sum, { value }) => sum + value, 0)
          : values[rules.combine]!,
    )
  }
  return labels
}

function run(all: readonly Arrival[], rules: JoinRules, options: { restartEvery?: number } = {}) {
  const pack = {
    encode: (payload: number) => Uint8Array.of(payload),
    decode: (bytes: Uint8Array) => bytes[0]!,
  }
  let joiner = new LabelJoiner<number>(rules)
  const joined: Joined<number>[] = []
  let newest = Number.NEGATIVE_INFINITY
  for (const [i, it] of all.entries()) {
    newest = Math.max(newest, timeOf(it))
    joined.push(...joiner.advance(newest))
    joined.push(...(it.kind === 'sample' ? joiner.sample(it.sample) : joiner.outcome(it.outcome)))
    if (options.restartEvery !== undefined && i % options.restartEvery === 0) {
      const bytes = joiner.encode(pack.encode)
      joiner = LabelJoiner.decode(bytes, rules, pack.decode)
      expect(Buffer.from(joiner.encode(pack.encode))).toEqual(Buffer.from(bytes))
    }
  }
  joined.push(...joiner.finish(newest))
  return { joined, newest, joiner }
}

describe('in any order of arrival', () => {
  it.each(['first', 'last', 'sum', 'count'] as const)(
    'labels equal those of a query over everything (%s)',
    (combine) => {
      fc.assert(
        fc.property(arrivals, fc.integer({ min: 1, max: 9 }), (all, restartEvery) => {
          const rules = { ...RULES, combine }
          const { joined, newest } = run(all, rules, { restartEvery })
          const settled = joined.filter((it) => it.kind === 'settled')
          const labels = new Map(settled.map((it) => [it.sample.id, it.y]))
          expect(labels).toEqual(reference(all, rules, newest))
          expect(settled).toHaveLength(labels.size)
          const examples = joined.filter((it) => it.kind === 'example')
          expect(examples.map((it) => [it.sample.id, it.y])).toEqual(settled.map((it) => [it.sample.id, it.y]))
        }),
        { numRuns: 300 },
      )
    },
  )

  it('fake negatives come exactly once a sample, and positives exactly once a sample that has an outcome', () => {
    fc.assert(
      fc.property(arrivals, fc.integer({ min: 1, max: 9 }), (all, restartEvery) => {
        const rules = { ...RULES, policy: 'fake-negative' as const }
        const { joined, newest } = run(all, rules, { restartEvery })
        const copies = (y: number) =>
          joined.flatMap((it) => (it.kind === 'example' && it.y === y ? [it.sample.id] : [])).sort()
        const samples = new Set(all.flatMap((it) => (it.kind === 'sample' ? [it.sample.id] : [])))
        expect(copies(0)).toEqual([...samples].sort())
        expect(new Set(copies(1)).size).toBe(copies(1).length)
        const positive = [...reference(all, rules, newest)].flatMap(([id, y]) => (y > 0 ? [id] : []))
        for (const id of positive) expect(copies(1)).toContain(id)
      }),
      { numRuns: 300 },
    )
  })

  it('refuses state that was kept by other rules', () => {
    const bytes = new LabelJoiner<number>(RULES).encode(() => new Uint8Array(0))
    expect(() => LabelJoiner.decode(bytes, { ...RULES, windowMs: 7 }, () => 0)).toThrow(/other rules/)
  })
})

describe('the correction of delayed labels', () => {
  it('is that of the published formulas', () => {
    expect(fakeNegativeWeight(1, 0.3)).toBeCloseTo(1.3, 12)
    expect(fakeNegativeWeight(0, 0.3)).toBeCloseTo(0.7 * 1.3, 12)
    for (const p of [0.01, 0.2, 0.7]) expect(fakeNegativeRate(p / (1 + p))).toBeCloseTo(p, 12)
    expect(fakeNegativeRate(0.9)).toBe(1)
    const r = 0.1
    for (const p of [0.02, 0.5]) expect(negativeSamplingRate(p / (p + (1 - p) * r), r)).toBeCloseTo(p, 12)
  })

  /** Two groups with rates 0.1 and 0.4; outcomes come after an exponential delay, cut at the window. */
  function learned(policy: JoinRules['policy'], negatives: number, weigh: boolean): [number, number] {
    const random = new SeededRandom(99)
    const rules: JoinRules = { ...RULES, windowMs: 2_000, latenessMs: 0, policy, negatives }
    const joiner = new LabelJoiner<number>(rules)
    const learner = new Ftrl({ inputs: [{ kind: 'id', name: 'group', size: 2 }], task: { kind: 'binary' } })
    const due = new Heap<Outcome>((a, b) => a.ts < b.ts)
    const sums = [0, 0]
    const events = 40_000
    const take = (joined: readonly Joined<number>[]) => {
      for (const it of joined) {
        if (it.kind !== 'example') continue
        const row = Float32Array.of(it.sample.payload)
        const correction = policy === 'fake-negative' && weigh ? fakeNegativeWeight(it.y, learner.predict(row)) : 1
        learner.learn(row, it.y, it.weight * correction)
      }
    }
    for (let t = 0; t < events; t++) {
      while (due.size > 0 && due.top.ts <= t) take(joiner.outcome(due.pop()))
      take(joiner.advance(t))
      const group = t % 2
      const profile = `p${t}`
      take(joiner.sample({ id: profile, profile, ts: t, match: '', payload: group }))
      const delay = -Math.log(1 - random.next()) * 400
      if (random.next() < [0.1, 0.4][group]!) {
        due.push({ id: profile, profile, ts: t + Math.max(0.001, Math.min(2_000, delay)), match: '', value: 1 })
      }
      if (t >= events / 2) sums[group]! += learner.predict(Float32Array.of(group))
    }
    return [sums[0]! / (events / 4), sums[1]! / (events / 4)]
  }

  it.each([
    ['wait', 1],
    ['wait', 0.25],
    ['fake-negative', 1],
    ['fake-negative', 0.25],
  ] as const)('%s with %f of the negatives recovers the true rates within 0.02', (policy, negatives) => {
    const [low, high] = learned(policy, negatives, true)
    expect(Math.abs(low - 0.1)).toBeLessThan(0.02)
    expect(Math.abs(high - 0.4)).toBeLessThan(0.02)
  })

  it('is needed: fake negatives without it teach p/(1 + p)', () => {
    const [, high] = learned('fake-negative', 1, false)
    expect(Math.abs(high - 0.4 / 1.4)).toBeLessThan(0.02)
  })
})
