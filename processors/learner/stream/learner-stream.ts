/**
 * A learner in the running stream: learns each example, judges what was served by the labels as they come, says which version
 * should serve whom, and what is wrong. Pure: examples and instants in, decisions out; the same calls give the same bytes.
 *
 * What competes with the champion is the *learner*; its versions follow it. A version that is made while the learner
 * serves nobody goes out as it is. Once it serves, a refreshed version is vetted first, and none goes out while the
 * labels can't be trusted.
 */
import type { LabelDefinition, LearnerDefinition } from '../../app/schema-learning.ts'
import { type EpochMs, epochMs } from '../../app/units.ts'
import { StateReader, StateWriter } from '../bytes.ts'
import { createLearner, decodeLearner } from '../create.ts'
import { fakeNegativeWeight } from '../labels/weights.ts'
import { Contest, contestOptions } from '../promotion/contest.ts'
import { LabelHealth } from '../promotion/label-health.ts'
import {
  advance,
  type Evidence,
  type LadderState,
  type Move,
  rollback,
  shareOf,
  startLadder,
} from '../promotion/ladder.ts'
import type { InputColumn, Learner, Task } from '../types.ts'
import { type AlarmState, type Alert, type Finding, NO_ALARMS, raise, tell } from './alarm-book.ts'
import { type CurveState, mark, NEW_CURVE } from './curve.ts'
import { DriftWatch } from './drift-watch.ts'
import type { LoggedScore, StreamExample } from './example.ts'
import { Standing, type StandingFigures } from './standing.ts'
import { Vetting } from './vetting.ts'

const KIND = 'learner-stream'
/** Models whose figures are kept, the learner's own among them. */
const STANDINGS_MAX = 24
/** Versions that the learner can go back to. */
const VERSIONS_MAX = 8
const VERSIONS_MAX_BYTES = 8 * 1024 * 1024
/** A contest in shadow that isn't decided after so many times the least labels of a step begins anew. */
const UNDECIDED = 10
/** Labels after which "normal" of a serving learner is taken anew. */
const RENEW_LABELS = 4_000
/** Labels after which its scores are compared with newer ones: every version that went out since was vetted by itself. */
const ROLL_LABELS = 1_000
/** Moves that are remembered. */
const MOVES_MAX = 50
/** A feature or score that has moved by more than this is told. Convention: see drift/psi.ts. */
const MOVED = 0.25
const RARE = 0.01
/** Labels before a rare class is told. */
const RARE_LABELS = 1_000
/** What makes a serving learner stop to learn: it would be taught what is not so. */
const POISON = new Set(['error-risen', 'labels-dominated', 'labels-constant', 'label-leak'])
/** Of those and the ones that stop a promotion: what a moving world causes as well. */
const DRIFT = new Set(['error-risen', 'label-rate-changed'])

export interface LearnerStreamOptions {
  readonly name: string
  readonly definition: LearnerDefinition
  readonly label: LabelDefinition
  readonly inputs: readonly InputColumn[]
  readonly task: Task
}

/** A version that went out. */
export interface LearnerVersion {
  readonly version: string
  /** Examples that it had learned. */
  readonly learned: number
  /** Settled labels when it was made. */
  readonly labels: number
  readonly at: EpochMs
  readonly bytes: Uint8Array
}

/** A step of the ladder, as it is told and kept. */
export interface LadderMove {
  readonly at: EpochMs
  readonly kind: 'promote' | 'rollback' | 'revert' | 'adopted'
  readonly by: string
  readonly fromShare: number
  readonly toShare: number
  readonly version: string | undefined
  readonly why: string
  /** Figures that justified it. */
  readonly evidence: Readonly<Record<string, number | string | null>>
}

/** What follows from a look at everything. */
export interface Decisions {
  /** A version that goes out now: from here on the newest one. */
  readonly version: { readonly version: string; readonly onnx: Uint8Array; readonly learned: number } | undefined
  /** Version that should have the role, and share of the profiles that it should serve: 0 = shadow, 1 = all. */
  readonly wanted: { readonly version: string; readonly share: number } | undefined
  readonly moves: readonly LadderMove[]
  readonly alerts: readonly Alert[]
}

