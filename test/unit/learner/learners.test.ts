import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { learnerSchema } from '../../../processors/app/schema-learning.ts'
import { createLearner, decodeLearner } from '../../../processors/learner/create.ts'
import { Ftrl } from '../../../processors/learner/ftrl.ts'
import { Mlp } from '../../../processors/learner/mlp.ts'
import { SeededRandom } from '../../../processors/learner/random.ts'
import type { InputColumn, Learner, Task } from '../../../processors/learner/types.ts'
import { farthest, runOnnx } from './onnx.ts'

const number = (name: string): InputColumn => ({ kind: 'number', name })
const MIXED: readonly InputColumn[] = [
  number('small'),
  number('large'),
  { kind: 'id', name: 'city', size: 12 },
  number('sparse'),
  number('constant'),
  { kind: 'id', name: 'device', size: 3 },
]
const TASKS: readonly Task[] = [
  { kind: 'binary' },
  { kind: 'number' },
  { kind: 'count' },
  { kind: 'classes', classes: 3 },
]

/** Rows with all that goes wrong in practice: missing, infinite and huge values, unknown ids. */
function rowsOf(count: number, random: SeededRandom): Float32Array[] {
  return Array.from({ length: count }, () =>
    Float32Array.of(
      random.next() < 0.1 ? Number.NaN : random.next(),
      1e9 + random.next() * 1e6,
      random.next() < 0.1 ? Number.NaN : Math.floor(random.next() * 14) - 1,
      random.next() < 0.02 ? 1e30 : random.next() < 0.5 ? Number.POSITIVE_INFINITY : random.next(),
      7,
      Math.floor(random.next() * 3),
    ),
  )
}

function labelOf(task: Task, x: Float32Array, random: SeededRandom): number {
  const signal = (Number.isNaN(x[0]!) ? 0.2 : x[0]!) + (x[2] === 3 ? 1 : 0)
  switch (task.kind) {
    case 'binary':
      return signal + random.next() > 1 ? 1 : 0
    case 'classes':
      return Math.min(2, Math.floor(signal + random.next()))
    case 'count':
      return Math.floor(3 * signal + random.next())
    case 'number':
      return 1_000 * signal + random.next()
  }
}

const make = (over: object, task: Task, inputs = MIXED): Learner =>
  createLearner(learnerSchema.parse({ label: 'l', ...over }), inputs, task)

const KINDS = [
  ...TASKS.flatMap((task) => [
    ['ftrl', task, { kind: 'ftrl', ftrl: { l1: 0.5, l2: 0.1 } }] as const,
    ['mlp', task, { kind: 'mlp', mlp: { hidden: [8, 4] } }] as const,
  ]),
  ['forest', TASKS[0]!, { kind: 'forest' }],
  ['forest', TASKS[3]!, { kind: 'forest' }],
  ['platt', TASKS[0]!, { calibration: 'platt' }],
  ['isotonic', TASKS[0]!, { kind: 'mlp', calibration: 'isotonic' }],
] as const

