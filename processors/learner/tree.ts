/**
 * One Hoeffding tree: a leaf splits when its examples show, with certainty, that one feature divides them better than the
 * next best. Sources: Domingos & Hulten, "Mining high-speed data streams", KDD 2000; numbers by one normal distribution a
 * class: Pfahringer, Holmes & Kirkby 2008.
 */
import type { StateReader, StateWriter } from './bytes.ts'
import type { SeededRandom } from './random.ts'

/** Certainty of a split: 1 − δ. */
const DELTA = 0.01
/** Two features this equal (in bits) need not be told apart. */
const TIE = 0.05
/** Thresholds tried between the least and the greatest value. */
const CUTS = 10
/** Imagined examples of the parent's mix in each leaf. */
const SMOOTHING = 1

export interface TreeRules {
  readonly columns: number
  readonly classes: number
  /** Columns that a leaf looks at, drawn by chance: what makes the trees of a forest differ. */
  readonly tried: number
  readonly depth: number
  readonly grace: number
}

interface Split {
  readonly kind: 'split'
  readonly column: number
  /** A float32: x ≤ threshold and missing go left. */
  readonly threshold: number
  left: Node
  right: Node
}

interface Leaf {
  readonly kind: 'leaf'
  readonly depth: number
  /** Mix of classes of the parent. */
  readonly prior: Float64Array
  /** Weight of each class. */
  readonly counts: Float64Array
  readonly columns: Int32Array
  /** A column and class: weight, mean, Σ(x − mean)². */
  readonly moments: Float64Array
  /** A column: least and greatest value. */
  readonly range: Float64Array
  /** Weight at the last look for a split. */
  looked: number
}

export type Node = Split | Leaf

export class HoeffdingTree {
  readonly #rules: TreeRules
  #root: Node

  constructor(rules: TreeRules, random: SeededRandom) {
    this.#rules = rules
    this.#root = this.#leaf(0, new Float64Array(rules.classes).fill(1 / rules.classes), undefined, random)
  }

  get root(): Node {
    return this.#root
  }

  /** Probabilities of the classes, added to `into`. */
  predict(x: Float32Array, into: Float64Array): void {
    const leaf = this.#find(x)
    addProbabilities(leaf, into)
  }

  learn(x: Float32Array, y: number, weight: number, random: SeededRandom): void {
    let parent: Split | undefined
    let node = this.#root
    while (node.kind === 'split') {
      parent = node
      node = goesLeft(x, node) ? node.left : node.right
    }
    observe(node, x, y, weight)
    const total = sum(node.counts)
    if (node.depth >= this.#rules.depth || total - node.looked < this.#rules.grace) return
    node.looked = total
    const split = this.#split(node, random)
    if (!split) return
    if (!parent) this.#root = split
    else if (parent.left === node) parent.left = split
    else parent.right = split
  }

  #find(x: Float32Array): Leaf {
    let node = this.#root
    while (node.kind === 'split') node = goesLeft(x, node) ? node.left : node.right
    return node
  }

  #leaf(depth: number, prior: Float64Array, counts: Float64Array | undefined, random: SeededRandom): Leaf {
    const { classes, tried, columns } = this.#rules
    const own = depth < this.#rules.depth ? drawColumns(columns, tried, random) : new Int32Array(0)
    const range = new Float64Array(own.length * 2)
    for (let i = 0; i < own.length; i++) {
      range[2 * i] = Number.POSITIVE_INFINITY
      range[2 * i + 1] = Number.NEGATIVE_INFINITY
    }
    const filled = counts ?? new Float64Array(classes)
    return {
      kind: 'leaf',
      depth,
      prior,
      counts: filled,
      columns: own,
      moments: new Float64Array(own.length * classes * 3),
      range,
      looked: sum(filled),
    }
  }

  #split(leaf: Leaf, random: SeededRandom): Split | undefined {
    const { classes } = this.#rules
    const whole = entropyBits(leaf.counts)
    if (whole === 0) return undefined
    let best: { gain: number; index: number; threshold: number; left: Float64Array; right: Float64Array } | undefined
    let second = 0
    const left = new Float64Array(classes)
    const right = new Float64Array(classes)
    for (let index = 0; index < leaf.columns.length; index++) {
      const [least, most] = [leaf.range[2 * index]!, leaf.range[2 * index + 1]!]
      let own = 0
      for (let cut = 1; cut <= CUTS && least < most; cut++) {
        const threshold = Math.fround(least + ((most - least) * cut) / (CUTS + 1))
        divide(leaf, index, threshold, left, right)
        const gain = whole - mixed(left, right)
        if (gain <= own) continue
        own = gain
        if (best && best.index === index && gain <= best.gain) continue
        if (!best || gain > best.gain) {
          if (best && best.index !== index) second = Math.max(second, best.gain)
          best = { gain, index, threshold, left: left.slice(), right: right.slice() }
        }
      }
      if (best && best.index !== index) second = Math.max(second, own)
    }
    if (!best) return undefined
    const total = sum(leaf.counts)
    const range = Math.log2(classes)
    const bound = Math.sqrt((range * range * Math.log(1 / DELTA)) / (2 * total))
    // Not to split competes, too: its gain is 0.
    if (best.gain - second <= bound && bound >= TIE) return undefined
    if (best.gain <= bound / 2 && best.gain < TIE) return undefined
    const prior = mixOf(leaf)
    return {
      kind: 'split',
      column: leaf.columns[best.index]!,
      threshold: best.threshold,
      left: this.#leaf(leaf.depth + 1, prior, best.left, random),
      right: this.#leaf(leaf.depth + 1, prior, best.right, random),
    }
  }

  write(writer: StateWriter): void {
    writeNode(writer, this.#root)
  }

  load(reader: StateReader): void {
    this.#root = readNode(reader, this.#rules, 0)
  }
}

