/** What all learners share: front, head, counting, checkpoint frame and ONNX frame. A learner adds what is in between. */
import { OnnxGraph } from '../onnx/graph.ts'
import { StateReader, StateWriter } from './bytes.ts'
import { Front } from './front.ts'
import { Head } from './head.ts'
import type { ExportableLearner, InputColumn, Task } from './types.ts'

export interface FrameOptions {
  readonly inputs: readonly InputColumn[]
  readonly task: Task
}

/** @typeParam O options, plain JSON: they are in the checkpoint */
export abstract class FramedLearner<O extends FrameOptions> implements ExportableLearner {
  protected readonly options: O
  protected readonly front: Front
  protected readonly head: Head
  protected readonly raw: Float64Array
  readonly #kind: string
  readonly #out: Float64Array
  #seen = 0

  constructor(kind: string, options: O) {
    this.#kind = kind
    this.options = options
    this.front = new Front(options.inputs)
    this.head = new Head(options.task)
    this.raw = new Float64Array(this.head.width)
    this.#out = new Float64Array(this.head.width)
  }

  /** Raw scores of the row that `front` has read, into `raw`. */
  protected abstract forward(): void
  /** One step against `raw`, which holds the gradient at the raw scores, times the weight. Follows a `forward` of the same row. */
  protected abstract step(): void
  protected abstract write(writer: StateWriter): void
  protected abstract load(reader: StateReader): void
  /** @returns raw scores, double [n, width] */
  protected abstract append(graph: OnnxGraph, dense: string | undefined, rows: string | undefined): string

  get inputs(): readonly InputColumn[] {
    return this.options.inputs
  }

  get task(): Task {
    return this.options.task
  }

  get seen(): number {
    return this.#seen
  }

  predict(x: Float32Array): number {
    return this.predictAll(x)[this.head.width - 1]!
  }

  predictAll(x: Float32Array): Float64Array {
    this.front.read(x)
    this.forward()
    this.head.activate(this.raw, this.#out)
    return this.#out
  }

  learn(x: Float32Array, y: number, weight = 1): void {
    const { head, raw } = this
    if (!head.accepts(y) || !(weight > 0 && weight < Number.POSITIVE_INFINITY)) return
    this.front.read(x)
    this.forward()
    head.observe(y)
    head.gradient(raw, y, raw)
    if (weight !== 1) for (let k = 0; k < raw.length; k++) raw[k] = raw[k]! * weight
    this.step()
    this.front.observe(x)
    this.#seen++
  }

  encode(): Uint8Array {
    const writer = new StateWriter(this.#kind).text(JSON.stringify(this.options)).f64(this.#seen)
    this.front.write(writer)
    this.head.write(writer)
    this.write(writer)
    return writer.done()
  }

  /** Takes the state of a reader that stands behind the options. */
  protected restore(reader: StateReader): this {
    this.#seen = reader.f64()
    this.front.load(reader)
    this.head.load(reader)
    this.load(reader)
    reader.end()
    return this
  }

  /** Appends the whole model to a graph. @returns predictions, double [n, width] */
  appendTo(graph: OnnxGraph, features: string): string {
    const { dense, rows } = this.front.append(graph, features)
    return this.head.append(graph, this.append(graph, dense, rows))
  }

  toOnnx(): Uint8Array {
    return exportOnnx(this.#kind, this.inputs.length, this.head.width, (graph, features) =>
      this.appendTo(graph, features),
    )
  }
}

/** The frame of an exported learner: `features` in; `score`, or `probabilities` when there are several, out. */
export function exportOnnx(
  name: string,
  columns: number,
  width: number,
  append: (graph: OnnxGraph, features: string) => string,
): Uint8Array {
  const graph = new OnnxGraph()
  const result = append(graph, graph.input('features', 'float32', columns))
  graph.output(graph.cast(result, 'float32'), width === 1 ? 'score' : 'probabilities', 'float32', width)
  return graph.bytes(name)
}

/** Opens a checkpoint: its options, and the reader behind them. @throws Error when the bytes are damaged */
export function openCheckpoint<O>(bytes: Uint8Array, kind: string): { options: O; reader: StateReader } {
  const reader = new StateReader(bytes, kind)
  return { options: JSON.parse(reader.text()) as O, reader }
}
