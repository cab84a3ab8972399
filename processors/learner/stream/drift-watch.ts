/** Whether the world has moved: features and scores against what was normal, and the served model's errors. */
import { StateReader, StateWriter } from '../bytes.ts'
import { Ddm, type DriftLevel } from '../drift/ddm.ts'
import { StabilityCheck } from '../drift/psi.ts'

const KIND = 'drift-watch'
/** Rows that say what is normal, and rows that are compared with them. */
const WINDOW = 1_000
/** Rows after which "normal" is taken anew. */
const RENEW = 20_000
/** More features than this would cost more than they tell; the first ones are watched. */
const FEATURES_MAX = 256

export interface Moved {
  readonly name: string
  /** Beyond what chance gives. */
  readonly psi: number
}

export class DriftWatch {
  readonly #names: readonly string[]
  /** Columns of the features, then one of the served score. */
  #reference: Float64Array
  #checks: StabilityCheck[] = []
  #rows = 0
  #ddm = new Ddm()
  #level: DriftLevel = 'none'
  #drifts = 0

  constructor(names: readonly string[]) {
    this.#names = [...names.slice(0, FEATURES_MAX), 'score']
    this.#reference = new Float64Array(this.#names.length * WINDOW)
  }

  static decode(bytes: Uint8Array): DriftWatch {
    const reader = new StateReader(bytes, KIND)
    const names = JSON.parse(reader.text()) as string[]
    const watch = new DriftWatch(names.slice(0, -1))
    watch.#rows = reader.f64()
    watch.#drifts = reader.f64()
    watch.#level = reader.text() as DriftLevel
    watch.#ddm = Ddm.decode(reader.bytes())
    const filling = reader.f64s()
    watch.#reference.set(filling)
    for (let n = reader.u32(); n > 0; n--) watch.#checks.push(StabilityCheck.decode(reader.bytes()))
    reader.end()
    return watch
  }

  encode(): Uint8Array {
    // Column by column up to the last row: a reference that is complete lives on in the checks alone.
    const isFilling = this.#rows < WINDOW
    const writer = new StateWriter(KIND).text(JSON.stringify(this.#names)).f64(this.#rows, this.#drifts)
    writer
      .text(this.#level)
      .bytes(this.#ddm.encode())
      .f64s(isFilling ? this.#reference : [])
    writer.u32(this.#checks.length)
    for (const check of this.#checks) writer.bytes(check.encode())
    return writer.done()
  }

  /** @param score what was served; NaN = nothing was. @param isError of a decision at 0.5; undefined: the label is a quantity */
  add(x: Float32Array, score: number, isError: boolean | undefined): void {
    if (isError !== undefined) {
      this.#level = this.#ddm.add(isError)
      if (this.#level === 'drift') this.#drifts++
    }
    const last = this.#names.length - 1
    const at = this.#rows % RENEW
    if (at < WINDOW) {
      for (let i = 0; i < last; i++) this.#reference[i * WINDOW + at] = finite(x[i]!)
      this.#reference[last * WINDOW + at] = finite(score)
      if (at === WINDOW - 1) {
        this.#checks = this.#names.map((_, i) =>
          StabilityCheck.of(this.#reference.slice(i * WINDOW, (i + 1) * WINDOW), { window: WINDOW }),
        )
      }
    } else {
      for (let i = 0; i < last; i++) this.#checks[i]!.add(finite(x[i]!))
      this.#checks[last]!.add(finite(score))
    }
    this.#rows++
  }

  /** Something else serves from now on: what is normal has to be seen anew. */
  restart(): void {
    this.#rows = 0
    this.#checks = []
  }

  /** Features that had one value only when "normal" was taken; empty before. */
  constants(): string[] {
    if (this.#checks.length === 0) return []
    return this.#names.slice(0, -1).filter((_, i) => this.#checks[i]!.isConstant)
  }

  /** Of the decisions; `warning` and `drift` by the rule of `Ddm`. */
  get level(): DriftLevel {
    return this.#level
  }

  /** Times that the error rate was found to have risen. */
  get drifts(): number {
    return this.#drifts
  }

  /** Features, most moved first, and `score`; empty until there is enough to compare. */
  moved(): Moved[] {
    return this.#checks
      .flatMap((check, i) => {
        const found = check.check()
        return found && found.labels >= WINDOW / 2 ? [{ name: this.#names[i]!, psi: found.excess }] : []
      })
      .sort((a, b) => b.psi - a.psi)
  }
}

const finite = (value: number): number => (Number.isFinite(value) ? value : Number.NaN)
