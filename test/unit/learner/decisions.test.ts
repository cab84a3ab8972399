import { describe, expect, it } from 'vitest'
import { LinUcb } from '../../../processors/learner/bandit/linucb.ts'
import { Thompson } from '../../../processors/learner/bandit/thompson.ts'
import { type Bandit, draw, greedy } from '../../../processors/learner/bandit/types.ts'
import { Comparison } from '../../../processors/learner/evaluation/comparison.ts'
import { OffPolicy } from '../../../processors/learner/evaluation/off-policy.ts'
import { normal, SeededRandom } from '../../../processors/learner/random.ts'
import type { InputColumn } from '../../../processors/learner/types.ts'
import { farthest, runOnnx } from './onnx.ts'

const INPUTS: readonly InputColumn[] = [
  { kind: 'number', name: 'a' },
  { kind: 'number', name: 'b' },
]
const context = (random: SeededRandom) => Float32Array.of(random.next() * 2 - 1, random.next() * 2 - 1)
/** Arm 0 pays where a > 0, arm 1 where a < 0, arm 2 now and then. */
const reward = (x: Float32Array, arm: number, random: SeededRandom): number =>
  random.next() < (arm === 0 ? (x[0]! > 0 ? 0.8 : 0.1) : arm === 1 ? (x[0]! > 0 ? 0.1 : 0.8) : 0.3) ? 1 : 0

const BANDITS: readonly [string, () => Bandit, (bytes: Uint8Array) => Bandit][] = [
  ['LinUCB', () => new LinUcb({ inputs: INPUTS, arms: 3, alpha: 0.5, epsilon: 0.1 }), LinUcb.decode],
  ['Thompson sampling', () => new Thompson({ inputs: INPUTS, arms: 3 }), Thompson.decode],
]

describe.each(BANDITS)('%s', (_, create, decode) => {
  function taught(plays: number) {
    const bandit = create()
    const random = new SeededRandom(21)
    let earned = 0
    for (let i = 0; i < plays; i++) {
      const x = context(random)
      const { arm } = bandit.choose(x, () => random.next())
      const r = reward(x, arm, random)
      if (i >= plays / 2) earned += r
      bandit.learn(x, arm, r)
    }
    return { bandit, random, mean: earned / (plays / 2) }
  }

  it('learns which arm pays in which context', () => {
    // At random an arm earns 0.4, always the best 0.8; a tenth is explored.
    expect(taught(4_000).mean).toBeGreaterThan(0.7)
  })

  it('logs the probability with which it really chooses', () => {
    const { bandit, random } = taught(60)
    const x = context(random)
    const counts = [0, 0, 0]
    const probabilities = bandit.probabilities(x)
    for (let i = 0; i < 20_000; i++) {
      const choice = bandit.choose(x, () => random.next())
      expect(choice.probability).toBe(probabilities[choice.arm])
      counts[choice.arm]!++
    }
    expect(probabilities.reduce((sum, it) => sum + it, 0)).toBeCloseTo(1, 12)
    for (const [arm, p] of probabilities.entries()) {
      expect(p).toBeGreaterThan(0)
      expect(Math.abs(counts[arm]! / 20_000 - p)).toBeLessThan(0.015)
    }
  })

  it('says the same as its ONNX file within 1e-6', async () => {
    const { bandit, random } = taught(500)
    const rows = [...Array.from({ length: 100 }, () => context(random)), Float32Array.of(Number.NaN, 0)]
    const scores = await runOnnx(bandit.toOnnx(), rows)
    expect(Math.max(...rows.map((x, i) => farthest(scores[i]!, bandit.expected(x))))).toBeLessThan(1e-6)
  })

  it('goes on from its checkpoint, and ignores rewards that mean nothing', () => {
    const { bandit, random } = taught(1_500)
    const copy = decode(bandit.encode())
    copy.learn(context(random), 1, Number.NaN)
    copy.learn(context(random), 7, 1)
    expect(Buffer.from(copy.encode())).toEqual(Buffer.from(bandit.encode()))
    for (let i = 0; i < 100; i++) {
      const x = context(random)
      bandit.learn(x, i % 3, i & 1)
      copy.learn(x, i % 3, i & 1)
      expect(copy.probabilities(x)).toEqual(bandit.probabilities(x))
    }
  })
})

describe('LinUCB', () => {
  it('keeps the inverse near the exact one over thousands of updates', () => {
    const bandit = new LinUcb({ inputs: INPUTS, arms: 2, epsilon: 0 })
    const random = new SeededRandom(2)
    for (let i = 0; i < 3_000; i++) {
      const x = context(random)
      bandit.learn(x, i % 2, 2 * x[0]! - x[1]! + (i % 2))
    }
    const x = Float32Array.of(0.5, -0.5)
    const [zero, one] = bandit.expected(x)
    // The scale of the context moves while it is learned, so the fit is near, not exact.
    expect(Math.abs(zero! - 1.5)).toBeLessThan(0.05)
    expect(Math.abs(one! - 2.5)).toBeLessThan(0.05)
  })
})

describe('ε-greedy', () => {
  it('splits ties evenly, and the split is part of the probability', () => {
    expect(greedy([1, 3, 3], 0.3)).toEqual([0.1, 0.1 + 0.35, 0.1 + 0.35].map((it) => expect.closeTo(it, 12)))
  })

  it('never draws an arm without probability', () => {
    for (const value of [0, 0.5, 0.999_999_999]) expect(draw([0.5, 0.5, 0], () => value).probability).toBe(0.5)
  })
})

