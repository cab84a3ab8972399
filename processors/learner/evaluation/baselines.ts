/**
 * What a model must beat to be worth anything: the labels' own history, without any feature. Both know only labels that
 * have arrived, as the model does.
 */

/** The base rate (classes: rates; numbers: mean) of all labels so far, smoothed by one imagined label a class. */
export class PriorBaseline {
  readonly #counts: Float64Array
  #sum = 0
  #labels = 0

  /** @param classes 2 for binary; 0 for numbers and counts */
  constructor(classes: number) {
    this.#counts = new Float64Array(classes)
  }

  /** Probability of the last class, or the mean. */
  predict(): number {
    return this.#counts.length === 0 ? this.#sum / Math.max(1, this.#labels) : this.predictAll().at(-1)!
  }

  predictAll(): Float64Array {
    return this.#counts.map((count) => (count + 1) / (this.#labels + this.#counts.length))
  }

  learn(y: number): void {
    this.#labels++
    this.#sum += y
    if (this.#counts.length > 0) this.#counts[y] = this.#counts[y]! + 1
  }
}

/**
 * "Same as last time". Its decision is the last label; its probability is how often each label followed that one, so that
 * its log loss can be compared.
 */
export class NoChangeBaseline {
  readonly #classes: number
  /** A row a label, a column the label after it. */
  readonly #followed: Float64Array
  #last = 0
  #hasLast = false

  /** @param classes 2 for binary; 0 for numbers and counts */
  constructor(classes: number) {
    this.#classes = classes
    this.#followed = new Float64Array(classes * classes)
  }

  /** The last label; 0 before the first. */
  get last(): number {
    return this.#last
  }

  predictAll(): Float64Array {
    const n = this.#classes
    const row = this.#followed.subarray(this.#last * n, this.#last * n + n)
    let sum = n
    for (const count of row) sum += count
    return row.map((count) => (count + 1) / sum)
  }

  learn(y: number): void {
    if (this.#hasLast && this.#classes > 0) {
      const cell = this.#last * this.#classes + y
      this.#followed[cell] = this.#followed[cell]! + 1
    }
    this.#last = y
    this.#hasLast = true
  }
}