describe.each(KINDS)('%s for %o', (_, task, definition) => {
  function taught(count = 1_500): { learner: Learner; random: SeededRandom } {
    const random = new SeededRandom(11)
    const learner = make(definition, task)
    for (const x of rowsOf(count, random)) learner.learn(x, labelOf(task, x, random), 0.5 + random.next())
    return { learner, random }
  }

  it('says the same as its ONNX file within 1e-6, also on rows it has never seen', async () => {
    const { learner, random } = taught()
    const rows = rowsOf(500, random)
    const scores = await runOnnx(learner.toOnnx(), rows)
    const worst = Math.max(...rows.map((x, i) => farthest(scores[i]!, learner.predictAll(x))))
    expect(worst).toBeLessThan(1e-6)
  })

  it('says something useful before it has learned anything, in ONNX too', async () => {
    const learner = make(definition, task)
    const rows = rowsOf(5, new SeededRandom(3))
    const scores = await runOnnx(learner.toOnnx(), rows)
    for (const [i, x] of rows.entries()) {
      expect(learner.predictAll(x).every(Number.isFinite)).toBe(true)
      expect(farthest(scores[i]!, learner.predictAll(x))).toBeLessThan(1e-6)
    }
  })

  it('goes on from its checkpoint exactly as if it had never stopped', () => {
    const { learner, random } = taught(700)
    const copy = decodeLearner(learner.encode())
    expect(Buffer.from(copy.encode())).toEqual(Buffer.from(learner.encode()))
    for (const x of rowsOf(700, random)) {
      const y = labelOf(task, x, random)
      learner.learn(x, y)
      copy.learn(x, y)
    }
    expect(copy.seen).toBe(learner.seen)
    expect(Buffer.from(copy.encode())).toEqual(Buffer.from(learner.encode()))
  })

  it('ignores labels and weights that mean nothing', () => {
    const { learner, random } = taught(100)
    const before = Buffer.from(learner.encode())
    const [x] = rowsOf(1, random)
    for (const y of [Number.NaN, Number.POSITIVE_INFINITY]) learner.learn(x!, y)
    for (const weight of [0, -1, Number.NaN, Number.POSITIVE_INFINITY]) learner.learn(x!, 1, weight)
    if (task.kind !== 'number') learner.learn(x!, -1)
    expect(Buffer.from(learner.encode())).toEqual(before)
  })

  it('refuses a damaged checkpoint instead of becoming another model', () => {
    const bytes = taught(50).learner.encode()
    expect(() => decodeLearner(bytes.subarray(0, bytes.length - 3))).toThrow(/packed state/)
    expect(() => decodeLearner(Uint8Array.of(...bytes, 0))).toThrow(/bytes too many/)
    expect(() => decodeLearner(new Uint8Array(4))).toThrow(/packed state/)
  })
})

describe('FTRL', () => {
  it('follows Algorithm 1 of McMahan et al. step by step', () => {
    const [alpha, beta, l1, l2] = [0.3, 1, 0.05, 0.2]
    const learner = new Ftrl({ inputs: [number('a')], task: { kind: 'binary' }, alpha, beta, l1, l2 })
    const xs = [1, 3, 2, 5, 4, 4, 0, 1]
    const ys = [1, 0, 1, 1, 0, 1, 0, 0]
    const weight = (z: number, n: number, lambda1: number, lambda2: number) =>
      Math.abs(z) <= lambda1 ? 0 : -(z - Math.sign(z) * lambda1) / ((beta + Math.sqrt(n)) / alpha + lambda2)
    let [z, n, zb, nb, count, mean, m2] = [0, 0, 0, 0, 0, 0, 0]
    for (const [i, value] of xs.entries()) {
      const x = m2 > 0 ? (value - mean) / Math.sqrt(m2 / count) : 0
      const [w, b] = [weight(z, n, l1, l2), weight(zb, nb, 0, 0)]
      const p = 1 / (1 + Math.exp(-(w * x + b)))
      expect(learner.predict(Float32Array.of(value))).toBeCloseTo(p, 12)
      learner.learn(Float32Array.of(value), ys[i]!)
      const g = p - ys[i]!
      z += g * x - ((Math.sqrt(n + (g * x) ** 2) - Math.sqrt(n)) / alpha) * w
      n += (g * x) ** 2
      zb += g - ((Math.sqrt(nb + g * g) - Math.sqrt(nb)) / alpha) * b
      nb += g * g
      count++
      const delta = value - mean
      mean += delta / count
      m2 += delta * (value - mean)
    }
  })

  it('recovers the coefficients of a logistic model', () => {
    const random = new SeededRandom(5)
    const learner = new Ftrl({ inputs: [number('a'), number('b')], task: { kind: 'binary' } })
    for (let i = 0; i < 50_000; i++) {
      const [a, b] = [random.next() * 2 - 1, random.next() * 2 - 1]
      const p = 1 / (1 + Math.exp(-(2 * a - 1 * b + 0.5)))
      learner.learn(Float32Array.of(a, b), random.next() < p ? 1 : 0)
    }
    const [a, b] = learner.denseWeights()
    const deviation = Math.sqrt(1 / 3)
    expect(a! / deviation).toBeCloseTo(2, 0)
    expect(Math.abs(a! / deviation - 2)).toBeLessThan(0.1)
    expect(Math.abs(b! / deviation + 1)).toBeLessThan(0.1)
  })

  it('makes weights exactly 0 with L1 where a feature says nothing', () => {
    const random = new SeededRandom(2)
    const learner = new Ftrl({ inputs: [number('signal'), number('noise')], task: { kind: 'binary' }, l1: 60 })
    for (let i = 0; i < 5_000; i++) {
      const signal = random.next()
      learner.learn(Float32Array.of(signal, random.next()), signal > 0.5 ? 1 : 0)
    }
    const [signal, noise] = learner.denseWeights()
    expect(noise).toBe(0)
    expect(signal).toBeGreaterThan(0.5)
  })

  it('fits the mean of a count', () => {
    const random = new SeededRandom(8)
    const learner = new Ftrl({ inputs: [{ kind: 'id', name: 'shop', size: 2 }], task: { kind: 'count' } })
    for (let i = 0; i < 20_000; i++) {
      const shop = i % 2
      let count = 0
      for (let k = 0; k < 10; k++) if (random.next() < (shop === 0 ? 0.1 : 0.7)) count++
      learner.learn(Float32Array.of(shop), count)
    }
    expect(Math.abs(learner.predict(Float32Array.of(0)) - 1)).toBeLessThan(0.1)
    expect(Math.abs(learner.predict(Float32Array.of(1)) - 7)).toBeLessThan(0.25)
  })

  it.each([
    [{ alpha: 0 }, /alpha is 0/],
    [{ l1: -1 }, /l1 is -1/],
    [{ inputs: [] }, /at least one feature/],
    [{ inputs: [{ kind: 'id' as const, name: 'x', size: 5_000_000 }] }, /fewer hash buckets/],
    [{ task: { kind: 'classes' as const, classes: 1 } }, /1 classes/],
  ])('refuses %o', (over, message) => {
    expect(() => new Ftrl({ inputs: [number('a')], task: { kind: 'binary' }, ...over })).toThrow(message)
  })
})

