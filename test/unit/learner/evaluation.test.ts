import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { NoChangeBaseline, PriorBaseline } from '../../../processors/learner/evaluation/baselines.ts'
import { BinaryMetrics, entropy, logLoss } from '../../../processors/learner/evaluation/binary.ts'
import { ClassesMetrics } from '../../../processors/learner/evaluation/classes.ts'
import { QuantityMetrics } from '../../../processors/learner/evaluation/quantity.ts'
import {
  averagePrecision,
  calibrationBins,
  calibrationError,
  Ranking,
  RankingWindow,
  rocArea,
  ScoreHistogram,
} from '../../../processors/learner/evaluation/ranking.ts'
import { Slices } from '../../../processors/learner/evaluation/slices.ts'
import { Trial } from '../../../processors/learner/evaluation/trial.ts'

const f64 = (...values: number[]) => Float64Array.from(values)
const u8 = (...values: number[]) => Uint8Array.from(values)

const pairs = fc.array(fc.tuple(fc.integer({ min: 0, max: 20 }), fc.boolean()), { minLength: 2, maxLength: 80 })
const split = (list: readonly (readonly [number, boolean])[]) => ({
  scores: Float64Array.from(list, ([score]) => (score + 0.5) / 21),
  labels: Uint8Array.from(list, ([, y]) => Number(y)),
})

describe('binary metrics', () => {
  it('are those computed by hand', () => {
    const metrics = new BinaryMetrics()
    for (const [p, y] of [
      [0.9, 1],
      [0.6, 0],
      [0.2, 1],
      [0.1, 0],
    ] as const)
      metrics.add(p, y)
    const it = metrics.summary()
    const loss = -(Math.log(0.9) + Math.log(0.4) + Math.log(0.2) + Math.log(0.9)) / 4
    expect(it.logLoss).toBeCloseTo(loss, 12)
    expect(it.normalisedEntropy).toBeCloseTo(loss / Math.LN2, 12)
    expect(it.brier).toBeCloseTo((0.01 + 0.36 + 0.64 + 0.01) / 4, 12)
    expect([it.accuracy, it.precision, it.recall, it.f1, it.positiveRate]).toEqual([0.5, 0.5, 0.5, 0.5, 0.5])
  })

  it('fade: with a factor of 0.5 the last label weighs as much as all before it together', () => {
    const metrics = new BinaryMetrics(0.5)
    for (let i = 0; i < 60; i++) metrics.add(0.8, 0)
    metrics.add(0.8, 1)
    expect(metrics.summary().labels).toBeCloseTo(2, 12)
    expect(metrics.summary().accuracy).toBeCloseTo(0.5, 12)
  })

  it('stay finite for certain errors, and only the loss is clipped', () => {
    expect(logLoss(0, 1)).toBeCloseTo(-Math.log(1e-15), 12)
    expect(logLoss(1, 1)).toBeCloseTo(0, 12)
    expect(entropy(0.5)).toBeCloseTo(Math.LN2, 12)
    expect([entropy(0), entropy(1)]).toEqual([0, 0])
  })
})