/** NaN is not greater than anything, so it goes left: the exported tree is told the same. */
const goesLeft = (x: Float32Array, { column, threshold }: Split): boolean => !(x[column]! > threshold)

function observe(leaf: Leaf, x: Float32Array, y: number, weight: number): void {
  leaf.counts[y]! += weight
  const classes = leaf.counts.length
  for (let i = 0; i < leaf.columns.length; i++) {
    const value = x[leaf.columns[i]!]!
    if (!Number.isFinite(value)) continue
    if (value < leaf.range[2 * i]!) leaf.range[2 * i] = value
    if (value > leaf.range[2 * i + 1]!) leaf.range[2 * i + 1] = value
    const at = (i * classes + y) * 3
    const count = leaf.moments[at]! + weight
    const delta = value - leaf.moments[at + 1]!
    leaf.moments[at] = count
    leaf.moments[at + 1]! += (delta * weight) / count
    leaf.moments[at + 2]! += weight * delta * (value - leaf.moments[at + 1]!)
  }
}

/** How the classes would divide at a threshold, by their normal distributions. */
function divide(leaf: Leaf, index: number, threshold: number, left: Float64Array, right: Float64Array): void {
  const classes = leaf.counts.length
  for (let k = 0; k < classes; k++) {
    const at = (index * classes + k) * 3
    const count = leaf.moments[at]!
    const mean = leaf.moments[at + 1]!
    const deviation = count > 0 ? Math.sqrt(leaf.moments[at + 2]! / count) : 0
    const share = deviation > 0 ? normalBelow((threshold - mean) / deviation) : threshold < mean ? 0 : 1
    // Missing values go left.
    left[k] = leaf.counts[k]! - count + count * share
    right[k] = count * (1 - share)
  }
}

const sum = (values: Float64Array): number => {
  let total = 0
  for (let i = 0; i < values.length; i++) total += values[i]!
  return total
}

function entropyBits(counts: Float64Array): number {
  const total = sum(counts)
  let bits = 0
  for (let k = 0; k < counts.length; k++) {
    const share = counts[k]! / total
    if (share > 0) bits -= share * Math.log2(share)
  }
  return bits
}

function mixed(left: Float64Array, right: Float64Array): number {
  const [a, b] = [sum(left), sum(right)]
  return ((a > 0 ? a * entropyBits(left) : 0) + (b > 0 ? b * entropyBits(right) : 0)) / (a + b)
}

/** Φ(z), to 1.5e−7. Source: Abramowitz & Stegun 7.1.26. */
function normalBelow(z: number): number {
  const x = Math.abs(z) / Math.SQRT2
  const t = 1 / (1 + 0.3275911 * x)
  const series = ((((1.061405429 * t - 1.453152027) * t + 1.421413741) * t - 0.284496736) * t + 0.254829592) * t
  const half = 0.5 * series * Math.exp(-x * x)
  return z > 0 ? 1 - half : half
}

/** Probabilities of a leaf. */
export function mixOf(leaf: Leaf): Float64Array {
  const mix = new Float64Array(leaf.counts.length)
  addProbabilities(leaf, mix)
  return mix
}

function addProbabilities({ counts, prior }: Leaf, into: Float64Array): void {
  const total = sum(counts) + SMOOTHING
  for (let k = 0; k < counts.length; k++) into[k]! += (counts[k]! + SMOOTHING * prior[k]!) / total
}

/** Different columns by chance: the first steps of a shuffle. */
function drawColumns(columns: number, count: number, random: SeededRandom): Int32Array {
  const all = Int32Array.from({ length: columns }, (_, i) => i)
  for (let i = 0; i < count; i++) {
    const j = i + Math.floor(random.next() * (columns - i))
    const swap = all[i]!
    all[i] = all[j]!
    all[j] = swap
  }
  return all.slice(0, count).sort()
}

const LEAF = 0
const SPLIT = 1

function writeNode(writer: StateWriter, node: Node): void {
  if (node.kind === 'split') {
    writer.u32(SPLIT).u32(node.column).f64(node.threshold)
    writeNode(writer, node.left)
    writeNode(writer, node.right)
    return
  }
  writer.u32(LEAF).u32(node.depth).f64(node.looked).f64s(node.prior).f64s(node.counts)
  writer
    .f64s([...node.columns])
    .f64s(node.moments)
    .f64s(node.range)
}

function readNode(reader: StateReader, rules: TreeRules, depth: number): Node {
  if (depth > rules.depth) throw new Error('the packed tree is deeper than its own bound')
  if (reader.u32() === SPLIT) {
    const [column, threshold] = [reader.u32(), reader.f64()]
    const left = readNode(reader, rules, depth + 1)
    return { kind: 'split', column, threshold, left, right: readNode(reader, rules, depth + 1) }
  }
  const [own, looked, prior, counts] = [
    reader.u32(),
    reader.f64(),
    reader.f64s(rules.classes),
    reader.f64s(rules.classes),
  ]
  const columns = Int32Array.from(reader.f64s())
  const moments = reader.f64s(columns.length * rules.classes * 3)
  return { kind: 'leaf', depth: own, looked, prior, counts, columns, moments, range: reader.f64s(columns.length * 2) }
}
