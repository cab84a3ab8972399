import type { OnnxGraph } from '../../onnx/graph.ts'
import { StateReader, StateWriter } from '../bytes.ts'
import { exportOnnx } from '../frame.ts'
import type { ExportableLearner, InputColumn, Learner, Task } from '../types.ts'
import { fitIsotonic, isotonic } from './isotonic.ts'
import { fitPlatt, platt } from './platt.ts'
import type { Calibration } from './types.ts'

export const CALIBRATED = 'calibrated'

export interface CalibratedOptions {
  readonly method: 'platt' | 'isotonic'
  /** Labels that the fit looks back on. */
  readonly window?: number
  /** Labels between two fits. */
  readonly every?: number
}

/**
 * A binary learner whose probabilities are corrected by what came of the ones it gave before. The fit uses predictions that
 * were made before their label was learned, so it sees the model as it is on new data.
 */
export class Calibrated implements ExportableLearner {
  readonly #learner: ExportableLearner
  readonly #method: 'platt' | 'isotonic'
  readonly #every: number
  /** The last predictions, labels and weights: rings. */
  readonly #scores: Float64Array
  readonly #labels: Float64Array
  readonly #weights: Float64Array
  #added = 0
  #calibration: Calibration | undefined
  readonly #out = new Float64Array(1)

  /** @throws RangeError when the learner is not binary */
  constructor(learner: Learner, { method, window = 5_000, every = 500 }: CalibratedOptions) {
    if (learner.task.kind !== 'binary') throw new RangeError('only the probabilities of a binary label are calibrated')
    if (!('appendTo' in learner)) throw new RangeError('the learner cannot be part of another model')
    this.#learner = learner as ExportableLearner
    this.#method = method
    this.#every = every
    this.#scores = new Float64Array(window)
    this.#labels = new Float64Array(window)
    this.#weights = new Float64Array(window)
  }

  /** @throws Error when the bytes are damaged */
  static decode(bytes: Uint8Array, decodeLearner: (bytes: Uint8Array) => Learner): Calibrated {
    const reader = new StateReader(bytes, CALIBRATED)
    const method = reader.text() as 'platt' | 'isotonic'
    const [every, window, added] = [reader.u32(), reader.u32(), reader.f64()]
    const rings = [reader.f64s(), reader.f64s(), reader.f64s()] as const
    const parameters = [...reader.f64s()]
    const calibrated = new Calibrated(decodeLearner(reader.bytes()), { method, every, window })
    reader.end()
    calibrated.#added = added
    for (const [index, ring] of [calibrated.#scores, calibrated.#labels, calibrated.#weights].entries()) {
      ring.set(rings[index]!)
    }
    if (parameters.length > 0) {
      calibrated.#calibration = method === 'platt' ? platt(parameters[0]!, parameters[1]!) : isotonic(parameters)
    }
    return calibrated
  }

  encode(): Uint8Array {
    const { length } = this.#filled(this.#scores)
    return new StateWriter(CALIBRATED)
      .text(this.#method)
      .u32(this.#every)
      .u32(this.#scores.length)
      .f64(this.#added)
      .f64s(this.#scores.subarray(0, length))
      .f64s(this.#labels.subarray(0, length))
      .f64s(this.#weights.subarray(0, length))
      .f64s(this.#calibration?.parameters ?? [])
      .bytes(this.#learner.encode())
      .done()
  }

  get inputs(): readonly InputColumn[] {
    return this.#learner.inputs
  }

  get task(): Task {
    return this.#learner.task
  }

  get seen(): number {
    return this.#learner.seen
  }

  predict(x: Float32Array): number {
    const p = this.#learner.predict(x)
    return this.#calibration ? this.#calibration.apply(p) : p
  }

  predictAll(x: Float32Array): Float64Array {
    this.#out[0] = this.predict(x)
    return this.#out
  }

  learn(x: Float32Array, y: number, weight = 1): void {
    if ((y === 0 || y === 1) && weight > 0 && Number.isFinite(weight)) {
      const at = this.#added++ % this.#scores.length
      this.#scores[at] = this.#learner.predict(x)
      this.#labels[at] = y
      this.#weights[at] = weight
      if (this.#added % this.#every === 0) this.#fit()
    }
    this.#learner.learn(x, y, weight)
  }

  #filled(ring: Float64Array): Float64Array {
    return ring.subarray(0, Math.min(this.#added, ring.length))
  }

  #fit(): void {
    const labels = this.#filled(this.#labels)
    const positives = labels.reduce((sum, y) => sum + y, 0)
    // With a handful of one class the fit would be of those few events.
    if (Math.min(positives, labels.length - positives) < 10) return
    const fit = this.#method === 'platt' ? fitPlatt : fitIsotonic
    this.#calibration = fit(this.#filled(this.#scores), labels, this.#filled(this.#weights))
  }

  appendTo(graph: OnnxGraph, features: string): string {
    const p = this.#learner.appendTo(graph, features)
    return this.#calibration ? this.#calibration.append(graph, p) : p
  }

  toOnnx(): Uint8Array {
    return exportOnnx(CALIBRATED, this.inputs.length, 1, (graph, features) => this.appendTo(graph, features))
  }
}
