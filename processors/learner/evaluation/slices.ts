/** One set of metrics a key: by model, by arm, by any slice of the events. */
export class Slices<M> {
  readonly #max: number
  readonly #create: () => M
  readonly #metrics = new Map<string, M>()
  #overflow = 0

  /** @param max keys at most; what belongs to others is counted in `overflow` and in no slice */
  constructor(create: () => M, max = 1_000) {
    this.#create = create
    this.#max = max
  }

  /** @returns the metrics of this key; undefined when the bound is reached */
  of(key: string): M | undefined {
    const known = this.#metrics.get(key)
    if (known !== undefined) return known
    if (this.#metrics.size >= this.#max) {
      this.#overflow++
      return undefined
    }
    const created = this.#create()
    this.#metrics.set(key, created)
    return created
  }

  get overflow(): number {
    return this.#overflow
  }

  entries(): Iterable<[string, M]> {
    return this.#metrics.entries()
  }
}