/** Everything about a learner that a page or a person wants to see. */
export interface LearnerStatus {
  readonly learned: number
  readonly labels: number
  readonly version: string | undefined
  readonly share: number
  readonly step: number
  readonly isBarred: boolean
  readonly isPaused: boolean
  readonly rival: string | undefined
  readonly next: string
  readonly models: Readonly<Record<string, StandingFigures>>
  readonly slices: Readonly<Record<string, StandingFigures>>
  readonly curve: CurveState['points']
  readonly drift: {
    readonly psi: readonly { readonly name: string; readonly psi: number }[]
    readonly level: string
    readonly drifts: number
  }
  readonly alerts: AlarmState
  readonly moves: readonly LadderMove[]
  readonly lastLabelAt: EpochMs | undefined
  readonly ignored: number
}

/** The part of the state that is small and read by people: kept as JSON. */
interface Small {
  learned: number
  settled: number
  ignored: number
  exported: number
  exportedAt: number
  lastLabelAt: number
  /** Samples that are not newer than this were learned from a history. */
  historyUntil: number
  rival: string | undefined
  ladder: LadderState
  served: string | undefined
  alarms: AlarmState
  moves: readonly LadderMove[]
  curve: CurveState
  next: string
  renewedAt: number
  rolledAt: number
  held: string | undefined
  positions: Record<string, number>
}

/** `learner` among the standings: what it predicts itself, just before it learns. */
export const OWN = 'learner'

export class LearnerStream {
  readonly #options: LearnerStreamOptions
  #learner: Learner
  #small: Small
  #standings = new Map<string, Standing>()
  #slices = new Map<string, Standing>()
  #contest: Contest
  #health: LabelHealth
  #drift: DriftWatch
  #vetting: Vetting
  /** Oldest first. */
  #versions: LearnerVersion[] = []
  #servedLearner: Learner | undefined