describe('ROC AUC', () => {
  it.each([
    ['perfect', [0.1, 0.2, 0.8, 0.9], [0, 0, 1, 1], 1],
    ['reversed', [0.9, 0.8, 0.2, 0.1], [0, 0, 1, 1], 0],
    ['all equal', [0.5, 0.5, 0.5], [0, 1, 1], 0.5],
    ['three of four pairs', [0.1, 0.4, 0.35, 0.8], [0, 0, 1, 1], 0.75],
  ] as const)('is right when %s', (_, scores, labels, area) => {
    expect(rocArea(f64(...scores), u8(...labels))).toBe(area)
  })

  it('is NaN with one class only', () => {
    expect(rocArea(f64(0.1, 0.9), u8(1, 1))).toBeNaN()
  })

  it('equals the share of pairs in the right order', () => {
    fc.assert(
      fc.property(pairs, (list) => {
        const { scores, labels } = split(list)
        let [wins, all] = [0, 0]
        for (let i = 0; i < labels.length; i++)
          for (let j = 0; j < labels.length; j++) {
            if (labels[i] !== 1 || labels[j] !== 0) continue
            all++
            wins += scores[i]! > scores[j]! ? 1 : scores[i] === scores[j] ? 0.5 : 0
          }
        if (all === 0) expect(rocArea(scores, labels)).toBeNaN()
        else expect(rocArea(scores, labels)).toBeCloseTo(wins / all, 10)
      }),
    )
  })

  it('of a histogram is the exact one when scores fall into different bins', () => {
    fc.assert(
      fc.property(pairs, (list) => {
        const { scores, labels } = split(list)
        const histogram = new ScoreHistogram()
        for (const [i, score] of scores.entries()) histogram.add(score, labels[i]!)
        const exact = rocArea(scores, labels)
        if (Number.isNaN(exact)) expect(histogram.summary().auc).toBeNaN()
        else expect(histogram.summary().auc).toBeCloseTo(exact, 10)
        const precision = averagePrecision(scores, labels)
        if (!Number.isNaN(precision)) expect(histogram.summary().prAuc).toBeCloseTo(precision, 10)
      }),
    )
  })

  it('of everything goes from exact to histogram at its bound, without a jump', () => {
    const [exact, bounded] = [new Ranking(), new Ranking(500)]
    for (let i = 0; i < 2_000; i++) {
      const p = (Math.sin(i) + 1.01) / 2.02
      const y = p + Math.cos(i * 7) > 0.5 ? 1 : 0
      exact.add(p, y)
      bounded.add(p, y)
    }
    expect([exact.isExact, bounded.isExact]).toEqual([true, false])
    expect(bounded.summary().auc).toBeCloseTo(exact.summary().auc, 4)
    expect(bounded.summary().prAuc).toBeCloseTo(exact.summary().prAuc, 3)
    expect(bounded.summary().calibrationError).toBeCloseTo(exact.summary().calibrationError, 2)
  })

  it('over a window forgets what is older', () => {
    const window = new RankingWindow(4)
    for (const [p, y] of [
      [0.9, 0],
      [0.1, 1],
      [0.1, 0],
      [0.2, 0],
      [0.8, 1],
      [0.9, 1],
    ] as const)
      window.add(p, y)
    expect(window.summary().auc).toBe(1)
  })
})

describe('average precision', () => {
  it('is that of the worked example of scikit-learn', () => {
    expect(averagePrecision(f64(0.1, 0.4, 0.35, 0.8), u8(0, 0, 1, 1))).toBeCloseTo(0.8333333, 6)
  })
})

describe('calibration', () => {
  it('has bins of equal mass', () => {
    const scores = Float64Array.from({ length: 100 }, (_, i) => i / 100)
    const labels = Uint8Array.from({ length: 100 }, (_, i) => Number(i >= 50))
    const bins = calibrationBins(scores, labels, 10)
    expect(bins.map(({ labels: count }) => count)).toEqual(Array(10).fill(10))
    expect(bins[0]!.meanPrediction).toBeCloseTo(0.045, 12)
    const byHand = bins.reduce((sum, it, i) => sum + Math.abs(it.meanPrediction - (i < 5 ? 0 : 1)) / 10, 0)
    expect(calibrationError(bins)).toBeCloseTo(byHand, 12)
  })

  it('error is 0 for a constant that is the rate, and its distance for one that is not', () => {
    const labels = u8(1, 0, 0, 0)
    expect(calibrationError(calibrationBins(f64(0.25, 0.25, 0.25, 0.25), labels))).toBe(0)
    expect(calibrationError(calibrationBins(f64(0.75, 0.75, 0.75, 0.75), labels))).toBe(0.5)
  })
})

