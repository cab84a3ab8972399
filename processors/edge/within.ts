/** The time of an operation is over. What it does goes on; nobody waits for it. */
export class TooLate extends Error {}

/**
 * @param budgetMs wall time
 * @throws TooLate when `work` hasn't settled in time, or what it rejected with
 */
export function within<T>(work: Promise<T>, budgetMs: number): Promise<T> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(
      () => reject(new TooLate(`no answer in ${Math.round(budgetMs)} ms`)),
      Math.max(0, budgetMs),
    )
    work.then(resolve, reject).finally(() => clearTimeout(timer))
  })
}
