import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { dueTime, StreamClocks } from '../../../processors/learner/labels/clocks.ts'
import type { JoinRules } from '../../../processors/learner/labels/joiner.ts'
import {
  type NotedSample,
  PROFILE_BOUND,
  ProfileOutcomes,
  type StoredOutcome,
  settle,
} from '../../../processors/learner/labels/outcomes.ts'

const WAIT: JoinRules = { windowMs: 100, latenessMs: 10, policy: 'wait', combine: 'first', negatives: 1, none: 0 }
const outcome = (ts: number, more: Partial<StoredOutcome> = {}): StoredOutcome => ({
  ts,
  arrival: ts,
  processedAt: ts,
  id: ts,
  match: 0,
  value: 1,
  ...more,
})
const noted = (ts: number, more: Partial<NotedSample> = {}): NotedSample => ({
  ts,
  id: ts,
  match: 0,
  offset: 7,
  row: 3,
  isCopied: false,
  ...more,
})

describe('the outcomes of a profile', () => {
  it('count a duplicate, and an outcome that comes when all that it could belong to is settled', () => {
    const profile = new ProfileOutcomes()
    const add = (it: StoredOutcome) => profile.addOutcome('buys', it, WAIT).taken
    expect(add(outcome(1_000))).toBe('taken')
    expect(add(outcome(1_000))).toBe('duplicate')
    expect(add(outcome(1_001, { arrival: 1_110 }))).toBe('taken')
    expect(add(outcome(1_002, { arrival: 1_112 }))).toBe('late')
    expect(profile.outcomes('buys').map(({ ts }) => ts)).toEqual([1_000, 1_001])
    expect(profile.outcomes('other')).toEqual([])
  })

  it('are bounded: the oldest is forgotten and that is said', () => {
    const profile = new ProfileOutcomes()
    for (let n = 0; n < PROFILE_BOUND; n++) profile.addOutcome('buys', outcome(n), WAIT)
    expect(profile.addOutcome('buys', outcome(PROFILE_BOUND), WAIT).taken).toBe('overflow')
    expect(profile.outcomes('buys').map(({ ts }) => ts)).toEqual(Array.from({ length: PROFILE_BOUND }, (_, n) => n + 1))
  })

  it('complete each noted sample once, whichever comes first', () => {
    const profile = new ProfileOutcomes()
    const rules = { ...WAIT, policy: 'fake-negative' } as const
    profile.addOutcome('buys', outcome(50), rules)
    expect(profile.addSample('buys', noted(10), rules).outcome?.ts).toBe(50)
    expect(profile.addSample('buys', noted(10), rules).taken).toBe('duplicate')
    expect(profile.addSample('buys', noted(20, { match: 5 }), rules).outcome).toBeUndefined()
    expect(profile.addSample('buys', noted(50), rules).outcome).toBeUndefined()
    const { completes } = profile.addOutcome('buys', outcome(60), rules)
    expect(completes.map(({ ts }) => ts)).toEqual([50])
    expect(profile.addOutcome('buys', outcome(70), rules).completes).toEqual([])
    expect(profile.addOutcome('buys', outcome(71, { match: 5, value: 0 }), rules).completes).toEqual([])
    expect(profile.addOutcome('buys', outcome(72, { match: 5 }), rules).completes.map(({ ts }) => ts)).toEqual([20])
  })

  it('are forgotten by processing time, noted samples by event time', () => {
    const profile = new ProfileOutcomes()
    const rules = { ...WAIT, policy: 'fake-negative' } as const
    profile.addOutcome('buys', outcome(10, { processedAt: 5_000 }), rules)
    profile.addSample('buys', noted(200), rules)
    profile.forget('buys', rules, { processedAt: 5_000, time: 310 })
    expect(profile.addOutcome('buys', outcome(250), rules).completes).toHaveLength(1)
    expect(profile.outcomes('buys')).toHaveLength(2)
    profile.forget('buys', rules, { processedAt: 5_001, time: 311 })
    expect(profile.outcomes('buys')).toEqual([])
    expect(profile.addSample('buys', noted(200), rules).taken).toBe('taken')
  })

  it('are read back as they were written', () => {
    const number = fc.double({ noNaN: true })
    const events = fc.array(
      fc.record({ label: fc.constantFrom('a', 'b'), ts: fc.nat(500), at: number, isSample: fc.boolean() }),
    )
    fc.assert(
      fc.property(events, (list) => {
        const profile = new ProfileOutcomes()
        const rules = { ...WAIT, policy: 'fake-negative' } as const
        for (const { label, ts, at, isSample } of list) {
          if (isSample) profile.addSample(label, noted(ts), rules)
          else profile.addOutcome(label, outcome(ts, { processedAt: at, value: at }), rules)
        }
        const packed = profile.encode()
        expect(ProfileOutcomes.decode(packed).encode()).toEqual(packed)
      }),
    )
  })
})

