/**
 * How a challenger becomes the champion: shadow → a share of the profiles → more → all, one step at a time, each on evidence.
 * And how it falls back. A pure state machine: evidence in, the next state and a record of why out; the same evidence gives
 * the same history, so the history on the `models` topic can be replayed.
 */

import type { LearnerDefinition } from '../../app/schema-learning.ts'
import type { EpochMs } from '../../app/units.ts'
import type { Stability } from '../drift/psi.ts'
import type { ComparisonResult } from '../evaluation/comparison.ts'

export type GateRules = LearnerDefinition['promotion']
export type GuardRules = LearnerDefinition['guard']

/** What is known about a challenger now. */
export interface Evidence {
  readonly at: EpochMs
  /** Against the champion, since the last step. */
  readonly comparison: ComparisonResult
  readonly calibrationError: number
  readonly latencyP99Ms: number
  /** Share of its scores that failed. */
  readonly errorRate: number
  /** Of its scores against those of the time before the step. */
  readonly stability: Stability | undefined
  /** Mean loss of its last labels since the step, and of those before its first step. NaN = none yet. */
  readonly liveLoss: number
  readonly referenceLoss: number
  /** Standard error of `liveLoss − referenceLoss`. */
  readonly lossError: number
  readonly lastLabelAt: EpochMs | undefined
  /** Alarms about the labels themselves: see `LabelHealth`. */
  readonly alarms: readonly string[]
}

/** −1 = shadow; 0 … = position in `steps`. */
export interface LadderState {
  readonly step: number
  readonly since: EpochMs
  /** After a rollback: what has failed doesn't climb again by itself. */
  readonly isBarred: boolean
}

export type Move =
  | { readonly kind: 'promote'; readonly from: number; readonly to: number; readonly why: string }
  /** Evidence is good, but a person has to say so. */
  | { readonly kind: 'ready'; readonly why: string }
  | { readonly kind: 'hold'; readonly why: string }
  | { readonly kind: 'rollback'; readonly from: number; readonly why: string }

export interface Advanced {
  readonly state: LadderState
  readonly move: Move
}

export const startLadder = (at: EpochMs): LadderState => ({ step: -1, since: at, isBarred: false })

/** Share of the profiles that it serves. */
export const shareOf = (state: LadderState, { steps }: GateRules): number => (state.step < 0 ? 0 : steps[state.step]!)

/** Labels before a rise of the live loss is believed. */
const LOSS_LABELS_MIN = 50

/** One look at the evidence: the guard first, then the gate. */
export function advance(state: LadderState, evidence: Evidence, gate: GateRules, guard: GuardRules): Advanced {
  const breach = state.step >= 0 ? breached(evidence, guard) : undefined
  if (breach !== undefined) return rollback(state, evidence.at, breach)
  if (state.isBarred) return hold(state, 'it was rolled back; a person decides whether it may try again')
  if (state.step === gate.steps.length - 1) return hold(state, 'it serves everybody')
  const obstacle = obstacleTo(evidence, gate, guard)
  if (obstacle !== undefined) return hold(state, obstacle)
  const { clusters, labels, meanDifference, low } = evidence.comparison
  const why = `loss lower by ${figure(meanDifference)} (at least ${figure(low)}) over ${labels} labels of ${clusters} profiles; calibration error ${figure(evidence.calibrationError)}`
  return gate.automatic ? promote(state, evidence.at, why) : { state, move: { kind: 'ready', why } }
}

/** A person's word: up one step, whatever the evidence says. */
export function promote(state: LadderState, at: EpochMs, why: string): Advanced {
  const to = state.step + 1
  return { state: { step: to, since: at, isBarred: false }, move: { kind: 'promote', from: state.step, to, why } }
}

/** Back to shadow, at once. */
export function rollback(state: LadderState, at: EpochMs, why: string): Advanced {
  return { state: { step: -1, since: at, isBarred: true }, move: { kind: 'rollback', from: state.step, why } }
}

const hold = (state: LadderState, why: string): Advanced => ({ state, move: { kind: 'hold', why } })

/** Why the served model must go. @returns undefined when nothing is wrong */
export function breached(evidence: Evidence, guard: GuardRules): string | undefined {
  const { stability, comparison, liveLoss, referenceLoss, lossError } = evidence
  if (evidence.errorRate > guard.errorRate) {
    return `${percent(evidence.errorRate)} of its scores failed; the most is ${percent(guard.errorRate)}`
  }
  if (evidence.latencyP99Ms > guard.latency) {
    return `p99 is ${figure(evidence.latencyP99Ms)} ms; the most is ${guard.latency} ms`
  }
  if (stability && stability.excess > guard.psi) {
    return `its scores have moved: PSI ${figure(stability.psi)}, of which chance explains ${figure(stability.noise)}; the most is ${guard.psi}`
  }
  if (comparison.verdict === 'champion') {
    return `its loss is higher than the former champion's by ${figure(-comparison.meanDifference)} over ${comparison.labels} labels`
  }
  const rise = liveLoss - referenceLoss
  const isKnown = comparison.labels >= LOSS_LABELS_MIN && Number.isFinite(rise)
  if (isKnown && rise - 3 * lossError > guard.loss * referenceLoss) {
    return `the live loss rose from ${figure(referenceLoss)} to ${figure(liveLoss)}; the most is ${percent(guard.loss)} more`
  }
  return undefined
}

/** Why a challenger doesn't climb yet. @returns undefined when nothing stands in its way */
function obstacleTo(evidence: Evidence, gate: GateRules, guard: GuardRules): string | undefined {
  const { comparison } = evidence
  const [alarm] = evidence.alarms
  if (alarm !== undefined) return `the labels can't be trusted: ${alarm}`
  if (evidence.lastLabelAt === undefined || evidence.at - evidence.lastLabelAt > guard.silence) {
    return 'the source of labels is silent'
  }
  if (comparison.labels < gate.labels) return `${comparison.labels} labels of ${gate.labels}`
  // A figure that isn't a number is no evidence.
  if (!(evidence.calibrationError <= gate.calibrationError)) {
    return `calibration error ${figure(evidence.calibrationError)}; the most is ${gate.calibrationError}`
  }
  if (!(evidence.latencyP99Ms <= gate.latency)) return `p99 is ${figure(evidence.latencyP99Ms)} ms`
  if (!(evidence.errorRate <= guard.errorRate)) return `${percent(evidence.errorRate)} of its scores failed`
  if (comparison.verdict !== 'challenger') {
    return `no certain advantage: ${figure(comparison.meanDifference)} (${figure(comparison.low)} to ${figure(comparison.high)})`
  }
  return undefined
}

const figure = (value: number): string => (Number.isFinite(value) ? Number(value.toPrecision(3)).toString() : 'unknown')
const percent = (share: number): string => `${figure(share * 100)} %`
