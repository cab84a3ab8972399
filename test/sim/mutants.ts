import { ALL_GUARDS, type Guards } from './guards.ts'

/** A line of the program that is replaced while it is loaded: what would happen without this safeguard? */
export interface Patch {
  /** Below processors/. */
  readonly file: string
  readonly find: string
  readonly replace: string
}

export interface Mutant {
  readonly name: string
  /** What is switched off. */
  readonly about: string
  readonly patches?: readonly Patch[]
  readonly guards?: Guards
  /** A seed near which it was caught; default 1. */
  readonly hint?: number
}

const store = (off: keyof Guards['store']): Guards => ({ ...ALL_GUARDS, store: { ...ALL_GUARDS.store, [off]: false } })

export const MUTANTS: readonly Mutant[] = [
  {
    name: 'epoch-check',
    about: 'the store writes for whoever asks, not only for the newest owner',
    hint: 8,
    guards: store('epochCheck'),
  },
  {
    name: 'position-check',
    about: 'the store writes a batch wherever it stands',
    hint: 24,
    guards: store('positionCheck'),
  },
  {
    name: 'outbox',
    about: 'the store does not keep outputs beside the states',
    hint: 9,
    guards: store('outbox'),
  },
  {
    name: 'publisher-fence',
    about: 'an older transactional publisher still gets through',
    hint: 37,
    guards: { ...ALL_GUARDS, log: { publisherFence: false } },
  },
  {
    name: 'dedup',
    about: 'the kernel takes an event id that it remembers',
    hint: 1,
    guards: {
      ...ALL_GUARDS,
      kernel: (kernel) => ({
        update(state, event) {
          const updated = kernel.update(state, event)
          return updated === 'duplicate' ? kernel.update(state, { ...event, id: `${event.id} again` }) : updated
        },
      }),
    },
  },
  {
    name: 'late-pane-rule',
    about: 'an event older than the lateness bound is taken as if it were of the bound',
    hint: 1,
    guards: {
      ...ALL_GUARDS,
      kernel: (kernel) => ({
        update(state, event) {
          const updated = kernel.update(state, event)
          return updated === 'late' ? kernel.update(state, { ...event, ts: state.time as typeof event.ts }) : updated
        },
      }),
    },
  },
  {
    name: 'store-before-publish-order',
    about: 'outputs are handed to the log before the store has accepted their batch',
    hint: 52,
    patches: [
      {
        file: 'runtime/tenure.ts',
        find: "const published = await this.#timed('apply', () => this.#store(batch, changed, outputs))",
        replace:
          "if (this.#stage.stateExpireMs !== undefined) this.#outbox.add({ from: batch.from, to: batch.to, records: outputs }, undefined); const published = await this.#timed('apply', () => this.#store(batch, changed, outputs))",
      },
      {
        file: 'runtime/tenure.ts',
        find: 'this.#outbox.add({ from: batch.from, to: batch.to, records: outputs }, batch.records[0]?.timestamp)',
        replace:
          'if (this.#stage.stateExpireMs === undefined) this.#outbox.add({ from: batch.from, to: batch.to, records: outputs }, undefined)',
      },
    ],
  },
  {
    name: 'read-after-fence',
    about: 'the committed position is read before the old owner is fenced',
    hint: 516,
    patches: [
      {
        file: 'runtime/take-over.ts',
        find: '  await stage.layouts?.announce()\n  const { epoch, position: found }',
        replace:
          '  const committed = await context.log.committed(shard.group, shard)\n  await stage.layouts?.announce()\n  const { epoch, position: found }',
      },
      {
        file: 'runtime/take-over.ts',
        find: '    const committed = await context.log.committed(shard.group, shard)\n    const bounds = await boundsOf(context, shard)\n    const mark',
        replace: '    const bounds = await boundsOf(context, shard)\n    const mark',
      },
    ],
  },
  {
    name: 'snapshot-position',
    about: 'a restored snapshot counts as of the committed position, not of its own',
    hint: 24,
    patches: [
      {
        file: 'runtime/take-over.ts',
        find: 'const position = mark?.position ?? bounds.start',
        replace: 'const position = (mark && committed) ?? mark?.position ?? bounds.start',
      },
    ],
  },
  {
    name: 'drain-before-fence',
    about: 'a planned hand-over stops at once instead of finishing what was taken in',
    hint: 19,
    patches: [{ file: 'runtime/group-worker.ts', find: 'worker.drain(), ()', replace: 'worker.stop(), ()' }],
  },
  {
    name: 'wait-for-compute',
    about: 'a closing tenure does not wait for the batch that is being computed',
    hint: 373,
    patches: [
      {
        file: 'runtime/tenure.ts',
        find: '    await this.#accepting\n    await this.#applied\n    await this.#outbox.close()',
        replace: '    void this.#outbox.close()',
      },
    ],
  },
  {
    name: 'in-flight-overlay',
    about: 'states of batches that the store does not have yet are not looked up',
    hint: 36,
    patches: [{ file: 'runtime/tenure.ts', find: 'if (packed !== undefined) return packed', replace: '' }],
  },
  {
    name: 'deleted-in-flight',
    about: 'a state that a batch in flight deleted is read from the store, which still has it',
    patches: [{ file: 'runtime/tenure.ts', find: 'return packed === undefined', replace: 'return !packed' }],
  },
  {
    name: 'cached-deletion',
    about: 'a deleted state stays in the cache',
    patches: [{ file: 'runtime/tenure.ts', find: 'this.#cache.drop(without(states, changed))', replace: '' }],
  },
  {
    name: 'rebuild-behind',
    about: 'a store behind the committed position is taken as it is',
    hint: 6,
    patches: [{ file: 'runtime/take-over.ts', find: 'committed !== undefined && start < committed', replace: 'false' }],
  },
  {
    name: 'cover-check',
    about: 'an outbox with holes is taken as if it were whole',
    hint: 12,
    patches: [{ file: 'runtime/take-over.ts', find: 'return covered === found', replace: 'return true' }],
  },
  {
    name: 'snapshot-probe',
    about: 'a snapshot round is published without asking whether the store still has what was read',
    hint: 78,
    patches: [
      { file: 'runtime/tenure.ts', find: 'if (round && (await this.#isStoreAt(batch.to)))', replace: 'if (round)' },
    ],
  },
  {
    name: 'store-watch',
    about: 'an idle shard does not ask whether the store still stands where it stands',
    hint: 1,
    patches: [
      { file: 'runtime/tenure.ts', find: 'if (!this.#isOver) await this.#isStoreAt(this.#position)', replace: '' },
    ],
  },
  {
    name: 'warm-position',
    about: 'decoded states of an earlier tenure are used whatever was written since',
    hint: 16,
    patches: [{ file: 'runtime/shard-worker.ts', find: 'warm?.position === taken.position', replace: 'warm' }],
  },
  {
    name: 'trim-after-publish',
    about: "the store's outbox is trimmed before its outputs are in the log",
    hint: 13,
    patches: [
      {
        file: 'runtime/outbox.ts',
        find: 'const records = batch.flatMap(({ entry }) => entry.records)',
        replace: 'const records = batch.flatMap(({ entry }) => entry.records); this.#trimUpTo(position)',
      },
    ],
  },
  {
    name: 'unknown-outcome',
    about: 'a transaction without an answer is repeated by the same publisher',
    hint: 37,
    patches: [
      {
        file: 'runtime/outbox.ts',
        find: 'await this.#publisher.publish(records, { group, topic, partition, position })',
        replace:
          'await retry(this.#context, this.#signal, () => this.#publisher.publish(records, { group, topic, partition, position }))',
      },
    ],
  },
  {
    name: 'half-updated-states',
    about: 'decoded states of a batch that failed half-way stay in the cache',
    hint: 1786,
    patches: [
      {
        file: 'runtime/tenure.ts',
        find: '      this.#cache.clear()\n',
        replace: '      if (states) this.#cache.put(states)\n',
      },
      {
        file: 'runtime/tenure.ts',
        find: "const states = await this.#timed('load', () => this.#load(stage.keys(prepared)))",
        replace: "states = await this.#timed('load', () => this.#load(stage.keys(prepared)))",
      },
      {
        file: 'runtime/tenure.ts',
        find: "metrics.observe('rtml_batch_events', [stage.name], batch.records.length)",
        replace: "metrics.observe('rtml_batch_events', [stage.name], batch.records.length); let states",
      },
    ],
  },
  {
    name: 'fresh-records',
    about: 'records that were taken in before are taken in again when they are delivered twice',
    hint: 6,
    patches: [
      {
        file: 'runtime/tenure.ts',
        find: 'run.from < from ? run.records.filter((record) => record.offset >= from) : run.records',
        replace: 'run.records',
      },
    ],
  },
  {
    name: 'late-commit',
    about: 'at least once, the last position of an idle stream waits for the next event',
    hint: 3,
    patches: [
      {
        file: 'runtime/outbox.ts',
        find: 'if (this.#uncommitted !== undefined) this.#commitLater()',
        replace: '',
      },
    ],
  },
  {
    name: 'commit-at-start',
    about: 'a tenure begins although the group does not show its position',
    hint: 75,
    patches: [
      {
        file: 'runtime/take-over.ts',
        find: 'if (committed !== undefined && committed >= position) return',
        replace: 'return',
      },
    ],
  },
  {
    name: 'truncation-check',
    about: 'a position below the start of the log is moved up to it',
    hint: 1557,
    patches: [
      {
        file: 'runtime/take-over.ts',
        find: 'if (committed !== undefined && committed < bounds.start) throw truncated(shard, committed, bounds)',
        replace: '',
      },
      {
        file: 'runtime/take-over.ts',
        find: 'const position = committed ?? bounds.start\n',
        replace: 'const position = Math.max(committed ?? 0, bounds.start) as Offset\n',
      },
    ],
  },
  {
    name: 'layouts',
    about: 'layouts of other versions are not learnt',
    hint: 3,
    patches: [
      { file: 'runtime/layouts.ts', find: 'return unknown && this.#fetch(unknown)', replace: 'return undefined' },
    ],
  },
  {
    name: 'defects-in-rebuild',
    about: 'a record that fails ends the rebuild',
    hint: 27,
    patches: [{ file: 'runtime/take-over.ts', find: 'if (isExpected(error)) throw error', replace: 'throw error' }],
  },
  {
    name: 'one-plan-an-event',
    about: 'models of an event are taken from whatever plan serves when their turn comes',
    hint: 390,
    patches: [
      {
        file: 'scorer/scorer.ts',
        find: 'return await this.#scoreWith(plan, rows)',
        replace:
          'const all = await Promise.all(plan.models.map(async (_, index) => { for (let i = 0; i < index; i++) await this.#options.clock.sleep(10 as never); const now = this.#plan; const scores = await this.#scoreWith(now, rows); const name = now.models[index]?.model.name; return scores.map((row) => row.filter(({ model }) => model === name)) })); return rows.map((_, at) => all.flatMap((scores) => scores[at]!))',
      },
    ],
  },
]