  constructor(options: LearnerStreamOptions) {
    const { definition, inputs, task } = options
    this.#options = options
    const names = inputs.map(({ name }) => name)
    this.#learner = createLearner(definition, inputs, task)
    this.#contest = new Contest(contestOptions(definition.promotion, task))
    this.#health = new LabelHealth({ features: names, silenceMs: definition.guard.silence })
    this.#drift = new DriftWatch(names)
    this.#vetting = new Vetting(inputs.length)
    this.#small = {
      learned: 0,
      settled: 0,
      ignored: 0,
      exported: 0,
      exportedAt: Number.NEGATIVE_INFINITY,
      lastLabelAt: 0,
      historyUntil: Number.NEGATIVE_INFINITY,
      rival: undefined,
      ladder: startLadder(epochMs(0)),
      served: undefined,
      alarms: NO_ALARMS,
      moves: [],
      curve: NEW_CURVE,
      next: 'no label yet',
      renewedAt: 0,
      rolledAt: 0,
      held: undefined,
      positions: {},
    }
  }

  /**
   * Goes on from a checkpoint.
   * @returns undefined when it is of another kind, other inputs or another task: what was learned is of no use then
   * @throws Error when the bytes are damaged
   */
  static decode(bytes: Uint8Array, options: LearnerStreamOptions): LearnerStream | undefined {
    const reader = new StateReader(bytes, KIND)
    if (reader.text() !== fingerprint(options)) return undefined
    const stream = new LearnerStream(options)
    stream.#small = JSON.parse(reader.text(), revive) as Small
    stream.#learner = decodeLearner(reader.bytes())
    stream.#contest = Contest.decode(reader.bytes())
    stream.#health = LabelHealth.decode(reader.bytes())
    stream.#drift = DriftWatch.decode(reader.bytes())
    stream.#vetting = Vetting.decode(reader.bytes())
    for (const standings of [stream.#standings, stream.#slices]) {
      for (let n = reader.u32(); n > 0; n--) standings.set(reader.text(), Standing.decode(reader.bytes()))
    }
    for (let n = reader.u32(); n > 0; n--) {
      const head = JSON.parse(reader.text()) as Omit<LearnerVersion, 'bytes'>
      stream.#versions.push({ ...head, bytes: new Uint8Array(reader.bytes()) })
    }
    reader.end()
    return stream
  }

  encode(): Uint8Array {
    const writer = new StateWriter(KIND)
      .text(fingerprint(this.#options))
      .text(JSON.stringify(this.#small, replace))
      .bytes(this.#learner.encode())
      .bytes(this.#contest.encode())
      .bytes(this.#health.encode())
      .bytes(this.#drift.encode())
      .bytes(this.#vetting.encode())
    for (const standings of [this.#standings, this.#slices]) {
      writer.u32(standings.size)
      for (const [name, standing] of standings) writer.text(name).bytes(standing.encode())
    }
    writer.u32(this.#versions.length)
    for (const { bytes, ...head } of this.#versions) writer.text(JSON.stringify(head)).bytes(bytes)
    return writer.done()
  }

  /** Next offset by `topic[partition]`. */
  get positions(): Readonly<Record<string, number>> {
    return this.#small.positions
  }

  /** What was learned was a history: the stream begins at its start, and samples up to `until` are passed over. */
  startAfter(until: EpochMs): void {
    this.#small.positions = {}
    this.#small.historyUntil = until
  }

  /** The weights alone, for a look or a comparison. */
  learnerBytes(): Uint8Array {
    return this.#learner.encode()
  }

  /** A record that holds nothing for this learner was read. */
  passOver(place: string, offset: number): void {
    this.#small.positions[place] = offset + 1
  }

  take(example: StreamExample): void {
    const small = this.#small
    this.passOver(example.place, example.offset)
    if (example.ts <= small.historyUntil || !Number.isFinite(example.y)) {
      small.ignored++
      return
    }
    if (example.isSettled) this.#judge(example)
    if (example.weight > 0 && !this.isPaused) this.#learn(example)
  }

  #learn({ x, y, weight }: StreamExample): void {
    const { policy } = this.#options.label
    const correction = policy === 'fake-negative' ? fakeNegativeWeight(y, this.#learner.predict(x)) : 1
    this.#learner.learn(x, y, weight * correction)
    this.#small.learned++
  }

  #judge(example: StreamExample): void {
    const { at, profile, x, y, scores } = example
    const small = this.#small
    small.settled++
    small.lastLabelAt = Math.max(small.lastLabelAt, at)
    const { task } = this.#options
    this.#standing(OWN)?.add(this.#learner.predict(x), y)
    const own = this.#ownOf(scores)
    const serving = scores.find(({ role }) => role !== 'shadow')
    for (const score of scores) {
      this.#standing(this.#nameOf(score))?.add(score.value, y)
    }
    if (serving) {
      const arm = isOwn(serving, this.#options.name) ? this.#options.name : `${serving.model}@${serving.version}`
      bounded(this.#slices, `${serving.role}:${arm}`, task.kind)?.add(serving.value, y)
    }
    this.#learnRival(scores)
    const rival = scores.find(({ model }) => model === small.rival)
    if (own) {
      this.#contest.score(own.value, 0)
      if (rival && Number.isFinite(own.value) && Number.isFinite(rival.value)) {
        this.#contest.label(at, profile, y, own.value, rival.value)
      }
    }
    const said = serving && Number.isFinite(serving.value) ? serving.value : this.#learner.predict(x)
    const isBinary = task.kind === 'binary'
    if (isBinary) this.#health.add(at, profile, x, y, said)
    else this.#health.add(at, profile, x, squashed(y), squashed(said))
    this.#drift.add(x, serving?.value ?? Number.NaN, isBinary ? said >= 0.5 !== (y === 1) : undefined)
    this.#vetting.add(x, y)
    small.curve = mark(small.curve, small.settled, at, this.#standings)
  }

  /** The model that serves while the learner doesn't is what it is compared with; it stays so when the learner has taken over. */
  #learnRival(scores: readonly LoggedScore[]): void {
    const champion = scores.find(({ model, role }) => role === 'champion' && model !== this.#options.name)
    if (!champion || champion.model === this.#small.rival) return
    this.#small.rival = champion.model
    this.#contest = new Contest(contestOptions(this.#options.definition.promotion, this.#options.task))
  }

  #ownOf(scores: readonly LoggedScore[]): LoggedScore | undefined {
    return scores.find((score) => isOwn(score, this.#options.name))
  }

  /** Versions of the learner stand together: they are one model that moves on. */
  #nameOf(score: LoggedScore): string {
    return isOwn(score, this.#options.name) ? this.#options.name : `${score.model}@${score.version}`
  }

  #standing(name: string): Standing | undefined {
    return bounded(this.#standings, name, this.#options.task.kind)
  }

  /** It serves, and the labels can't be trusted: it neither learns nor sends out versions. */
  get isPaused(): boolean {
    return this.#small.ladder.step >= 0 && this.#small.alarms.open.some((it) => POISON.has(it.code) && this.#stops(it))
  }

  #stops({ code }: { readonly code: string }): boolean {
    return this.#options.definition.guard.drift === 'stop' || !DRIFT.has(code)
  }

  /**
   * A look at everything.
   * @param routed share and version that the learner's model really has, and who changed it last; undefined: unknown, leave it
   */
  decide(now: EpochMs, options: DecideOptions): Decisions {
    const told: Alert[] = []
    const moves: LadderMove[] = []
    if (options.routed) this.#adopt(options.routed, now, moves)
    this.#watch(now, told)
    this.#climb(now, told, moves)
    const version = this.#refresh(now, options, told, moves)
    this.#small.moves = [...this.#small.moves, ...moves].slice(-MOVES_MAX)
    const { served } = this.#small
    const share = shareOf(this.#small.ladder, this.#options.definition.promotion)
    return { version, wanted: served === undefined ? undefined : { version: served, share }, moves, alerts: told }
  }

  /** Somebody has given the learner another share by hand: that is where it stands from here on. */
  #adopt({ share, isForeign, by }: Routed, now: EpochMs, moves: LadderMove[]): void {
    const { promotion } = this.#options.definition
    const mine = shareOf(this.#small.ladder, promotion)
    if (!isForeign || Math.abs(share - mine) < 1e-9) return
    const step = share <= 0 ? -1 : promotion.steps.findLastIndex((it) => it <= share + 1e-9)
    if (share > mine) this.#contest.step()
    this.#small.ladder = { step: Math.max(step, share > 0 ? 0 : -1), since: now, isBarred: share <= 0 && mine > 0 }
    moves.push(this.#move('adopted', { now, by, from: mine, to: share, why: `${by} has set its share`, evidence: {} }))
  }

  #watch(now: EpochMs, told: Alert[]): void {
    const raised = raise(this.#small.alarms, this.#findings(now), now)
    this.#small.alarms = raised.state
    told.push(...raised.changed)
  }

  #findings(now: EpochMs): Finding[] {
    const findings: Finding[] = this.#health.findings(now).map((it) => ({
      ...it,
      severity: it.code === 'label-rate-changed' ? 'warning' : 'critical',
    }))
    for (const { name, psi } of this.#drift.moved()) {
      if (psi <= MOVED) break
      const code = name === 'score' ? 'score-drift' : 'feature-drift'
      findings.push({
        code,
        subject: name,
        severity: 'warning',
        text: `${name} has moved: PSI ${short(psi)} beyond chance`,
      })
    }
    for (const name of this.#drift.constants()) {
      findings.push({
        code: 'feature-constant',
        subject: name,
        severity: 'info',
        text: `${name} has had one value only`,
      })
    }
    const positive = this.#standings.get(OWN)?.figures().positiveRate
    if (this.#health.labels >= RARE_LABELS && positive != null && positive < RARE) {
      const text = `${short(positive * 100)} % of the last labels are positive: accuracy says nothing, look at log loss and PR-AUC`
      findings.push({ code: 'labels-rare', severity: 'info', text })
    }
    if (this.#small.held !== undefined) {
      findings.push({
        code: 'refresh-held',
        severity: 'critical',
        text: `the newest version was held back: ${this.#small.held}`,
      })
    }
    return findings
  }

  #climb(now: EpochMs, told: Alert[], moves: LadderMove[]): void {
    const { promotion, guard } = this.#options.definition
    const small = this.#small
    const alarms = this.#health.findings(now).filter((it) => this.#stops(it))
    const evidence = this.#contest.evidence(
      now,
      alarms.map(({ text }) => text),
    )
    const before = small.ladder
    const from = shareOf(before, promotion)
    const advanced = advance(before, evidence, promotion, guard)
    const broken = before.step >= 0 ? this.#dominance() : undefined
    const { state, move } =
      broken !== undefined && advanced.move.kind !== 'rollback' ? rollback(before, now, broken) : advanced
    small.next = whyOf(move)
    const young = move.kind === 'promote' || move.kind === 'ready' ? this.#youth() : undefined
    if (young !== undefined) {
      small.next = young
      return
    }
    if (move.kind === 'promote') {
      small.ladder = state
      this.#contest.step()
      this.#drift.restart()
      moves.push(
        this.#move('promote', {
          now,
          by: this.#by,
          from,
          to: shareOf(state, promotion),
          why: move.why,
          evidence: flat(evidence),
        }),
      )
      told.push(
        this.#tell(
          { code: 'promoted', severity: 'info', text: `serves ${percent(shareOf(state, promotion))}: ${move.why}` },
          now,
        ),
      )
    } else if (move.kind === 'rollback') {
      small.ladder = state
      this.#drift.restart()
      moves.push(this.#move('rollback', { now, by: this.#by, from, to: 0, why: move.why, evidence: flat(evidence) }))
      told.push(
        this.#tell(
          { code: 'rolled-back', severity: 'critical', text: `rolled back from ${percent(from)}: ${move.why}` },
          now,
        ),
      )
    } else if (before.step < 0 && evidence.comparison.labels >= UNDECIDED * promotion.labels) {
      this.#contest.restart()
    } else if (before.step >= 0 && evidence.alarms.length === 0 && small.settled - small.renewedAt >= RENEW_LABELS) {
      this.#contest.renew()
      small.renewedAt = small.settled
    } else if (before.step >= 0 && evidence.alarms.length === 0 && small.settled - small.rolledAt >= ROLL_LABELS) {
      this.#contest.roll()
      small.rolledAt = small.settled
    }
  }

  /** Why it is too young to climb: what it says still changes by more than a serving model's scores may. */
  #youth(): string | undefined {
    const { settled } = this.#small
    const before = this.#versions.find(({ labels }) => labels >= settled / 4) ?? this.#versions.at(-1)
    if (!before || this.#versions.length < 2)
      return 'it is young: there is no earlier version to compare its scores with'
    const psi = this.#vetting.shift(decodeLearner(before.bytes), this.#learner)
    const most = this.#options.definition.guard.psi / 2
    return psi <= most
      ? undefined
      : `its scores still change: PSI ${short(psi)} against the version of ${before.labels} labels; the most is ${short(most)}`
  }

  /** Labels that somebody steers are as bad for a serving model as a loss that has risen. */
  #dominance(): string | undefined {
    return this.#small.alarms.open.find(({ code }) => code === 'labels-dominated' || code === 'label-leak')?.text
  }

  get #by(): string {
    return `learner ${this.#options.name}`
  }

  #move(kind: LadderMove['kind'], { now, by, from, to, why, evidence }: MoveParts): LadderMove {
    return { at: now, kind, by, fromShare: from, toShare: to, version: this.#small.served, why, evidence }
  }

  #tell(finding: Finding, now: EpochMs): Alert {
    const { state, alert } = tell(this.#small.alarms, finding, now)
    this.#small.alarms = state
    return alert
  }

  #refresh(now: EpochMs, options: DecideOptions, told: Alert[], moves: LadderMove[]): Decisions['version'] {
    const small = this.#small
    if (this.isPaused) {
      this.#revert(now, told, moves)
      return undefined
    }
    const fresh = small.learned - small.exported
    const isDue = fresh >= options.minExamples && now - small.exportedAt >= options.everyMs
    if (!options.isLast && (!isDue || fresh === 0)) return undefined
    if (fresh === 0) return undefined
    const { definition, task } = this.#options
    const serving = small.ladder.step >= 0 ? this.#served() : undefined
    const { loss } = contestOptions(definition.promotion, task)
    const vetted = this.#vetting.vet(this.#learner, serving, loss, definition.guard)
    // Looked at again with the next labels, not at once.
    small.exported = small.learned
    small.exportedAt = now
    if (!vetted.isGood) {
      small.held = vetted.why
      if (!this.#isSound()) this.#restore()
      this.#watch(now, told)
      return undefined
    }
    small.held = undefined
    const bytes = this.#learner.encode()
    const version = `${small.learned}-${fingerprintOf(bytes)}`
    small.served = version
    this.#servedLearner = undefined
    this.#keep({ version, learned: small.learned, labels: small.settled, at: now, bytes })
    return { version, onnx: this.#learner.toOnnx(), learned: small.learned }
  }

  /** Numbers that aren't finite never become finite again by learning. */
  #isSound(): boolean {
    return Number.isFinite(this.#learner.predict(new Float32Array(this.#options.inputs.length)))
  }

  #served(): Learner | undefined {
    const version = this.#versions.find((it) => it.version === this.#small.served)
    this.#servedLearner ??= version && decodeLearner(version.bytes)
    return this.#servedLearner
  }

  #restore(): void {
    const good = this.#versions.at(-1)
    if (good) this.#learner = decodeLearner(good.bytes)
    else this.#learner = createLearner(this.#options.definition, this.#options.inputs, this.#options.task)
  }

  /** Back to the newest version that was made before the labels changed: it serves, and learning goes on from it later. */
  #revert(now: EpochMs, told: Alert[], moves: LadderMove[]): void {
    const since = this.#health.labelsSinceChange
    // A change that no detector dates: the oldest version that is kept is the least touched by it.
    const good =
      since === undefined
        ? this.#versions[0]
        : (this.#versions.findLast(({ labels }) => labels <= this.#small.settled - since) ?? this.#versions[0])
    if (!good || good.version === this.#small.served) return
    const { promotion } = this.#options.definition
    const share = shareOf(this.#small.ladder, promotion)
    const why = `the labels can't be trusted: ${this.#small.alarms.open.find(({ code }) => POISON.has(code))?.text}`
    const text = `version ${good.version} serves again instead of ${this.#small.served}: ${why}`
    this.#small.served = good.version
    this.#servedLearner = undefined
    this.#learner = decodeLearner(good.bytes)
    this.#versions = this.#versions.filter(({ labels }) => labels <= good.labels)
    moves.push(
      this.#move('revert', { now, by: this.#by, from: share, to: share, why, evidence: { version: good.version } }),
    )
    told.push(this.#tell({ code: 'reverted', severity: 'critical', text }, now))
  }

  /** Keeps few versions, closer together the newer they are. */
  #keep(version: LearnerVersion): void {
    this.#versions.push(version)
    const isTooMuch = () =>
      this.#versions.length > VERSIONS_MAX ||
      (this.#versions.length > 2 && this.#versions.reduce((sum, it) => sum + it.bytes.length, 0) > VERSIONS_MAX_BYTES)
    while (isTooMuch()) {
      const now = version.labels
      const gaps = this.#versions.slice(0, -1).map(({ labels }, i) => {
        const gap = this.#versions[i + 1]!.labels - (this.#versions[i - 1]?.labels ?? labels)
        return gap / (now - labels + 1)
      })
      this.#versions.splice(gaps.indexOf(Math.min(...gaps)), 1)
    }
  }

  /** ONNX file of a version that it may go back to: the same bytes each time. @returns undefined when it is no longer kept */
  onnxOf(version: string): Uint8Array | undefined {
    const known = this.#versions.find((it) => it.version === version)
    return known && decodeLearner(known.bytes).toOnnx()
  }

  /** Where the reading of a partition stands, for stretches that hold no record. */
  readUpTo(place: string, position: number): void {
    if (position > (this.#small.positions[place] ?? 0)) this.#small.positions[place] = position
  }

  status(): LearnerStatus {
    const small = this.#small
    const figures = (standings: ReadonlyMap<string, Standing>) =>
      Object.fromEntries([...standings].map(([name, it]) => [name, it.figures()]))
    return {
      learned: small.learned,
      labels: small.settled,
      ignored: small.ignored,
      version: small.served,
      share: shareOf(small.ladder, this.#options.definition.promotion),
      step: small.ladder.step,
      isBarred: small.ladder.isBarred,
      isPaused: this.isPaused,
      rival: small.rival,
      next: small.next,
      models: figures(this.#standings),
      slices: figures(this.#slices),
      curve: small.curve.points,
      drift: { psi: this.#drift.moved().slice(0, 20), level: this.#drift.level, drifts: this.#drift.drifts },
      alerts: small.alarms,
      moves: small.moves,
      lastLabelAt: small.lastLabelAt === 0 ? undefined : epochMs(small.lastLabelAt),
    }
  }
}

export interface Routed {
  readonly share: number
  /** The last change was not the learner's own. */
  readonly isForeign: boolean
  readonly by: string
}

export interface DecideOptions {
  readonly routed: Routed | undefined
  /** A version goes out when at least so many examples are new … */
  readonly minExamples: number
  /** … and the last one went out so long ago. */
  readonly everyMs: number
  /** Nothing more will come: what is new goes out whatever the rhythm. */
  readonly isLast?: boolean
}

interface MoveParts {
  readonly now: EpochMs
  readonly by: string
  readonly from: number
  readonly to: number
  readonly why: string
  readonly evidence: LadderMove['evidence']
}

const isOwn = ({ model }: LoggedScore, name: string): boolean => model === name

/** FNV-1a of a state: two versions of one name would be two models, also after a store has lost what it knew. */
function fingerprintOf(bytes: Uint8Array): string {
  let h = 2_166_136_261
  for (const byte of bytes) h = Math.imul(h ^ byte, 16_777_619)
  return (h >>> 0).toString(16).padStart(8, '0')
}

/** A quantity on a scale of 0 to 1, for detectors that assume it. */
const squashed = (value: number): number => 1 / (1 + Math.exp(-value / 10))

/** @returns undefined when there is no room for another one */
function bounded(standings: Map<string, Standing>, name: string, task: Task['kind']): Standing | undefined {
  if (task === 'classes') return undefined
  const standing = standings.get(name) ?? new Standing(task)
  // Last in the map is last in use: the model that has had no label for longest makes room.
  standings.delete(name)
  if (standings.size >= STANDINGS_MAX) standings.delete([...standings.keys()].find((it) => it !== OWN)!)
  standings.set(name, standing)
  return standing
}

function flat({ comparison, calibrationError, errorRate, stability, liveLoss, referenceLoss }: Evidence) {
  const number = (value: number | undefined) => (value === undefined || !Number.isFinite(value) ? null : value)
  return {
    labels: comparison.labels,
    profiles: comparison.clusters,
    advantage: number(comparison.meanDifference),
    low: number(comparison.low),
    high: number(comparison.high),
    verdict: comparison.verdict,
    calibrationError: number(calibrationError),
    errorRate: number(errorRate),
    psi: number(stability?.psi),
    liveLoss: number(liveLoss),
    referenceLoss: number(referenceLoss),
  }
}

function whyOf(move: Move): string {
  return move.kind === 'ready' ? `ready, waits for a person's word: ${move.why}` : move.why
}

/** A checkpoint of another question is of no use: what it learned would be read as something else. */
function fingerprint({ inputs, task, definition }: LearnerStreamOptions): string {
  const { kind, ftrl, mlp, forest, calibration } = definition
  return JSON.stringify({ inputs, task, kind, ftrl, mlp, forest, calibration })
}

/** JSON knows neither infinities nor NaN. */
const replace = (_: string, value: unknown): unknown =>
  typeof value === 'number' && !Number.isFinite(value) ? { number: String(value) } : value
const revive = (_: string, value: unknown): unknown =>
  typeof value === 'object' && value !== null && 'number' in value && typeof value.number === 'string'
    ? Number(value.number)
    : value

const short = (value: number): string => Number(value.toPrecision(3)).toString()
const percent = (share: number): string => `${short(share * 100)} % of the profiles`