describe('off-policy value', () => {
  it('is that computed by hand', () => {
    const value = new OffPolicy({ effectiveMin: 1 })
    value.add({ logged: 0.5, target: 1, reward: 1, predicted: 0.5, predictedTarget: 0.6 })
    value.add({ logged: 0.25, target: 0, reward: 8, predicted: 1, predictedTarget: 0.6 })
    value.add({ logged: 0.5, target: 0.5, reward: 2, predicted: 1, predictedTarget: 0.6 })
    const it = value.value()
    expect(it.ips.value).toBeCloseTo((2 * 1 + 0 + 1 * 2) / 3, 12)
    expect(it.snips.value).toBeCloseTo((2 + 2) / 3, 12)
    expect(it.dr!.value).toBeCloseTo((0.6 + 2 * 0.5 + 0.6 + 0.6 + 1) / 3, 12)
    expect(it.effectiveSampleSize).toBeCloseTo(9 / 5, 12)
    expect(it.meanWeight).toBe(1)
  })

  it('covers the true value in about 95 of 100 logs, and DR is the tightest with a fair model', () => {
    const random = new SeededRandom(17)
    const truth = [0.2, 0.5]
    const target = [0.1, 0.9]
    const value = target[0]! * truth[0]! + target[1]! * truth[1]!
    const covered = { ips: 0, snips: 0, dr: 0 }
    const width = { ips: 0, snips: 0, dr: 0 }
    for (let log = 0; log < 300; log++) {
      const policy = new OffPolicy()
      for (let i = 0; i < 600; i++) {
        const arm = random.next() < 0.7 ? 0 : 1
        const outcome = random.next() < truth[arm]! ? 1 : 0
        const predicted = [0.25, 0.45]
        policy.add({
          logged: arm === 0 ? 0.7 : 0.3,
          target: target[arm]!,
          reward: outcome,
          predicted: predicted[arm]!,
          predictedTarget: target[0]! * predicted[0]! + target[1]! * predicted[1]!,
        })
      }
      const result = policy.value()
      expect(result.isReliable).toBe(true)
      for (const name of ['ips', 'snips', 'dr'] as const) {
        const { low, high } = result[name]!
        covered[name] += Number(low <= value && value <= high)
        width[name] += high - low
      }
    }
    for (const count of Object.values(covered)) expect(count).toBeGreaterThan(270)
    expect(width.dr).toBeLessThan(width.ips)
  })

  it('refuses a verdict on few effective decisions, on wrong probabilities, and uses nothing without one', () => {
    const few = new OffPolicy()
    for (let i = 0; i < 50; i++) few.add({ logged: 0.5, target: 0.5, reward: 1 })
    expect(few.value().isReliable).toBe(false)
    const wrong = new OffPolicy()
    const random = new SeededRandom(5)
    for (let i = 0; i < 2_000; i++) {
      const arm = random.next() < 0.9 ? 0 : 1
      wrong.add({ logged: 0.5, target: arm === 0 ? 0.8 : 0.2, reward: 1 })
    }
    expect(wrong.value().isReliable).toBe(false)
    wrong.add({ logged: 0, target: 1, reward: 1 })
    expect(wrong.refused).toBe(1)
    expect(Buffer.from(OffPolicy.decode(wrong.encode()).encode())).toEqual(Buffer.from(wrong.encode()))
  })
})

describe('champion against challenger', () => {
  it('calls no difference where there is none in 95 of 100 runs, looked at after every label', () => {
    const random = new SeededRandom(31)
    let calls = 0
    for (let run = 0; run < 200; run++) {
      const comparison = new Comparison()
      for (let i = 0; i < 400; i++) {
        comparison.add(
          `p${i}`,
          normal(() => random.next()),
        )
        if (comparison.result().verdict !== 'undecided') {
          calls++
          break
        }
      }
    }
    expect(calls / 200).toBeLessThanOrEqual(0.05)
  })

  it('finds a real difference, in either direction, and says how large it is', () => {
    for (const sign of [1, -1]) {
      const random = new SeededRandom(7)
      const comparison = new Comparison()
      for (let i = 0; i < 3_000; i++) comparison.add(`p${i}`, sign * 0.2 + normal(() => random.next()))
      const result = comparison.result()
      expect(result.verdict).toBe(sign > 0 ? 'challenger' : 'champion')
      expect(result.low).toBeLessThan(sign * 0.2)
      expect(result.high).toBeGreaterThan(sign * 0.2)
    }
  })

  it('takes the profile, not the event, for an observation', () => {
    const random = new SeededRandom(12)
    let calls = 0
    let naive = 0
    for (let run = 0; run < 60; run++) {
      const [clustered, byEvent] = [new Comparison(), new Comparison()]
      for (let profile = 0; profile < 60; profile++) {
        const own = normal(() => random.next())
        for (let event = 0; event < 20; event++) {
          const difference = own + 0.1 * normal(() => random.next())
          clustered.add(`p${profile}`, difference)
          byEvent.add(`p${profile}e${event}`, difference)
        }
      }
      calls += Number(clustered.result().verdict !== 'undecided')
      naive += Number(byEvent.result().verdict !== 'undecided')
    }
    expect(calls).toBeLessThanOrEqual(3)
    expect(naive).toBeGreaterThan(15)
  })

  it('wants the margin, not only a difference', () => {
    const random = new SeededRandom(7)
    const comparison = new Comparison({ margin: 0.5 })
    for (let i = 0; i < 3_000; i++) comparison.add(`p${i}`, 0.2 + normal(() => random.next()))
    expect(comparison.result().verdict).toBe('undecided')
    const copy = Comparison.decode(comparison.encode())
    expect(copy.result()).toEqual(comparison.result())
  })

  it('knows nothing before the first label', () => {
    expect(new Comparison().result()).toMatchObject({ labels: 0, verdict: 'undecided' })
  })
})
