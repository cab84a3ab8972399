import { ms } from '../../app/units.ts'
import type { Environment } from './environment.ts'
import { partitionName, readHead } from './log-write.ts'

/** How soon an append by another process is seen. */
const POLL_MS = ms(50)

interface Waiter {
  readonly topicId: number
  readonly partition: number
  readonly position: number
  readonly wake: () => void
}

/**
 * Lets readers wait for the end of a partition to move: woken by each commit of this process, and by a look at the
 * heads, while anybody waits, for what other processes append.
 */
export class Tail {
  readonly #environment: Environment
  readonly #waiters = new Map<string, Set<Waiter>>()
  readonly #stop = new AbortController()
  readonly #unsubscribe: () => void
  #polling: Promise<void> | undefined

  constructor(environment: Environment) {
    this.#environment = environment
    this.#unsubscribe = environment.onCommit((grown) => {
      for (const name of grown) for (const waiter of this.#waiters.get(name) ?? []) waiter.wake()
    })
  }

  /** Resolves when the partition may have records at `position`, when `signal` aborts, or when the engine closes. */
  async wait(topicId: number, partition: number, position: number, signal: AbortSignal): Promise<void> {
    if (signal.aborted || this.#stop.signal.aborted) return
    const { promise, resolve } = Promise.withResolvers<void>()
    const wake = () => resolve()
    const waiter: Waiter = { topicId, partition, position, wake }
    const name = partitionName(topicId, partition)
    const waiters = this.#waiters.get(name) ?? new Set()
    this.#waiters.set(name, waiters.add(waiter))
    signal.addEventListener('abort', wake, { once: true })
    // It may have grown between the caller's look and now.
    if (this.#hasGrown(waiter)) wake()
    this.#polling ??= this.#poll()
    await promise
    signal.removeEventListener('abort', wake)
    waiters.delete(waiter)
    if (waiters.size === 0) this.#waiters.delete(name)
  }

  async close(): Promise<void> {
    this.#unsubscribe()
    this.#stop.abort()
    for (const waiters of this.#waiters.values()) for (const waiter of waiters) waiter.wake()
    await this.#polling
  }

  get isClosed(): boolean {
    return this.#stop.signal.aborted
  }

  #hasGrown({ topicId, partition, position }: Waiter): boolean {
    return readHead(this.#environment.tables, topicId, partition).end > position
  }

  async #poll(): Promise<void> {
    const { signal } = this.#stop
    while (this.#waiters.size > 0 && !signal.aborted) {
      await this.#environment.clock.sleep(POLL_MS, signal)
      if (signal.aborted) break
      this.#environment.refresh()
      for (const waiters of this.#waiters.values()) {
        for (const waiter of waiters) if (this.#hasGrown(waiter)) waiter.wake()
      }
    }
    this.#polling = undefined
  }
}

/** Lets timers, sockets and other partitions have their turn between two pieces of work. */
export const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))
