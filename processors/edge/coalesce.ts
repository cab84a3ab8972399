/** The queue of a batched operation is full: the dependency behind it is slower than the requests. */
export class Overloaded extends Error {}

export interface CoalesceLimits {
  /** Items of one batch. */
  readonly maxItems: number
  /** Batches under way at once. */
  readonly maxAtOnce: number
  /** Items waiting for a batch; one more is refused. */
  readonly maxWaiting: number
}

interface Waiting<Item, Result> {
  readonly item: Item
  readonly resolve: (result: Result) => void
  readonly reject: (error: unknown) => void
}

/**
 * Makes one batch of what concurrent callers ask for. A batch leaves at the end of the event loop's turn, so it holds
 * what the requests of that turn asked for: no timer, no waiting when only one asks, larger batches the busier it is.
 * @param run results in the order of the items
 * @returns a function that rejects with Overloaded when too many items wait, or with what `run` rejected with
 */
export function coalesce<Item, Result>(
  run: (items: readonly Item[]) => Promise<readonly Result[]>,
  limits: CoalesceLimits,
): (item: Item) => Promise<Result> {
  let waiting: Waiting<Item, Result>[] = []
  let underWay = 0
  let isScheduled = false

  const schedule = () => {
    if (isScheduled || waiting.length === 0 || underWay >= limits.maxAtOnce) return
    isScheduled = true
    setImmediate(flush)
  }
  const flush = () => {
    isScheduled = false
    const batch = waiting.slice(0, limits.maxItems)
    waiting = waiting.slice(limits.maxItems)
    underWay++
    void settle(batch)
    schedule()
  }
  const settle = async (batch: readonly Waiting<Item, Result>[]) => {
    try {
      const results = await run(batch.map(({ item }) => item))
      for (const [index, { resolve }] of batch.entries()) resolve(results[index] as Result)
    } catch (error) {
      for (const { reject } of batch) reject(error)
    } finally {
      underWay--
      schedule()
    }
  }
  return (item) => {
    if (waiting.length >= limits.maxWaiting) {
      return Promise.reject(new Overloaded(`${waiting.length} requests wait already`))
    }
    return new Promise((resolve, reject) => {
      waiting.push({ item, resolve, reject })
      schedule()
    })
  }
}
