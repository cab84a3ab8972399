import { describe, expect, it } from 'vitest'
import { learnerSchema } from '../../../processors/app/schema-learning.ts'
import { type EpochMs, epochMs, ms } from '../../../processors/app/units.ts'
import type { ComparisonResult } from '../../../processors/learner/evaluation/comparison.ts'
import { Ftrl } from '../../../processors/learner/ftrl.ts'
import { LeakageCheck } from '../../../processors/learner/leakage.ts'
import { Contest, contestOptions } from '../../../processors/learner/promotion/contest.ts'
import { LabelHealth } from '../../../processors/learner/promotion/label-health.ts'
import {
  advance,
  type Evidence,
  type LadderState,
  promote,
  rollback,
  shareOf,
  startLadder,
} from '../../../processors/learner/promotion/ladder.ts'
import { SeededRandom } from '../../../processors/learner/random.ts'

const rules = (over: object = {}) => learnerSchema.parse({ label: 'l', promotion: { automatic: true, ...over } })
const { promotion: GATE, guard: GUARD } = rules()
const T0 = epochMs(1_000_000)

const comparison = (over: Partial<ComparisonResult> = {}): ComparisonResult => ({
  labels: 5_000,
  clusters: 900,
  meanDifference: 0.02,
  low: 0.01,
  high: 0.03,
  evidence: 1_000,
  verdict: 'challenger',
  ...over,
})
const evidence = (over: Partial<Evidence> = {}): Evidence => ({
  at: T0,
  comparison: comparison(),
  calibrationError: 0.02,
  latencyP99Ms: 2,
  errorRate: 0,
  stability: { psi: 0.02, noise: 0.02, excess: 0, labels: 1_000 },
  liveLoss: 0.3,
  referenceLoss: 0.3,
  lossError: 0.001,
  lastLabelAt: T0,
  alarms: [],
  ...over,
})
const at = (step: number): LadderState => ({ step, since: T0, isBarred: false })