describe('the network', () => {
  it('learns what no linear model can: exclusive or', () => {
    const random = new SeededRandom(4)
    const inputs = [number('a'), number('b')]
    const task = { kind: 'binary' } as const
    const network = new Mlp({ inputs, task, hidden: [8], rate: 0.01 })
    const linear = new Ftrl({ inputs, task })
    let [hits, linearHits] = [0, 0]
    for (let i = 0; i < 6_000; i++) {
      const [a, b] = [random.next() < 0.5 ? 0 : 1, random.next() < 0.5 ? 0 : 1]
      const x = Float32Array.of(a, b)
      const y = a ^ b
      if (i >= 5_000) {
        hits += Number(network.predict(x) >= 0.5 === (y === 1))
        linearHits += Number(linear.predict(x) >= 0.5 === (y === 1))
      }
      network.learn(x, y)
      linear.learn(x, y)
    }
    expect(hits).toBe(1_000)
    expect(linearHits).toBeLessThan(700)
  })

  it('embeds ids: two ids that go together make the label', () => {
    const random = new SeededRandom(6)
    const inputs: InputColumn[] = [
      { kind: 'id', name: 'user', size: 20 },
      { kind: 'id', name: 'item', size: 20 },
    ]
    const network = new Mlp({ inputs, task: { kind: 'binary' }, embedding: 4, hidden: [16], rate: 0.01 })
    let hits = 0
    for (let i = 0; i < 20_000; i++) {
      const [user, item] = [Math.floor(random.next() * 20), Math.floor(random.next() * 20)]
      const y = user % 2 === item % 2 ? 1 : 0
      if (i >= 19_000) hits += Number(network.predict(Float32Array.of(user, item)) >= 0.5 === (y === 1))
      network.learn(Float32Array.of(user, item), y)
    }
    expect(hits).toBeGreaterThan(980)
  })
})

describe('standardisation', () => {
  it('is updated after the prediction, so a row never sees itself', () => {
    const learner = new Ftrl({ inputs: [number('a')], task: { kind: 'binary' } })
    learner.learn(Float32Array.of(1), 1)
    const first = learner.predict(Float32Array.of(1_000))
    expect(learner.predict(Float32Array.of(-1_000))).toBe(first)
  })

  it('keeps predictions finite whatever float32 values come', () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.float(), fc.float(), fc.boolean()), { minLength: 1, maxLength: 60 }), (rows) => {
        const learner = new Ftrl({ inputs: [number('a'), number('b')], task: { kind: 'binary' }, alpha: 1 })
        for (const [a, b, y] of rows) {
          learner.learn(Float32Array.of(a, b), y ? 1 : 0)
          const p = learner.predict(Float32Array.of(b, a))
          expect(p >= 0 && p <= 1).toBe(true)
        }
      }),
    )
  })
})
