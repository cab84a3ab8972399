import { type Epoch, epoch, type Offset } from '../../processors/app/units.ts'
import type { Applied, ApplyBatch, FeatureStore, OutboxEntry, Ownership, Shard } from '../../processors/engine/ports.ts'
import type { Network } from './network.ts'
import type { Scheduler, SimProcess } from './scheduler.ts'

export interface ShardState {
  /** Chunks of a restore that have arrived; undefined when none is under way. */
  readonly restored?: number
  readonly epoch: Epoch
  readonly position: Offset | undefined
  readonly states: ReadonlyMap<string, Buffer>
  readonly outbox: readonly OutboxEntry[]
}

/** Safeguards of the store that a mutant may switch off. */
export interface StoreGuards {
  readonly epochCheck: boolean
  readonly positionCheck: boolean
  readonly outbox: boolean
}

/** What a replica may have. */
interface Version {
  readonly at: number
  readonly shards: ReadonlyMap<string, ShardState>
  readonly notes: ReadonlyMap<string, Buffer>
}

const EMPTY: ShardState = { epoch: epoch(0), position: undefined, states: new Map(), outbox: [] }
const HISTORY = 400

const idOf = (shard: Shard) => `${shard.group}/${shard.topic}/${shard.partition}`

/**
 * The store as one service that all processes share. Every change makes a new immutable version, so that a failover can
 * go back to what a lagging replica had: states, positions, outboxes and epochs alike.
 */
export class SimStore {
  readonly #scheduler: Scheduler
  readonly #guards: StoreGuards
  #shards: ReadonlyMap<string, ShardState> = new Map()
  #notes: ReadonlyMap<string, Buffer> = new Map()
  readonly #history: Version[] = []
  /** Rules of a shard's life that were broken. */
  readonly violations: string[] = []

  constructor(scheduler: Scheduler, guards: StoreGuards) {
    this.#scheduler = scheduler
    this.#guards = guards
  }

