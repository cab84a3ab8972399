/**
 * An online forest for binary labels and classes: Hoeffding trees that each see the examples a random number of times and look
 * at random columns; a tree whose error rises starts anew. Source: Gomes et al., "Adaptive random forests for evolving data
 * stream classification", Machine Learning 2017 (without its background trees).
 * It reads values as they are: no standardisation; ids are read as numbers, so give it onehot columns instead.
 */
import type { OnnxGraph } from '../onnx/graph.ts'
import { StateWriter } from './bytes.ts'
import { Adwin } from './drift/adwin.ts'
import { exportOnnx, type FrameOptions, openCheckpoint } from './frame.ts'
import { SeededRandom } from './random.ts'
import { HoeffdingTree, mixOf, type Node, type TreeRules } from './tree.ts'
import type { ExportableLearner, InputColumn, Task } from './types.ts'

export const FOREST = 'forest'
/** Mean number of times that a tree sees an example. */
const REPEATS = 6
const DRIFT_DELTA = 0.001
/** Examples before a tree's vote counts beside older ones. */
const RIPE = 100

export interface ForestOptions extends FrameOptions {
  readonly trees: number
  readonly depth: number
  readonly grace: number
  readonly seed: number
}

export const FOREST_DEFAULTS = { trees: 10, depth: 8, grace: 50, seed: 1 } as const

interface Member {
  tree: HoeffdingTree
  errors: Adwin
  seen: number
}

export class Forest implements ExportableLearner {
  readonly #options: ForestOptions
  readonly #rules: TreeRules
  #random: SeededRandom
  readonly #members: Member[]
  readonly #votes: Float64Array
  readonly #own: Float64Array
  readonly #single = new Float64Array(1)
  #seen = 0

  /** @throws RangeError for other tasks, or impossible settings */
  constructor(options: FrameOptions & Partial<ForestOptions>) {
    this.#options = { ...FOREST_DEFAULTS, ...options }
    const { task, inputs, trees, depth, grace, seed } = this.#options
    if (task.kind !== 'binary' && task.kind !== 'classes') {
      throw new RangeError(`a forest learns binary labels and classes, not ${task.kind}. Use ftrl or mlp`)
    }
    if (inputs.length === 0) throw new RangeError('a learner wants at least one feature')
    if (!(Number.isInteger(trees) && trees >= 1 && trees <= 100)) throw new RangeError(`${trees} trees; 1 to 100`)
    if (!(Number.isInteger(depth) && depth >= 1 && depth <= 12)) throw new RangeError(`a depth of ${depth}; 1 to 12`)
    if (!(grace >= 1)) throw new RangeError(`a grace of ${grace}; at least 1`)
    const classes = task.kind === 'binary' ? 2 : task.classes
    const tried = Math.min(inputs.length, Math.ceil(Math.sqrt(inputs.length)) + 1)
    this.#rules = { columns: inputs.length, classes, tried, depth, grace }
    this.#random = new SeededRandom(seed)
    this.#members = Array.from({ length: trees }, () => this.#grow())
    this.#votes = new Float64Array(classes)
    this.#own = new Float64Array(classes)
  }

  /** @throws Error when the bytes are damaged */
  static decode(bytes: Uint8Array): Forest {
    const { options, reader } = openCheckpoint<ForestOptions>(bytes, FOREST)
    const forest = new Forest(options)
    forest.#seen = reader.f64()
    forest.#random = new SeededRandom(reader.u32())
    for (const member of forest.#members) {
      member.seen = reader.f64()
      member.errors = Adwin.decode(reader.bytes())
      member.tree.load(reader)
    }
    reader.end()
    return forest
  }