describe('metrics of numbers', () => {
  it('are those computed by hand', () => {
    const metrics = new QuantityMetrics()
    for (const [p, y] of [
      [2, 1],
      [2, 3],
      [5, 5],
    ] as const)
      metrics.add(p, y)
    const it = metrics.summary()
    expect(it.rmse).toBeCloseTo(Math.sqrt(2 / 3), 12)
    expect(it.mae).toBeCloseTo(2 / 3, 12)
    expect(it.r2).toBeCloseTo(1 - 2 / 8, 12)
    expect(it.ratio).toBeCloseTo(1, 12)
  })
})

describe('metrics of classes', () => {
  it('are those computed by hand', () => {
    const metrics = new ClassesMetrics(3)
    metrics.add([0.7, 0.2, 0.1], 0)
    metrics.add([0.3, 0.4, 0.3], 0)
    metrics.add([0.1, 0.8, 0.1], 1)
    const it = metrics.summary()
    expect(it.accuracy).toBeCloseTo(2 / 3, 12)
    expect(it.logLoss).toBeCloseTo(-(Math.log(0.7) + Math.log(0.3) + Math.log(0.8)) / 3, 12)
    expect(it.macroF1).toBeCloseTo((2 / 3 + 2 / 3) / 2, 12)
    expect(it.calibrationError).toBeCloseTo((0.3 + 0.4 + 0.2) / 3, 12)
  })
})

describe('baselines', () => {
  it('know the rate so far, and the label that came last', () => {
    const [prior, last] = [new PriorBaseline(2), new NoChangeBaseline(2)]
    expect([prior.predict(), last.last]).toEqual([0.5, 0])
    for (const y of [1, 1, 0, 1]) {
      prior.learn(y)
      last.learn(y)
    }
    expect(prior.predict()).toBeCloseTo(4 / 6, 12)
    expect(last.last).toBe(1)
    expect(last.predictAll()[1]).toBeCloseTo((1 + 1) / (2 + 2), 12)
  })

  it('don’t know labels that had not arrived when the event came', () => {
    const trial = new Trial({ kind: 'binary' })
    const forecasts = [1, 1, 1].map(() => trial.forecast(f64(0.5)))
    for (const it of forecasts) trial.score(it, 1)
    expect(trial.report().baselines.prior.labels).toBe(3)
    expect(forecasts.map(({ prior }) => prior[0])).toEqual([0.5, 0.5, 0.5])
    expect(trial.forecast(f64(0.5)).prior[0]).toBeCloseTo(0.8, 12)
  })
})

describe('a trial', () => {
  it('keeps a learning curve of bounded length, whatever the number of labels', () => {
    const trial = new Trial({ kind: 'binary' }, { stride: 10, points: 20, window: 50 })
    for (let i = 0; i < 5_000; i++) trial.score(trial.forecast(f64(i % 2)), i % 2)
    const { curve, overall, recent } = trial.report()
    expect(curve.length).toBeGreaterThanOrEqual(9)
    expect(curve.length).toBeLessThan(20)
    expect(overall).toMatchObject({ task: 'binary', labels: 5_000, auc: 1, accuracy: 1 })
    expect(recent.labels).toBe(50)
  })

  it.each(['number', 'count'] as const)('of a %s has its errors', (kind) => {
    const trial = new Trial({ kind })
    for (let i = 0; i < 200; i++) trial.score(trial.forecast(f64(i)), i)
    const { overall, baselines } = trial.report()
    expect(overall).toMatchObject({ task: kind, rmse: 0, r2: 1 })
    expect(baselines.noChange).toMatchObject({ mae: 199 / 200 })
  })
})

describe('slices', () => {
  it('are bounded, and say what they left out', () => {
    const slices = new Slices(() => new BinaryMetrics(), 2)
    for (const key of ['a', 'b', 'a', 'c', 'd']) slices.of(key)?.add(0.5, 1)
    expect([...slices.entries()].map(([key, it]) => [key, it.summary().labels])).toEqual([
      ['a', 2],
      ['b', 1],
    ])
    expect(slices.overflow).toBe(2)
  })
})
