import { type Clock, type EpochMs, epochMs, type Ms } from '../../processors/app/units.ts'

interface Timer {
  readonly at: number
  readonly seq: number
  readonly run: () => void
}

/** Virtual time: an ordered queue of things to do. Ties go in the order of scheduling, so one seed is one history. */
export class Scheduler {
  now: number
  /** Things done so far. */
  steps = 0
  #seq = 0
  readonly #heap: Timer[] = []
  #counted: { atStep: number; run: () => void }[] = []

  constructor(start: number) {
    this.now = start
  }

  /** Runs after `count` more steps: between any two awaits of any process, wherever time alone wouldn't reach. */
  afterSteps(count: number, run: () => void): void {
    this.#counted.push({ atStep: this.steps + count, run })
  }

  after(delayMs: number, run: () => void): void {
    this.#add({ at: this.now + Math.max(0, delayMs), seq: this.#seq++, run })
  }

  /** Runs until `done` says so or the virtual deadline passes. @returns whether it was done in time */
  async runUntil(done: () => boolean, deadlineMs: number): Promise<boolean> {
    while (!done()) {
      const next = this.#heap[0]
      if (!next || next.at > deadlineMs) return done()
      this.#take()
      this.now = Math.max(this.now, next.at)
      next.run()
      await settled()
      this.steps++
      if (this.#counted.length > 0) this.#runCounted()
    }
    return true
  }

  #runCounted(): void {
    const due = this.#counted.filter(({ atStep }) => atStep <= this.steps)
    if (due.length === 0) return
    this.#counted = this.#counted.filter(({ atStep }) => atStep > this.steps)
    for (const { run } of due) run()
  }

  #add(timer: Timer): void {
    const heap = this.#heap
    heap.push(timer)
    let index = heap.length - 1
    while (index > 0) {
      const parent = (index - 1) >> 1
      if (!isBefore(timer, heap[parent]!)) break
      heap[index] = heap[parent]!
      index = parent
    }
    heap[index] = timer
  }

  #take(): Timer | undefined {
    const heap = this.#heap
    const top = heap[0]
    const last = heap.pop()
    if (!top || !last || heap.length === 0) return top
    let index = 0
    for (;;) {
      let child = 2 * index + 1
      if (child >= heap.length) break
      if (child + 1 < heap.length && isBefore(heap[child + 1]!, heap[child]!)) child++
      if (!isBefore(heap[child]!, last)) break
      heap[index] = heap[child]!
      index = child
    }
    heap[index] = last
    return top
  }
}

const isBefore = (a: Timer, b: Timer) => a.at < b.at || (a.at === b.at && a.seq < b.seq)

/** Lets every promise reaction that is ready run: the immediate queue comes after all microtasks. */
const settled = () => new Promise<void>((resolve) => setImmediate(resolve))

/**
 * A simulated operating-system process. A dead one never hears a reply again and its timers never fire; a paused one
 * (SIGSTOP) hears them when it goes on. What it had already sent arrives all the same: that is what makes zombies.
 */
export class SimProcess {
  readonly name: string
  readonly #scheduler: Scheduler
  readonly skewMs: number
  isAlive = true
  pausedUntil = 0
  /** What came during a pause and waits for its end, in order. */
  readonly #unheard = new Set<{ readonly heard: () => void }>()

  constructor(name: string, scheduler: Scheduler, skewMs: number) {
    this.name = name
    this.#scheduler = scheduler
    this.skewMs = skewMs
  }

  get isPaused(): boolean {
    return this.pausedUntil > this.#scheduler.now
  }

  /** Runs `heard` in this process: now, after its pause, or never. */
  hear(heard: () => void): void {
    if (!this.isAlive) return
    if (this.isPaused) return this.#defer({ heard })
    // A pause may end sooner than it was to: nothing that comes now overtakes what came meanwhile.
    for (const message of [...this.#unheard]) this.#take(message)
    heard()
  }

  #defer(message: { readonly heard: () => void }): void {
    this.#unheard.add(message)
    this.#scheduler.after(this.pausedUntil - this.#scheduler.now, () => this.#wake(message))
  }

  #wake(message: { readonly heard: () => void }): void {
    if (!this.isAlive || !this.#unheard.has(message)) return
    if (this.isPaused) this.#defer(message)
    else this.#take(message)
  }

  #take(message: { readonly heard: () => void }): void {
    if (this.#unheard.delete(message)) message.heard()
  }

  readonly clock: Clock = {
    now: (): EpochMs => epochMs(Math.floor(this.#scheduler.now + this.skewMs)),
    sleep: (duration: Ms, signal?: AbortSignal) =>
      new Promise<void>((resolve) => {
        if (signal?.aborted) return resolve()
        const done = () => {
          signal?.removeEventListener('abort', done)
          resolve()
        }
        signal?.addEventListener('abort', done, { once: true })
        this.#scheduler.after(duration, () => this.hear(done))
      }),
    // Nothing else waits inside one step of the scheduler.
    turn: () => Promise.resolve(),
  }
}
