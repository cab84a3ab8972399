/**
 * The quick look at a refreshed version before it takes the place of the one that serves: both predict the same recent
 * examples. A version that was taught nonsense for a moment does worse on what was true before, whatever it says of the nonsense.
 */
import { StateReader, StateWriter } from '../bytes.ts'
import { StabilityCheck } from '../drift/psi.ts'
import { type Loss, lossOf } from '../promotion/contest.ts'
import type { GuardRules } from '../promotion/ladder.ts'
import type { Learner } from '../types.ts'

const KIND = 'vetting'
const ROWS = 512
/** One of so many labels is kept, so that the rows span several thousand labels. */
const STRIDE = 4
/** Rows before losses and scores mean anything. */
const LEAST = 64

export type Vetted =
  | { readonly isGood: true; readonly loss: number | null; readonly servedLoss: number | null }
  | { readonly isGood: false; readonly why: string }

export class Vetting {
  readonly #width: number
  readonly #rows: Float32Array
  readonly #labels = new Float64Array(ROWS)
  #seen = 0

  /** @param width columns of a row */
  constructor(width: number) {
    this.#width = width
    this.#rows = new Float32Array(ROWS * width)
  }

  static decode(bytes: Uint8Array): Vetting {
    const reader = new StateReader(bytes, KIND)
    const vetting = new Vetting(reader.u32())
    vetting.#seen = reader.f64()
    vetting.#labels.set(reader.f64s(vetting.length))
    // A copy: the bytes need not begin where a float may.
    vetting.#rows.set(new Float32Array(new Uint8Array(reader.bytes()).buffer))
    reader.end()
    return vetting
  }

  encode(): Uint8Array {
    const { buffer, byteOffset } = this.#rows
    const { length } = this
    return new StateWriter(KIND)
      .u32(this.#width)
      .f64(this.#seen)
      .f64s(this.#labels.subarray(0, length))
      .bytes(new Uint8Array(buffer, byteOffset, 4 * length * this.#width))
      .done()
  }

  get length(): number {
    return Math.min(ROWS, Math.ceil(this.#seen / STRIDE))
  }

  add(x: Float32Array, y: number): void {
    if (this.#seen % STRIDE === 0) {
      const at = (this.#seen / STRIDE) % ROWS
      this.#rows.set(x, at * this.#width)
      this.#labels[at] = y
    }
    this.#seen++
  }

  /** How far two versions are apart, by their scores of the same recent examples: PSI beyond chance. */
  shift(before: Learner, after: Learner): number {
    const rows = this.#examples()
    if (rows.length < LEAST) return Number.POSITIVE_INFINITY
    return shift(
      Float64Array.from(rows, (row) => before.predict(row)),
      Float64Array.from(rows, (row) => after.predict(row)),
    )
  }

  #examples(): Float32Array[] {
    return Array.from({ length: this.length }, (_, i) => this.#rows.subarray(i * this.#width, (i + 1) * this.#width))
  }

  /** @param served what serves now; undefined: nothing does, so there is nothing to be worse than */
  vet(candidate: Learner, served: Learner | undefined, loss: Loss, guard: GuardRules): Vetted {
    const rows = this.#examples()
    const said = Float64Array.from(rows, (row) => candidate.predict(row))
    const broken = said.findIndex((it) => !Number.isFinite(it))
    if (broken >= 0) return { isGood: false, why: `it predicts ${said[broken]} for an example that was there before` }
    if (!served || rows.length < LEAST || candidate.task.kind === 'classes') {
      return { isGood: true, loss: null, servedLoss: null }
    }
    const before = Float64Array.from(rows, (row) => served.predict(row))
    const losses = said.map((it, i) => lossOf(loss, it, this.#labels[i]!))
    const servedLosses = before.map((it, i) => lossOf(loss, it, this.#labels[i]!))
    const [own, other] = [meanOf(losses), meanOf(servedLosses)]
    const error = errorOf(losses.map((it, i) => it - servedLosses[i]!))
    if (own - other - 3 * error > guard.loss * other) {
      return {
        isGood: false,
        why: `its loss on ${rows.length} recent labels is ${short(own)}, that of the serving version ${short(other)}`,
      }
    }
    const psi = shift(before, said)
    if (psi > guard.psi) {
      const why = `its scores of ${rows.length} recent examples have moved: PSI ${short(psi)} beyond chance; the most is ${guard.psi}`
      return { isGood: false, why }
    }
    return { isGood: true, loss: own, servedLoss: other }
  }
}

/** Population stability index of the one's scores against the other's, beyond what chance gives. */
function shift(before: Float64Array, after: Float64Array): number {
  const stability = StabilityCheck.of(before, { window: before.length })
  for (const it of after) stability.add(it)
  return stability.check()?.excess ?? 0
}

const meanOf = (values: Float64Array): number => values.reduce((sum, it) => sum + it, 0) / values.length

function errorOf(values: Float64Array): number {
  const mean = meanOf(values)
  return Math.sqrt(values.reduce((sum, it) => sum + (it - mean) ** 2, 0) / values.length / values.length)
}

const short = (value: number): string => Number(value.toPrecision(3)).toString()