describe('settling a sample', () => {
  const sample = { id: 's', ts: 1_000, due: 1_000, match: 0 }
  const settled = (outcomes: StoredOutcome[], rules: Partial<JoinRules> = {}) =>
    settle(sample, outcomes, { ...WAIT, ...rules })

  it('counts what came after it, within the window, with the same match, before it was settled', () => {
    const late = outcome(1_050, { arrival: 1_111 })
    const none = [outcome(1_000), outcome(1_101), outcome(1_050, { match: 9 }), late]
    expect(settled(none)).toEqual({ y: 0, weight: 1, outcomeTime: undefined, isLearned: true })
    expect(settled([outcome(1_100)])).toMatchObject({ y: 1, outcomeTime: 1_100 })
    expect(settled([outcome(1_050, { arrival: 1_110 })])).toMatchObject({ y: 1, outcomeTime: 1_050 })
  })

  it.each([
    ['first', 2, 1_010],
    ['last', 5, 1_030],
    ['sum', 10, 1_030],
    ['count', 3, 1_030],
  ] as const)('combines several: %s', (combine, y, outcomeTime) => {
    const several = [outcome(1_010, { value: 2 }), outcome(1_020, { value: 3 }), outcome(1_030, { value: 5 })]
    expect(settled(several, { combine })).toMatchObject({ y, outcomeTime, weight: 1 })
  })

  it('gives no label where nothing came and that says nothing', () => {
    expect(settled([], { none: Number.NaN })).toBeUndefined()
  })

  it('learns a share of the negatives, each for several, and always the same ones', () => {
    const ids = Array.from({ length: 2_000 }, (_, n) => `sample-${n}`)
    const rules = { ...WAIT, negatives: 0.25 }
    const learned = ids.filter((id) => settle({ ...sample, id }, [], rules)!.isLearned)
    expect(learned.length / ids.length).toBeCloseTo(0.25, 1)
    expect(settle({ ...sample, id: learned[0]! }, [], rules)).toMatchObject({ weight: 4 })
    expect(settle({ ...sample, id: learned[0]! }, [outcome(1_001)], rules)).toMatchObject({ y: 1, weight: 1 })
    expect(settled([], { policy: 'fake-negative', negatives: 0.25 })).toMatchObject({ isLearned: false, weight: 1 })
  })
})

describe('the clocks of a stream', () => {
  it('are kept a partition, and none goes back', () => {
    const clocks = new StreamClocks(1_000)
    expect(clocks.advance(0, 100, 5_000)).toBe(100)
    expect(clocks.advance(1, 50, 5_001)).toBe(50)
    expect(clocks.advance(0, 90, 5_002)).toBe(100)
    expect([0, 1, 2].map((partition) => clocks.readyUntil(partition))).toEqual([100, 50, 100])
  })

  it('take an event from the future for one of now', () => {
    const clocks = new StreamClocks(1_000)
    expect(clocks.advance(0, 9_999_999, 5_000)).toBe(5_000)
    expect(dueTime(9_999_999, 5_000)).toBe(5_000)
  })

  it('go with the others when a partition is idle, but not for a pause of all', () => {
    const clocks = new StreamClocks(120_000)
    clocks.advance(0, 10, 20)
    clocks.advance(1, 10, 20)
    // Nobody worked for a day: partition 1 has not had its turn yet.
    clocks.advance(0, 86_400_000, 86_400_000)
    expect(clocks.readyUntil(1)).toBe(10)
    for (let n = 1; n <= 3; n++) clocks.advance(0, 86_400_000 + n, 86_400_000 + n * 30_000)
    expect(clocks.readyUntil(1)).toBe(86_400_003)
    // It comes back with what it has missed: its own time counts again.
    clocks.advance(1, 20, 86_400_000 + 90_001)
    expect(clocks.readyUntil(1)).toBe(20)
  })

  it('are read back as they were written', () => {
    const clocks = new StreamClocks(1_000)
    clocks.advance(3, 100, 5_000)
    clocks.advance(1, 70, 5_500)
    const packed = clocks.encode()
    const again = StreamClocks.decode(packed, 1_000)
    expect(again.encode()).toEqual(packed)
    expect([again.readyUntil(3), again.processedAt]).toEqual([100, 5_500])
    expect(() => StreamClocks.decode(packed.subarray(0, 20), 1_000)).toThrow(/stream-clocks/)
  })
})
