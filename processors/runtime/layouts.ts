import { RtmlError } from '../app/errors.ts'
import type { FeatureStore } from '../engine/ports.ts'
import { layoutIdOf } from '../features/state.ts'
import type { EntityKernel, LayoutDescriptor } from '../features/types.ts'

/**
 * The layouts that an entity's packed states have: this version's own, and those of other versions, learnt when a state
 * with one is met. During a roll-out two versions write side by side, so a layout can appear at any time. Each layout has a
 * note of its own in the store: two processes that start at once can't overwrite each other's.
 */
export class Layouts {
  readonly #kernel: EntityKernel
  readonly #store: Pick<FeatureStore, 'note' | 'setNote'>
  readonly #group: string
  readonly #skipBytes: number
  readonly #known: Map<number, LayoutDescriptor>

  /** @param options `skipBytes`: what a packed state has before the kernel's bytes */
  constructor(options: {
    kernel: EntityKernel
    store: Pick<FeatureStore, 'note' | 'setNote'>
    group: string
    skipBytes: number
  }) {
    this.#kernel = options.kernel
    this.#store = options.store
    this.#group = options.group
    this.#skipBytes = options.skipBytes
    this.#known = new Map([[options.kernel.layout.id, options.kernel.layout]])
  }

  /** Own layout first. */
  get known(): readonly LayoutDescriptor[] {
    return [...this.#known.values()]
  }

  /** Lets the kernel decode states of this layout. */
  add(descriptor: LayoutDescriptor): void {
    if (this.#known.has(descriptor.id)) return
    this.#kernel.addLayout(descriptor)
    this.#known.set(descriptor.id, descriptor)
  }

  /** Notes all known layouts, before anything is written with them and wherever a store has lost them. @throws RtmlError STORE_DOWN */
  async announce(): Promise<void> {
    for (const descriptor of this.#known.values()) {
      const name = this.#note(descriptor.id)
      if ((await this.#store.note(name)) === undefined)
        await this.#store.setNote(name, Buffer.from(JSON.stringify(descriptor)))
    }
  }

  /**
   * Learns the layouts of states that are about to be decoded. Undefined, the usual case, when all are known: 5 ns a state.
   * @throws RtmlError STORE_DOWN; STATE_LAYOUT when nothing describes a layout. Read the states again then: the store may
   * have lost both since they were read, and an owner notes its layouts again when it takes over
   */
  learn(packed: Iterable<Buffer | undefined>): Promise<void> | undefined {
    let unknown: Set<number> | undefined
    for (const bytes of packed) {
      if (!bytes) continue
      const id = layoutIdOf(this.#skipBytes === 0 ? bytes : bytes.subarray(this.#skipBytes))
      if (!this.#known.has(id)) unknown = (unknown ?? new Set()).add(id)
    }
    return unknown && this.#fetch(unknown)
  }

  async #fetch(ids: ReadonlySet<number>): Promise<void> {
    for (const id of ids) {
      const note = await this.#store.note(this.#note(id))
      if (note) this.add(JSON.parse(note.toString()) as LayoutDescriptor)
      else {
        throw new RtmlError(
          'STATE_LAYOUT',
          `states of ${this.#group} have layout ${id}, which nothing in the store describes. Waiting for it; if no worker of that version runs any more: rtml rebuild`,
          { place: this.#group },
        )
      }
    }
  }

  #note(id: number): string {
    return `layout:${this.#group}:${id}`
  }
}