  /**
   * The replica that takes over had everything up to `lagMs` ago; what came after is gone for good (other replicas and the
   * old primary resynchronise with the new one, so an abandoned history never comes back).
   */
  failOver(lagMs: number): void {
    const until = this.#scheduler.now - lagMs
    while (this.#history.length > 1 && this.#history.at(-1)!.at > until) this.#history.pop()
    const last = this.#history.at(-1)
    this.#shards = last?.shards ?? new Map()
    this.#notes = last?.notes ?? new Map()
  }

  /** The stream of one shard is deleted by hand, or evicted: what waited there is gone, the states are not. */
  loseOutbox(shard: Shard): void {
    this.#set(shard, { ...this.shard(shard), outbox: [] })
  }

  wipe(): void {
    this.#shards = new Map()
    this.#notes = new Map()
    this.#history.length = 0
  }

  shard(shard: Shard): ShardState {
    return this.#shards.get(idOf(shard)) ?? EMPTY
  }

  own(shard: Shard): Ownership {
    const state = this.shard(shard)
    // As the Redis script does: unique even after a failover has forgotten the last epochs.
    const next = epoch(Math.max(state.epoch + 1, Math.floor(this.#scheduler.now)))
    this.#set(shard, { ...state, epoch: next })
    return { epoch: next, position: state.position }
  }

  apply(shard: Shard, caller: Epoch, batch: ApplyBatch): Applied {
    const state = this.shard(shard)
    if (this.#isFenced(state, caller)) return { kind: 'fenced', epoch: state.epoch }
    if (this.#guards.positionCheck) {
      if (state.position === undefined) return { kind: 'gap', position: undefined }
      if (state.position > batch.from) return { kind: 'duplicate', position: state.position }
      if (state.position < batch.from) return { kind: 'gap', position: state.position }
    }
    this.#wrote(shard, state, caller)
    const states = new Map(state.states)
    for (const [key, packed] of batch.states) {
      if (packed) states.set(key, packed)
      else states.delete(key)
    }
    const entry: OutboxEntry = { from: batch.from, to: batch.to, records: batch.outputs }
    const outbox = batch.rebuild || !this.#guards.outbox ? state.outbox : [...state.outbox, entry]
    if (state.position !== undefined && batch.to < state.position)
      this.violations.push(`${idOf(shard)} went from position ${state.position} back to ${batch.to}`)
    this.#set(shard, { epoch: state.epoch, position: batch.to, states, outbox })
    return { kind: 'applied', position: batch.to, published: false }
  }

  trim(shard: Shard, caller: Epoch, upTo: Offset): void {
    const state = this.shard(shard)
    if (this.#isFenced(state, caller)) return
    this.#set(shard, { ...state, outbox: state.outbox.filter(({ to }) => to > upTo) })
  }

  begin(shard: Shard, caller: Epoch): boolean {
    const state = this.shard(shard)
    if (this.#isFenced(state, caller)) return false
    this.#wrote(shard, state, caller)
    this.#set(shard, { ...EMPTY, epoch: state.epoch, restored: 0 })
    return true
  }

  /** `nth` chunks must have arrived before: a failover in the middle forgets some, and then nothing may be completed. */
  fill(
    shard: Shard,
    caller: Epoch,
    nth: number,
    states: ReadonlyMap<string, Buffer>,
    position: Offset | undefined,
  ): boolean {
    const { restored, ...state } = this.shard(shard)
    if (this.#isFenced(state, caller) || restored !== nth) return false
    const filled = { ...state, position, states: new Map([...state.states, ...states]) }
    this.#set(shard, position === undefined ? { ...filled, restored: nth + 1 } : filled)
    return true
  }

  #isFenced(state: ShardState, caller: Epoch): boolean {
    return this.#guards.epochCheck && state.epoch !== caller
  }

  /** Who once wrote under a higher epoch is never followed by one of a lower. */
  #wrote(shard: Shard, state: ShardState, caller: Epoch): void {
    if (caller < state.epoch)
      this.violations.push(`${idOf(shard)} took a write of epoch ${caller} although ${state.epoch} owns it`)
  }

  note(name: string): Buffer | undefined {
    return this.#notes.get(name)
  }

  setNote(name: string, value: Buffer): void {
    this.#notes = new Map(this.#notes).set(name, value)
    this.#remember()
  }

  #set(shard: Shard, state: ShardState): void {
    const before = this.#shards.get(idOf(shard))
    if (before && state.epoch < before.epoch)
      this.violations.push(`${idOf(shard)} went from epoch ${before.epoch} back to ${state.epoch}`)
    this.#shards = new Map(this.#shards).set(idOf(shard), state)
    this.#remember()
  }

  #remember(): void {
    this.#history.push({ at: this.#scheduler.now, shards: this.#shards, notes: this.#notes })
    if (this.#history.length > HISTORY) this.#history.shift()
  }
}

/** The store's port as one process sees it. */
export function storePort(store: SimStore, network: Network, process: SimProcess): FeatureStore {
  const call = <T>(what: string, effect: () => T) => network.call(process, 'store', what, effect)
  const name = ({ group, partition }: Shard) => `${group}[${partition}]`
  return {
    own: (shard) => call(`own ${name(shard)}`, () => store.own(shard)),
    load: (shard, keys) => call(`load ${name(shard)}`, () => keys.map((key) => store.shard(shard).states.get(key))),
    peek: (shard, keys) =>
      call(`peek ${name(shard)}`, () => {
        const { position, states } = store.shard(shard)
        return { position, states: keys.map((key) => states.get(key)) }
      }),
    apply: (shard, caller, batch) => {
      const what = batch.from === batch.to ? 'probe' : 'apply'
      return call(`${what} ${name(shard)} ${batch.from}–${batch.to}`, () => store.apply(shard, caller, batch))
    },
    outbox: (shard) => call(`outbox ${name(shard)}`, () => [...store.shard(shard).outbox]),
    trim: (shard, caller, upTo) => call(`trim ${name(shard)} ${upTo}`, () => store.trim(shard, caller, upTo)),
    async restore(shard, caller, position, states) {
      if (!(await call(`restore ${name(shard)}`, () => store.begin(shard, caller)))) return false
      let chunks = 0
      for await (const chunk of states) {
        const nth = chunks++
        if (
          !(await call(`restore ${name(shard)} chunk ${nth}`, () => store.fill(shard, caller, nth, chunk, undefined)))
        )
          return false
      }
      return call(`restore ${name(shard)} to ${position}`, () => store.fill(shard, caller, chunks, new Map(), position))
    },
    async *scan(shard) {
      yield await call(`scan ${name(shard)}`, () => store.shard(shard).states)
    },
    note: (name) => call(`note ${name}`, () => store.note(name)),
    setNote: (name, value) => call(`set note ${name}`, () => store.setNote(name, value)),
    close: async () => {},
  }
}