describe('the ladder', () => {
  it('climbs shadow → 5 % → 50 % → all, one step at a time, each on evidence', () => {
    let state = startLadder(T0)
    const shares = [shareOf(state, GATE)]
    for (let i = 0; i < 4; i++) {
      state = advance(state, evidence(), GATE, GUARD).state
      shares.push(shareOf(state, GATE))
    }
    expect(shares).toEqual([0, 0.05, 0.5, 1, 1])
    expect(advance(state, evidence(), GATE, GUARD).move).toMatchObject({ kind: 'hold', why: 'it serves everybody' })
  })

  it('waits for a person when it is not automatic, and says what the evidence is', () => {
    const manual = rules({ automatic: false }).promotion
    const { state, move } = advance(startLadder(T0), evidence(), manual, GUARD)
    expect(move).toMatchObject({
      kind: 'ready',
      why: expect.stringMatching(/loss lower by 0.02 .* 5000 labels of 900 profiles/),
    })
    expect(state.step).toBe(-1)
    expect(promote(state, T0, 'by ada').state).toMatchObject({ step: 0 })
  })

  it.each<[string, Partial<Evidence>, RegExp]>([
    ['too few labels', { comparison: comparison({ labels: 999 }) }, /999 labels of 1000/],
    ['no certain advantage', { comparison: comparison({ verdict: 'undecided' }) }, /no certain advantage/],
    ['bad calibration', { calibrationError: 0.2 }, /calibration error 0.2/],
    ['no calibration', { calibrationError: Number.NaN }, /calibration error unknown/],
    ['slow', { latencyP99Ms: 80 }, /p99 is 80 ms/],
    ['failing', { errorRate: 0.05 }, /5 % of its scores failed/],
    ['labels that are not to be trusted', { alarms: ['the rate of the labels has changed'] }, /can't be trusted/],
    ['a dead source of labels', { lastLabelAt: epochMs(T0 - 3_600_001) }, /silent/],
    ['no label ever', { lastLabelAt: undefined }, /silent/],
  ])('holds for %s', (_, over, why) => {
    const { state, move } = advance(startLadder(T0), evidence(over), GATE, GUARD)
    expect(move).toMatchObject({ kind: 'hold', why: expect.stringMatching(why) })
    expect(state.step).toBe(-1)
  })

  it.each<[string, Partial<Evidence>, RegExp]>([
    ['errors', { errorRate: 0.02 }, /2 % of its scores failed/],
    ['latency', { latencyP99Ms: 60 }, /p99 is 60 ms/],
    ['moved scores', { stability: { psi: 0.4, noise: 0.02, excess: 0.38, labels: 800 } }, /PSI 0.4/],
    [
      'a loss above the former champion’s',
      { comparison: comparison({ verdict: 'champion', meanDifference: -0.1 }) },
      /higher than the former/,
    ],
    ['a loss above that of before', { liveLoss: 0.4 }, /live loss rose from 0.3 to 0.4/],
  ])('rolls back for %s, and does not climb again by itself', (_, over, why) => {
    for (const step of [0, 1, 2]) {
      const { state, move } = advance(at(step), evidence(over), GATE, GUARD)
      expect(move).toMatchObject({ kind: 'rollback', from: step, why: expect.stringMatching(why) })
      expect(shareOf(state, GATE)).toBe(0)
      expect(advance(state, evidence(), GATE, GUARD).move).toMatchObject({
        kind: 'hold',
        why: /a person decides/ as never,
      })
      expect(promote(state, T0, 'by ada').state.isBarred).toBe(false)
    }
  })

  it('does not take chance for a breach', () => {
    const noisy = evidence({
      liveLoss: 0.36,
      lossError: 0.02,
      stability: { psi: 0.3, noise: 0.2, excess: 0.1, labels: 50 },
      comparison: comparison({ verdict: 'undecided', labels: 60 }),
    })
    expect(advance(at(0), noisy, GATE, GUARD).move.kind).toBe('hold')
  })

  it('has the same history for the same evidence', () => {
    const all = [evidence(), evidence({ alarms: ['x'] }), evidence(), evidence({ errorRate: 1 }), evidence()]
    const history = () => {
      let state = startLadder(T0)
      return all.map((it) => {
        const result = advance(state, it, GATE, GUARD)
        state = result.state
        return result
      })
    }
    expect(history()).toEqual(history())
    expect(rollback(at(2), T0, 'by ada').state).toEqual({ step: -1, since: T0, isBarred: true })
  })
})

/** A world in which a label depends on the first feature; what is taught may be poisoned. */
interface World {
  readonly rate?: (signal: number, i: number) => number
  /** The label that is taught, and from which profile. */
  readonly teach?: (i: number, y: number) => { y: number; profile?: string } | undefined
  readonly row?: (signal: number, y: number, random: SeededRandom) => Float32Array
  readonly events: number
}

/** Stream → learner → challenger in shadow of a weaker champion → gate and guard, as the runtime does it. */
function live({ rate = (x) => 0.1 + 0.8 * x, teach, row, events }: World) {
  const random = new SeededRandom(77)
  const inputs = ['signal', 'other'].map((name) => ({ kind: 'number' as const, name }))
  const learner = new Ftrl({ inputs, task: { kind: 'binary' } })
  const health = new LabelHealth({ features: ['signal', 'other'], silenceMs: ms(60_000) })
  const contest = new Contest({ loss: 'logLoss' })
  let state = startLadder(T0)
  let served = 0
  let servedBadly = 0
  const moves: string[] = []
  const alarms = new Set<string>()
  let serving: Ftrl | undefined
  let now: EpochMs = T0
  for (let i = 0; i < events; i++) {
    now = epochMs(T0 + i * 10)
    const signal = random.next()
    const y = random.next() < rate(signal, i) ? 1 : 0
    const x = row ? row(signal, y, random) : Float32Array.of(signal, random.next())
    const champion = 0.5
    const challenger = (serving ?? learner).predict(x)
    contest.score(challenger, 1)
    if (state.step >= 0) {
      served += shareOf(state, GATE)
      servedBadly += shareOf(state, GATE) * Number(Math.abs(challenger - rate(signal, i)) > 0.25)
    }
    const taught = teach ? teach(i, y) : { y }
    if (taught) {
      const profile = taught.profile ?? `p${i % 800}`
      contest.label(now, profile, taught.y, challenger, champion)
      health.add(now, profile, x, taught.y, challenger)
      learner.learn(x, taught.y)
    }
    if (i % 100 !== 99) continue
    const problems = health.alarms(now)
    for (const it of problems) alarms.add(it)
    const { state: next, move } = advance(state, contest.evidence(now, problems), GATE, GUARD)
    if (move.kind === 'promote') {
      serving = Ftrl.decode(learner.encode())
      contest.step()
    }
    if (move.kind === 'rollback') serving = undefined
    if (move.kind !== 'hold') moves.push(`${move.kind}@${i}`)
    state = next
  }
  return { state, moves, alarms: [...alarms], served, servedBadly, contest, health, now }
}

describe('a live contest', () => {
  it('promotes a better model to everybody, without an alarm', () => {
    const { state, moves, alarms } = live({ events: 12_000 })
    expect(moves.map((it) => it.split('@')[0])).toEqual(['promote', 'promote', 'promote'])
    expect(shareOf(state, GATE)).toBe(1)
    expect(alarms).toEqual([])
  })

  it('never promotes a model that learns from labels without any sense', () => {
    const random = new SeededRandom(1)
    const { moves } = live({ events: 8_000, teach: () => ({ y: random.next() < 0.5 ? 1 : 0 }) })
    expect(moves).toEqual([])
  })

  it('raises the alarm when labels are flipped from some time on, and lets nobody climb while it lasts', () => {
    const { alarms, moves } = live({ events: 2_600, teach: (i, y) => ({ y: i > 900 ? 1 - y : y }) })
    expect(alarms).toContain("the champion's error has risen")
    expect(moves).toEqual([])
  })

  it('rolls back a served model when the world turns against it, within 500 labels of the turn', () => {
    const turn = 7_000
    const { moves, alarms, served, servedBadly } = live({
      events: 9_000,
      rate: (x, i) => (i < turn ? 0.1 + 0.8 * x : 0.9 - 0.8 * x),
    })
    const back = moves.find((it) => it.startsWith('rollback'))
    expect(moves.slice(0, 3).map((it) => it.split('@')[0])).toEqual(['promote', 'promote', 'promote'])
    expect(Number(back?.split('@')[1])).toBeGreaterThan(turn)
    expect(Number(back?.split('@')[1])).toBeLessThan(turn + 500)
    expect(alarms).toContain("the champion's error has risen")
    expect(servedBadly).toBeLessThan(500)
    expect(servedBadly / served).toBeLessThan(0.15)
  })

  it('names an attacker’s profile that gives too many of the labels', () => {
    const { alarms, moves } = live({
      events: 3_000,
      teach: (i, y) => (i % 2 === 0 ? { y: 1, profile: 'attacker' } : { y }),
    })
    expect(alarms.some((it) => /at least (48|49) % of the labels come from one profile \(attacker/.test(it))).toBe(true)
    expect(moves).toEqual([])
  })

  it('says so when the source of labels dies', () => {
    const { alarms, moves, health, now } = live({ events: 9_000, teach: (i, y) => (i < 900 ? { y } : undefined) })
    expect(alarms.some((it) => /its source is dead/.test(it))).toBe(true)
    expect(moves).toEqual([])
    expect(health.alarms(now)).not.toEqual([])
  })

  it('flags a feature that is the label, and holds the model that is too good', () => {
    const { alarms, moves } = live({ events: 5_000, row: (signal, y) => Float32Array.of(signal, y) })
    expect(alarms).toContain('feature other equals the label')
    expect(moves).toEqual([])
  })

  it('lives with a constant and a missing feature', () => {
    const { moves, state } = live({ events: 12_000, row: (signal) => Float32Array.of(signal, Number.NaN) })
    expect(moves).toHaveLength(3)
    expect(shareOf(state, GATE)).toBe(1)
  })

  it('stays calibrated at one positive in a thousand, and knows that accuracy says nothing', () => {
    const random = new SeededRandom(3)
    const learner = new Ftrl({ inputs: [{ kind: 'number', name: 'a' }], task: { kind: 'binary' } })
    let [mean, positives, count, highs, lows] = [0, 0, 0, 0, 0]
    for (let i = 0; i < 200_000; i++) {
      const a = random.next()
      const y = random.next() < 0.002 * a ? 1 : 0
      const p = learner.predict(Float32Array.of(a))
      if (i > 50_000) {
        mean += p
        positives += y
        count++
        if (a > 0.9) highs += p
        if (a < 0.1) lows += p
      }
      learner.learn(Float32Array.of(a), y)
    }
    expect(Math.abs(mean / count - positives / count)).toBeLessThan(0.0003)
    expect(highs).toBeGreaterThan(2 * lows)
  })

  it('goes on from packed states with the same evidence', () => {
    const { contest, health, now } = live({ events: 4_000 })
    const copy = Contest.decode(contest.encode())
    expect(copy.evidence(now, [])).toEqual(contest.evidence(now, []))
    expect(Buffer.from(copy.encode())).toEqual(Buffer.from(contest.encode()))
    const twin = LabelHealth.decode(health.encode())
    expect(twin.alarms(now)).toEqual(health.alarms(now))
    expect(Buffer.from(twin.encode())).toEqual(Buffer.from(health.encode()))
  })
})

describe('the loss of a contest', () => {
  it('is that of the definition, or the natural one of the task', () => {
    expect(contestOptions(GATE, { kind: 'binary' })).toEqual({
      loss: 'logLoss',
      margin: 0,
      alpha: expect.closeTo(0.05, 12),
    })
    expect(contestOptions(GATE, { kind: 'count' }).loss).toBe('squaredError')
    expect(contestOptions(rules({ metric: 'brier' }).promotion, { kind: 'binary' }).loss).toBe('brier')
  })

  it('lets a better predictor of quantities climb, whose calibration means nothing', () => {
    const random = new SeededRandom(4)
    const contest = new Contest(contestOptions(GATE, { kind: 'number' }))
    for (let i = 0; i < 2_000; i++) {
      const y = 100 * random.next()
      contest.score(y, 1)
      contest.label(T0, `p${i % 300}`, y, y + random.next(), 50)
    }
    const { move } = advance(startLadder(T0), contest.evidence(T0, []), GATE, GUARD)
    expect(move).toMatchObject({ kind: 'promote', to: 0 })
  })
})

describe('the check for leaks', () => {
  it.each<[string, (y: number, random: SeededRandom) => number, boolean]>([
    ['the label itself', (y) => y, true],
    ['its opposite in another unit', (y) => 100 - 7 * y, true],
    ['a value that is there for positives only', (y, random) => (y === 1 ? random.next() : Number.NaN), true],
    ['a good feature', (y, random) => y + random.next(), false],
    ['a constant', () => 4, false],
    ['nothing', () => Number.NaN, false],
  ])('%s', (_, value, isLeak) => {
    const random = new SeededRandom(6)
    const check = new LeakageCheck(['f'])
    for (let i = 0; i < 1_000; i++) {
      const y = random.next() < 0.3 ? 1 : 0
      check.add(Float32Array.of(value(y, random)), y)
    }
    expect(check.leaks().map(({ feature }) => feature)).toEqual(isLeak ? ['f'] : [])
    expect(LeakageCheck.decode(check.encode()).leaks()).toEqual(check.leaks())
  })
})