  encode(): Uint8Array {
    const writer = new StateWriter(FOREST).text(JSON.stringify(this.#options)).f64(this.#seen).u32(this.#random.state)
    for (const { tree, errors, seen } of this.#members) {
      writer.f64(seen).bytes(errors.encode())
      tree.write(writer)
    }
    return writer.done()
  }

  get inputs(): readonly InputColumn[] {
    return this.#options.inputs
  }

  get task(): Task {
    return this.#options.task
  }

  get seen(): number {
    return this.#seen
  }

  predict(x: Float32Array): number {
    this.#vote(x)
    return this.#votes.at(-1)!
  }

  predictAll(x: Float32Array): Float64Array {
    this.#vote(x)
    if (this.task.kind === 'classes') return this.#votes
    this.#single[0] = this.#votes[1]!
    return this.#single
  }

  #vote(x: Float32Array): void {
    const voters = this.#voters()
    this.#votes.fill(0)
    for (const { tree } of voters) tree.predict(x, this.#votes)
    for (let k = 0; k < this.#votes.length; k++) this.#votes[k]! /= voters.length
  }

  #voters(): readonly Member[] {
    const ripe = this.#members.filter(({ seen }) => seen >= RIPE)
    return ripe.length > 0 ? ripe : this.#members
  }

  learn(x: Float32Array, y: number, weight = 1): void {
    const { classes } = this.#rules
    if (!(Number.isInteger(y) && y >= 0 && y < classes && weight > 0 && weight < Number.POSITIVE_INFINITY)) return
    for (const [index, member] of this.#members.entries()) {
      this.#own.fill(0)
      member.tree.predict(x, this.#own)
      const before = member.errors.mean
      // The chance it gave to wrong answers, not only whether it was wrong: it also moves where one class is rare.
      if (member.errors.add(1 - this.#own[y]!) && member.errors.mean > before) {
        this.#members[index] = this.#grow()
        continue
      }
      const times = poisson(REPEATS, this.#random)
      member.seen++
      if (times > 0) member.tree.learn(x, y, times * weight, this.#random)
    }
    this.#seen++
  }

  #grow(): Member {
    return { tree: new HoeffdingTree(this.#rules, this.#random), errors: new Adwin(DRIFT_DELTA), seen: 0 }
  }

  appendTo(graph: OnnxGraph, features: string): string {
    const isBinary = this.task.kind === 'binary'
    const ensemble = new Ensemble(isBinary ? [1] : Array.from(this.#votes.keys()))
    const voters = this.#voters()
    for (const [index, { tree }] of voters.entries()) ensemble.add(index, tree.root, voters.length)
    const [votes] = graph.nodes('TreeEnsembleRegressor', [features], 1, ensemble.attributes(), 'ai.onnx.ml')
    return graph.cast(votes!, 'float64')
  }

  toOnnx(): Uint8Array {
    const width = this.task.kind === 'classes' ? this.#rules.classes : 1
    return exportOnnx(FOREST, this.inputs.length, width, (graph, features) => this.appendTo(graph, features))
  }
}

/** Source: Knuth; one uniform number a count. */
function poisson(mean: number, random: SeededRandom): number {
  const limit = Math.exp(-mean)
  let product = random.next()
  let count = 0
  while (product > limit) {
    product *= random.next()
    count++
  }
  return count
}

/** Attributes of a TreeEnsembleRegressor: parallel lists, a place a node. */
class Ensemble {
  readonly #targets: readonly number[]
  readonly #tree: number[] = []
  readonly #node: number[] = []
  readonly #column: number[] = []
  readonly #threshold: number[] = []
  readonly #mode: string[] = []
  readonly #left: number[] = []
  readonly #right: number[] = []
  readonly #targetTree: number[] = []
  readonly #targetNode: number[] = []
  readonly #targetId: number[] = []
  readonly #weight: number[] = []

  /** @param targets classes whose votes are outputs */
  constructor(targets: readonly number[]) {
    this.#targets = targets
  }

  add(tree: number, root: Node, trees: number): void {
    let next = 0
    const visit = (node: Node): number => {
      const id = next++
      const at = this.#tree.length
      this.#tree.push(tree)
      this.#node.push(id)
      this.#column.push(node.kind === 'split' ? node.column : 0)
      this.#threshold.push(node.kind === 'split' ? node.threshold : 0)
      this.#mode.push(node.kind === 'split' ? 'BRANCH_LEQ' : 'LEAF')
      this.#left.push(0)
      this.#right.push(0)
      if (node.kind === 'split') {
        this.#left[at] = visit(node.left)
        this.#right[at] = visit(node.right)
        return id
      }
      const mix = mixOf(node)
      for (const [index, target] of this.#targets.entries()) {
        this.#targetTree.push(tree)
        this.#targetNode.push(id)
        this.#targetId.push(index)
        this.#weight.push(mix[target]! / trees)
      }
      return id
    }
    visit(root)
  }

  attributes() {
    return {
      n_targets: { int: this.#targets.length },
      aggregate_function: { text: 'SUM' },
      post_transform: { text: 'NONE' },
      nodes_treeids: { ints: this.#tree },
      nodes_nodeids: { ints: this.#node },
      nodes_featureids: { ints: this.#column },
      nodes_values: { floats: this.#threshold },
      nodes_modes: { texts: this.#mode },
      nodes_truenodeids: { ints: this.#left },
      nodes_falsenodeids: { ints: this.#right },
      nodes_missing_value_tracks_true: { ints: this.#tree.map(() => 1) },
      target_treeids: { ints: this.#targetTree },
      target_nodeids: { ints: this.#targetNode },
      target_ids: { ints: this.#targetId },
      target_weights: { floats: this.#weight },
    }
  }
}
