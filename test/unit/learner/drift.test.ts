import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { Adwin } from '../../../processors/learner/drift/adwin.ts'
import { Ddm } from '../../../processors/learner/drift/ddm.ts'
import { StabilityCheck, stabilityIndex, stabilityNoise } from '../../../processors/learner/drift/psi.ts'
import { SeededRandom } from '../../../processors/learner/random.ts'

/** The streams of the docstrings of River's ADWIN and DDM: Python's `random.Random(12345)` and `random.Random(42)`. */
const stream = (name: string): number[] =>
  [...readFileSync(new URL(`testdata/${name}`, import.meta.url), 'utf8').trim()].map(Number)

describe('the population stability index', () => {
  it('is that computed by hand', () => {
    const expected = (0.6 - 0.5) * Math.log(0.6 / 0.5) + (0.4 - 0.5) * Math.log(0.4 / 0.5)
    expect(stabilityIndex([50, 50], [60, 40])).toBeCloseTo(expected, 12)
    expect(stabilityIndex([10, 90], [10, 90])).toBe(0)
  })

  it('has the noise that is published: 500 rows against 500 in 10 bins give 0.036', () => {
    expect(stabilityNoise(10, 500, 500)).toBeCloseTo(0.036, 12)
    const random = new SeededRandom(3)
    let sum = 0
    for (let round = 0; round < 200; round++) {
      const draw = () => Float64Array.from({ length: 500 }, () => random.next())
      const check = StabilityCheck.of(draw(), { window: 500 })
      for (const value of draw()) check.add(value)
      sum += check.check()!.psi
    }
    expect(sum / 200).toBeGreaterThan(0.03)
    expect(sum / 200).toBeLessThan(0.042)
  })

  it('acts on a shift, not on chance', () => {
    const random = new SeededRandom(9)
    const check = StabilityCheck.of(Float64Array.from({ length: 2_000 }, () => random.next()))
    for (let i = 0; i < 1_000; i++) check.add(random.next())
    expect(check.check()!.excess).toBeLessThan(0.02)
    for (let i = 0; i < 1_000; i++) check.add(random.next() * 0.5)
    expect(check.check()!.excess).toBeGreaterThan(0.25)
  })

  it('sees a feature that goes missing, and one that was constant and isn’t any more', () => {
    const missing = StabilityCheck.of(Float64Array.from({ length: 500 }, (_, i) => i))
    for (let i = 0; i < 1_000; i++) missing.add(Number.NaN)
    expect(missing.check()!.excess).toBeGreaterThan(1)
    const constant = StabilityCheck.of(new Float64Array(500).fill(3), { window: 100 })
    for (let i = 0; i < 100; i++) constant.add(3)
    expect(constant.check()!.psi).toBe(0)
  })

  it('goes on from its packed state', () => {
    const check = StabilityCheck.of(
      Float64Array.from({ length: 100 }, (_, i) => i),
      { window: 20 },
    )
    for (let i = 0; i < 33; i++) check.add(i * 3)
    const copy = StabilityCheck.decode(check.encode())
    for (let i = 0; i < 25; i++) {
      check.add(i)
      copy.add(i)
    }
    expect(copy.check()).toEqual(check.check())
    expect(Buffer.from(copy.encode())).toEqual(Buffer.from(check.encode()))
  })
})

describe('ADWIN', () => {
  it('finds the change where the published implementation does: at index 1023 for a shift at 1000', () => {
    const adwin = new Adwin()
    const found = stream('adwin-stream.txt').flatMap((value, index) => (adwin.add(value) ? [index] : []))
    expect(found).toEqual([1023])
  })

  it('leaves a stream alone that doesn’t change, and remembers it in few buckets', () => {
    const random = new SeededRandom(1)
    const adwin = new Adwin()
    let alarms = 0
    for (let i = 0; i < 20_000; i++) alarms += Number(adwin.add(random.next() < 0.3 ? 1 : 0))
    expect(alarms).toBe(0)
    expect(adwin.width).toBe(20_000)
    expect(adwin.mean).toBeCloseTo(0.3, 2)
    expect(adwin.encode().length).toBeLessThan(2_000)
  })

  it('goes on from its packed state, and ignores what is no number', () => {
    const adwin = new Adwin()
    for (let i = 0; i < 500; i++) adwin.add(i % 3 === 0 ? 1 : 0)
    const copy = Adwin.decode(adwin.encode())
    expect(copy.add(Number.NaN)).toBe(false)
    for (let i = 0; i < 500; i++) expect(copy.add(1)).toBe(adwin.add(1))
    expect(Buffer.from(copy.encode())).toEqual(Buffer.from(adwin.encode()))
    expect(copy.cuts).toBeGreaterThan(0)
  })
})

describe('DDM', () => {
  it('warns and calls drift where the published implementation does', () => {
    const ddm = new Ddm()
    const levels = stream('ddm-stream.txt').map((value) => ddm.add(value === 1))
    const starts = levels.flatMap((level, i) => (level !== 'none' && level !== levels[i - 1] ? [[level, i]] : []))
    expect(starts[0]).toEqual(['warning', 1084])
    expect(starts.find(([level]) => level === 'drift')).toEqual(['drift', 1334])
    expect(starts.find(([level, i]) => level === 'warning' && Number(i) > 1334)).toEqual(['warning', 1492])
  })

  it('goes on from its packed state', () => {
    const ddm = new Ddm()
    for (let i = 0; i < 200; i++) ddm.add(i % 5 === 0)
    const copy = Ddm.decode(ddm.encode())
    for (let i = 0; i < 200; i++) expect(copy.add(i % 2 === 0)).toBe(ddm.add(i % 2 === 0))
  })
})
