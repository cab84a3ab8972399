import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type Epoch, epoch, ms, type Offset, offset } from '../../../processors/app/units.ts'
import type {
  Applied,
  ApplyBatch,
  FeatureStore,
  Log,
  NewRecord,
  OutboxEntry,
  Shard,
} from '../../../processors/engine/ports.ts'
import { bytes, eventually, PATIENCE, type Patience, plain, readNow, record } from './conditions.ts'

export interface StoreFixture {
  readonly store: FeatureStore
  /** The log of the same engine: needed where `apply` publishes by itself, and else left out. */
  readonly log?: Log
  /** Begins the name of every group, topic and note; nothing that begins so exists yet. */
  readonly prefix: string
  close(): Promise<void>
}

type States = ReadonlyMap<string, Buffer | null>

/** The contract of `FeatureStore`. `open` is called once; each test uses shards of its own. */
export function describeStore(name: string, open: () => Promise<StoreFixture>, patience: Patience = PATIENCE): void {
  describe(`${name}: store`, { timeout: patience.testMs }, () => {
    let fixture: StoreFixture
    let store: FeatureStore
    let output: string
    let made = 0
    beforeAll(async () => {
      fixture = await open()
      store = fixture.store
      output = `${fixture.prefix}outputs`
      await fixture.log?.ensureTopics([
        { topic: output, partitions: 2, cleanup: 'delete' },
        { topic: input(), partitions: 16, cleanup: 'delete' },
      ])
    }, patience.testMs * 2)
    afterAll(() => fixture?.close(), patience.testMs * 2)

    const input = () => `${fixture.prefix}inputs`
    const shardOf = (group: string, partition = 0): Shard => ({ group, topic: input(), partition })
    const newShard = (): Shard => shardOf(`${fixture.prefix}app.stage-${made++}`)
    const owned = async (): Promise<{ shard: Shard; epoch: Epoch }> => {
      const shard = newShard()
      return { shard, epoch: (await store.own(shard)).epoch }
    }
    const position = async (shard: Shard, previous: Epoch): Promise<{ position: Offset | undefined; epoch: Epoch }> => {
      const next = await store.own(shard)
      expect(next.epoch).toBeGreaterThan(previous)
      return next
    }
    const texts = async (shard: Shard, keys: readonly string[]): Promise<(string | undefined)[]> =>
      (await store.load(shard, keys)).map((state) => state?.toString())
    /** Outputs of a shard in order, wherever the engine keeps them after `apply`. */
    const outputsOf = async (shard: Shard): Promise<object[]> => {
      const queued = (await store.outbox(shard)).flatMap((entry) => entry.records)
      if (!fixture.log) return queued.map(plain)
      const published = await Promise.all(
        [0, 1].map((partition) => readNow(fixture.log!, { topic: output, partition }, patience)),
      )
      return [...published.flat().filter((r) => r.key?.toString().startsWith(shard.group)), ...queued].map(plain)
    }
    const outputOf = (shard: Shard, value: string): NewRecord => record(output, `${shard.group}/${value}`, value, 0)
    const committed = (shard: Shard) => fixture.log?.committed(shard.group, shard)

    describe('ownership', () => {
      it('knows nothing of a new shard, and raises the epoch with each owner', async () => {
        const shard = newShard()
        const first = await store.own(shard)
        expect(first.position).toBeUndefined()
        expect(first.epoch).toBeGreaterThan(0)
        const second = await store.own(shard)
        expect(second.epoch).toBeGreaterThan(first.epoch)
        const other = await store.own({ ...shard, partition: 1 })
        expect(other.position).toBeUndefined()
        expect((await store.own(shard)).epoch).toBeGreaterThan(second.epoch)
      })

      it('gives each of many simultaneous owners another epoch', async () => {
        const shard = newShard()
        const owners = await Promise.all(Array.from({ length: 8 }, () => store.own(shard)))
        expect(new Set(owners.map((owner) => owner.epoch)).size).toBe(8)
      })

      it('refuses a batch from an owner with an older epoch and writes nothing of it', async () => {
        const { shard, epoch: older } = await owned()
        expect(await store.apply(shard, older, batch(0, 5, { a: 'first' }, [outputOf(shard, 'first')]))).toMatchObject({
          kind: 'applied',
          position: 5,
        })
        const { epoch: newer } = await position(shard, older)
        const late = batch(5, 9, { a: 'late', b: 'late' }, [outputOf(shard, 'late')])
        expect(await store.apply(shard, older, late)).toEqual({ kind: 'fenced', epoch: newer })
        expect(await store.apply(shard, older, batch(0, 5, { a: 'again' }))).toEqual({ kind: 'fenced', epoch: newer })
        expect(await texts(shard, ['a', 'b'])).toEqual(['first', undefined])
        expect(await outputsOf(shard)).toEqual([plain(outputOf(shard, 'first'))])
        expect((await position(shard, newer)).position).toBe(5)
      })

      it('refuses an epoch that the store never gave', async () => {
        const { shard, epoch: current } = await owned()
        const ahead = epoch(current + 5)
        expect(await store.apply(shard, ahead, batch(0, 1, { a: 'x' }))).toEqual({ kind: 'fenced', epoch: current })
        const unknown = newShard()
        expect(await store.apply(unknown, epoch(1), batch(0, 1, { a: 'x' }))).toMatchObject({ kind: 'fenced' })
        expect(await texts(shard, ['a'])).toEqual([undefined])
        expect(await texts(unknown, ['a'])).toEqual([undefined])
      })

      it('refuses trim and restore from an owner with an older epoch', async () => {
        const { shard, epoch: older } = await owned()
        await store.apply(shard, older, batch(0, 5, { a: 'first' }, [outputOf(shard, 'first')]))
        const before = await store.outbox(shard)
        const { epoch: newer } = await position(shard, older)
        await store.trim(shard, older, offset(5))
        expect(await store.outbox(shard)).toEqual(before)
        expect(await store.restore(shard, older, offset(3), chunks([{ a: 'zombie', z: 'zombie' }]))).toBe(false)
        expect(await texts(shard, ['a', 'z'])).toEqual(['first', undefined])
        expect((await position(shard, newer)).position).toBe(5)
      })
    })

    describe('positions', () => {
      it('applies batches that follow each other', async () => {
        const { shard, epoch } = await owned()
        for (const [from, to] of [
          [0, 3],
          [3, 4],
          [4, 1_000_000],
        ] as const) {
          expect(await store.apply(shard, epoch, batch(from, to, { k: `${to}` }))).toMatchObject({
            kind: 'applied',
            position: to,
          })
        }
        expect(await texts(shard, ['k'])).toEqual(['1000000'])
        expect((await position(shard, epoch)).position).toBe(1_000_000)
      })

      it('moves the position by a batch without states or outputs', async () => {
        const { shard, epoch } = await owned()
        expect(await store.apply(shard, epoch, batch(0, 7))).toMatchObject({ kind: 'applied', position: 7 })
        expect((await position(shard, epoch)).position).toBe(7)
      })

      it('counts a shard that it knows nothing of as position 0', async () => {
        const { shard, epoch } = await owned()
        const answer = await store.apply(shard, epoch, batch(5, 6, { a: 'x' }))
        expect(answer).toEqual({ kind: 'gap', position: undefined })
        expect(await texts(shard, ['a'])).toEqual([undefined])
        expect((await position(shard, epoch)).position).toBeUndefined()
      })

      it('shows position and states as of one instant, whoever owns the shard', async () => {
        const unknown = newShard()
        expect(await store.peek(unknown, ['a'])).toEqual({ position: undefined, states: [undefined] })
        const { shard, epoch } = await owned()
        const seen: { position: Offset | undefined; states: readonly (Buffer | undefined)[] }[] = []
        let isDone = false
        const looking = (async () => {
          while (!isDone) {
            seen.push(await store.peek(shard, ['a', 'none', 'b']))
            // An engine in this process may answer at once, and would never let the writer have its turn.
            await new Promise((resolve) => setImmediate(resolve))
          }
        })()
        for (let at = 0; at < 200; at++)
          await store.apply(shard, epoch, batch(at, at + 1, { a: `${at + 1}`, b: `${at + 1}` }))
        isDone = true
        await looking
        seen.push(await store.peek(shard, ['a', 'none', 'b']))
        for (const { position, states } of seen) {
          const text = position === undefined ? undefined : `${position}`
          expect(states.map((state) => state?.toString())).toEqual([text, undefined, text])
        }
        expect(seen.at(-1)!.position).toBe(200)
        expect((await store.apply(shard, epoch, batch(200, 201))).kind).toBe('applied')
      })

      it.each([
        ['the same batch again', 4, 10, 'duplicate'],
        ['an older batch', 0, 4, 'duplicate'],
        ['a batch that overlaps the position', 7, 12, 'duplicate'],
        ['a batch after a hole', 11, 12, 'gap'],
      ] as const)('answers %s without writing', async (_, from, to, kind) => {
        const { shard, epoch } = await owned()
        await store.apply(shard, epoch, batch(0, 4, { a: '1', b: '1' }, [outputOf(shard, '1')]))
        await store.apply(shard, epoch, batch(4, 10, { a: '2' }, [outputOf(shard, '2')]))
        const wrong = batch(from, to, { a: 'wrong', b: null, c: 'wrong' }, [outputOf(shard, 'wrong')])
        expect(await store.apply(shard, epoch, wrong)).toEqual({ kind, position: 10 })
        expect(await texts(shard, ['a', 'b', 'c'])).toEqual(['2', '1', undefined])
        expect(await outputsOf(shard)).toEqual([plain(outputOf(shard, '1')), plain(outputOf(shard, '2'))])
        expect((await position(shard, epoch)).position).toBe(10)
      })

      it('applies only one of two batches that race for a position', async () => {
        const { shard, epoch } = await owned()
        const answers = await Promise.all(
          ['x', 'y', 'z'].map((value) =>
            store.apply(shard, epoch, batch(0, 5, { a: value, b: value }, [outputOf(shard, value)])),
          ),
        )
        expect(answers.map((answer) => answer.kind).sort()).toEqual(['applied', 'duplicate', 'duplicate'])
        const winner = ['x', 'y', 'z'][answers.findIndex((answer) => answer.kind === 'applied')]!
        expect(await texts(shard, ['a', 'b'])).toEqual([winner, winner])
        expect(await outputsOf(shard)).toEqual([plain(outputOf(shard, winner))])
      })

      it('applies batches that are sent without waiting for each other', async () => {
        const { shard, epoch } = await owned()
        const answers = await Promise.all(
          Array.from({ length: 20 }, (_, i) =>
            store.apply(shard, epoch, batch(i, i + 1, { n: `${i}`, [`k${i}`]: 'x' })),
          ),
        )
        expect(answers.map((answer) => answer.kind)).toEqual(new Array(20).fill('applied'))
        expect(await texts(shard, ['n', 'k0', 'k19'])).toEqual(['19', 'x', 'x'])
      })

      it('lets two shards go on at the same time', async () => {
        const [left, right] = [await owned(), await owned()]
        const run = async ({ shard, epoch }: { shard: Shard; epoch: Epoch }, value: string) => {
          const kinds: Applied['kind'][] = []
          for (let i = 0; i < 25; i++) {
            kinds.push((await store.apply(shard, epoch, batch(i, i + 1, { same: `${value}${i}` }))).kind)
          }
          return kinds
        }
        const kinds = await Promise.all([run(left, 'l'), run(right, 'r')])
        expect(new Set(kinds.flat())).toEqual(new Set(['applied']))
        expect(await texts(left.shard, ['same'])).toEqual(['l24'])
        expect(await texts(right.shard, ['same'])).toEqual(['r24'])
      })
    })

    describe('states', () => {
      it('loads in the order of the keys, with nothing where there is none', async () => {
        const { shard, epoch } = await owned()
        await store.apply(shard, epoch, batch(0, 1, { a: '1', b: '2', c: '3' }))
        expect(await texts(shard, ['c', 'none', 'a', 'c', 'b'])).toEqual(['3', undefined, '1', '3', '2'])
        expect(await store.load(shard, [])).toEqual([])
        expect(await texts(newShard(), ['a'])).toEqual([undefined])
      })

      it('deletes what a batch maps to null', async () => {
        const { shard, epoch } = await owned()
        await store.apply(shard, epoch, batch(0, 1, { a: '1', b: '2' }))
        await store.apply(shard, epoch, batch(1, 2, { a: null, never: null, c: '3' }))
        expect(await texts(shard, ['a', 'b', 'c', 'never'])).toEqual([undefined, '2', '3', undefined])
        expect(await scanned(store, shard)).toEqual({ b: '2', c: '3' })
      })

      it('keeps any characters in keys apart', async () => {
        const { shard, epoch } = await owned()
        const keys = [
          'ECID:1', 'ecid:1', ' ', '  ', 'with space', 'a\u0000b', 'a\u0000', 'a', '\u0000', 'a:b', 'a}b{c', '{a}', '*', '?[a]',
          'ключ', '🙂', 'é', 'e\u0301', 'x'.repeat(200), `${'x'.repeat(200)}y`, 'Email:jörg+test@example.com', '\\', '"', '\r\n',
        ] // biome-ignore format: one table
        const states = Object.fromEntries(keys.map((key, i) => [key, `state ${i}`]))
        await store.apply(shard, epoch, batch(0, 1, states))
        expect(await texts(shard, keys)).toEqual(keys.map((_, i) => `state ${i}`))
        expect(await scanned(store, shard)).toEqual(states)
        await store.apply(shard, epoch, batch(1, 2, Object.fromEntries(keys.map((key) => [key, null]))))
        expect(await scanned(store, shard)).toEqual({})
      })

      it('keeps keys as long as an identity may be', async () => {
        const { shard, epoch } = await owned()
        const keys = ['a', 'b'].map((end) => `NS:${'k'.repeat(3_000)}${end}`)
        await store.apply(shard, epoch, batch(0, 1, Object.fromEntries(keys.map((key) => [key, key.slice(-1)]))))
        expect(await texts(shard, keys)).toEqual(['a', 'b'])
        expect(Object.keys(await scanned(store, shard)).sort()).toEqual(keys)
      })

      it('is safe for any bytes, empty and large states', async () => {
        const { shard, epoch } = await owned()
        const every = Buffer.from(Array.from({ length: 256 }, (_, i) => i))
        const large = Buffer.alloc(1_500_000, 3)
        const states = new Map([
          ['every', every],
          ['empty', Buffer.alloc(0)],
          ['large', large],
        ])
        await store.apply(shard, epoch, { from: offset(0), to: offset(1), states, outputs: [] })
        const loaded = await store.load(shard, ['every', 'empty', 'large'])
        expect(loaded[0]?.equals(every)).toBe(true)
        expect(loaded[1]?.length).toBe(0)
        expect(loaded[2]?.equals(large)).toBe(true)
      })

      it('gives states that later writes do not change', async () => {
        const { shard, epoch } = await owned()
        await store.apply(shard, epoch, batch(0, 1, { a: 'before', b: 'before' }))
        const [a, b] = await store.load(shard, ['a', 'b'])
        await store.apply(shard, epoch, batch(1, 2, { a: 'AFTER!', b: 'AFTER!' }))
        expect([a?.toString(), b?.toString()]).toEqual(['before', 'before'])
      })

      it('drops states that nobody touched for expireMs', async () => {
        const { shard, epoch } = await owned()
        await store.apply(shard, epoch, { ...batch(0, 1, { long: 'x' }), expireMs: ms(86_400_000) })
        await store.apply(shard, epoch, { ...batch(1, 2, { short: 'x' }), expireMs: ms(50) })
        await store.apply(shard, epoch, batch(2, 3, { ever: 'x' }))
        await eventually('the state expires', patience, async () => {
          const [state] = await store.load(shard, ['short'])
          return state === undefined
        })
        expect(await texts(shard, ['long', 'ever'])).toEqual(['x', 'x'])
        expect(await scanned(store, shard)).toEqual({ long: 'x', ever: 'x' })
        expect((await position(shard, epoch)).position).toBe(3)
      })
    })

    describe('outputs', () => {
      it('keeps outputs of applied batches in order until they are published', async () => {
        const { shard, epoch } = await owned()
        const wanted: NewRecord[] = []
        for (let i = 0; i < 5; i++) {
          const outputs: NewRecord[] = [
            outputOf(shard, `${i}a`),
            { ...outputOf(shard, `${i}b`), value: null, headers: { id: Buffer.from([0, 255, i]) } },
          ]
          wanted.push(...outputs)
          const applied = await store.apply(shard, epoch, batch(i * 10, i * 10 + 10, { k: `${i}` }, outputs))
          expect(applied).toMatchObject({ kind: 'applied', position: i * 10 + 10 })
          if (applied.kind === 'applied' && applied.published) {
            expect(await store.outbox(shard)).toEqual([])
            expect(await committed(shard)).toBe(i * 10 + 10)
          } else {
            expect(await store.outbox(shard)).toHaveLength(i + 1)
          }
        }
        expect(await outputsOf(shard)).toEqual(wanted.map(plain))
        const outbox = await store.outbox(shard)
        expect(spans(outbox)).toEqual(outbox.map((_, i) => [i * 10, i * 10 + 10]))
      })

      it('drops the outbox up to a position and no further', async () => {
        const { shard, epoch } = await owned()
        for (let i = 0; i < 4; i++) {
          await store.apply(shard, epoch, batch(i * 10, i * 10 + 10, {}, [outputOf(shard, `${i}`)]))
        }
        const all = spans(await store.outbox(shard))
        for (const upTo of [0, 9, 10, 25, 25, 40, 99]) {
          await store.trim(shard, epoch, offset(upTo))
          expect(spans(await store.outbox(shard))).toEqual(all.filter(([, to]) => to > upTo))
        }
        expect((await position(shard, epoch)).position).toBe(40)
        expect(await store.apply(shard, epoch, batch(40, 41))).toMatchObject({ kind: 'fenced' })
      })

      it('leaves no hole between what is published and where the store stands', async () => {
        const { shard, epoch } = await owned()
        const spansWanted = [
          [0, 3],
          [3, 7],
          [7, 9],
        ]
        await store.apply(shard, epoch, batch(0, 3, { a: '1' }, [outputOf(shard, '1')]))
        const silent = await store.apply(shard, epoch, batch(3, 7))
        await store.apply(shard, epoch, batch(7, 9, { a: '2' }, [outputOf(shard, '2')]))
        // Asking whether the store still stands there is no batch.
        expect((await store.apply(shard, epoch, { ...batch(9, 9), rebuild: true })).kind).toBe('applied')
        if (silent.kind === 'applied' && silent.published) return expect(await committed(shard)).toBe(9)
        expect(spans(await store.outbox(shard))).toEqual(spansWanted)
        await store.trim(shard, epoch, offset(3))
        expect(spans(await store.outbox(shard))).toEqual(spansWanted.slice(1))
        expect(await outputsOf(shard)).toEqual([plain(outputOf(shard, '2'))])
      })

      it('queues and publishes nothing for a batch of a rebuild', async () => {
        const { shard, epoch } = await owned()
        await store.apply(shard, epoch, batch(0, 2, { a: '1' }, [outputOf(shard, '1')]))
        const [outputs, outbox, before] = [await outputsOf(shard), await store.outbox(shard), await committed(shard)]
        const rebuilt = await store.apply(shard, epoch, { ...batch(2, 6, { a: '2', b: '2' }), rebuild: true })
        expect(rebuilt).toMatchObject({ kind: 'applied', position: 6 })
        expect(await texts(shard, ['a', 'b'])).toEqual(['2', '2'])
        expect(await store.outbox(shard)).toEqual(outbox)
        expect(await outputsOf(shard)).toEqual(outputs)
        expect(await committed(shard)).toBe(before)
      })
    })

    describe('snapshots', () => {
      it('replaces states and position by a snapshot', async () => {
        const { shard, epoch } = await owned()
        await store.apply(shard, epoch, batch(0, 30, { old: 'x', both: 'x' }))
        const snapshot = chunks([{ both: 's', a: 's' }, {}, { b: 's' }])
        expect(await store.restore(shard, epoch, offset(20), snapshot)).toBe(true)
        expect(await scanned(store, shard)).toEqual({ both: 's', a: 's', b: 's' })
        expect(await store.apply(shard, epoch, batch(20, 25, { a: 't' }))).toMatchObject({
          kind: 'applied',
          position: 25,
        })
        expect(await texts(shard, ['a', 'b', 'old'])).toEqual(['t', 's', undefined])
      })

      it('replaces states and position by nothing', async () => {
        const { shard, epoch } = await owned()
        await store.apply(shard, epoch, batch(0, 30, { old: 'x' }))
        expect(await store.restore(shard, epoch, offset(0), chunks([]))).toBe(true)
        expect(await scanned(store, shard)).toEqual({})
        const next = await position(shard, epoch)
        expect(next.position).toBe(0)
        expect(await store.apply(shard, next.epoch, batch(0, 1, { a: 'x' }))).toMatchObject({ kind: 'applied' })
      })

      it('makes a new shard begin at a later position', async () => {
        const { shard, epoch } = await owned()
        expect(await store.restore(shard, epoch, offset(500), chunks([]))).toBe(true)
        expect(await store.apply(shard, epoch, batch(500, 501, { a: 'x' }))).toMatchObject({ kind: 'applied' })
      })

      it('completes no restore that a newer owner came in between of', async () => {
        const { shard, epoch } = await owned()
        await store.apply(shard, epoch, batch(0, 30, { old: 'x' }))
        let newer: Epoch | undefined
        const overtaken = async function* () {
          yield new Map([['a', bytes('older')]])
          newer = (await store.own(shard)).epoch
          expect(await store.restore(shard, newer, offset(8), chunks([{ a: 'newer' }, { b: 'newer' }]))).toBe(true)
          yield new Map([['c', bytes('older')]])
        }
        expect(await store.restore(shard, epoch, offset(20), overtaken())).toBe(false)
        expect(await scanned(store, shard)).toEqual({ a: 'newer', b: 'newer' })
        expect((await position(shard, newer!)).position).toBe(8)
      })

      it('restores many states and scans them all, a bounded map at a time', async () => {
        const [{ shard, epoch }, neighbour] = [await owned(), await owned()]
        await store.apply(neighbour.shard, neighbour.epoch, batch(0, 1, { foreign: 'x' }))
        const next = { ...shard, partition: 1 }
        await store.apply(next, (await store.own(next)).epoch, batch(0, 1, { foreign: 'x' }))
        const parts = Array.from({ length: 10 }, (_, i) =>
          Object.fromEntries(Array.from({ length: 500 }, (_, j) => [`key ${i}.${j}`, `state ${i}.${j}`])),
        )
        expect(await store.restore(shard, epoch, offset(9), chunks(parts))).toBe(true)
        let largest = 0
        const seen = new Map<string, string>()
        for await (const map of store.scan(shard)) {
          largest = Math.max(largest, map.size)
          for (const [key, state] of map) seen.set(key, state.toString())
        }
        expect(largest).toBeLessThan(5_000)
        expect(seen.size).toBe(5_000)
        expect(Object.fromEntries(seen)).toEqual(Object.assign({}, ...parts))
        expect(await scanned(store, next)).toEqual({ foreign: 'x' })
      })

      it('scans every key that stays while others change', async () => {
        const { shard, epoch } = await owned()
        const stay = Object.fromEntries(Array.from({ length: 3_000 }, (_, i) => [`stay ${i}`, 'x']))
        await store.apply(shard, epoch, batch(0, 1, stay))
        const seen = new Set<string>()
        let at = 1
        for await (const map of store.scan(shard)) {
          for (const key of map.keys()) seen.add(key)
          if (at < 10) await store.apply(shard, epoch, batch(at, ++at, { [`new ${at}`]: 'x', [`stay ${at}`]: 'y' }))
        }
        for (const key of Object.keys(stay)) expect(seen.has(key), key).toBe(true)
      })
    })

    describe('notes', () => {
      it('keeps the last value of a note', async () => {
        const [name, other] = [`${fixture.prefix}layout:1`, `${fixture.prefix}layout:2`]
        expect(await store.note(name)).toBeUndefined()
        await store.setNote(name, bytes('one'))
        await store.setNote(name, Buffer.from([0, 255, 0]))
        await store.setNote(other, Buffer.alloc(0))
        expect(await store.note(name)).toEqual(Buffer.from([0, 255, 0]))
        expect((await store.note(other))?.length).toBe(0)
      })
    })
  })
}

function batch(
  from: number,
  to: number,
  states: Record<string, string | null> = {},
  outputs: NewRecord[] = [],
): ApplyBatch {
  const packed: States = new Map(
    Object.entries(states).map(([key, state]) => [key, state === null ? null : bytes(state)]),
  )
  return { from: offset(from), to: offset(to), states: packed, outputs }
}

async function* chunks(parts: readonly Record<string, string>[]): AsyncGenerator<ReadonlyMap<string, Buffer>> {
  for (const part of parts) yield new Map(Object.entries(part).map(([key, state]) => [key, bytes(state)]))
}

async function scanned(store: FeatureStore, shard: Shard): Promise<Record<string, string>> {
  const seen: Record<string, string> = {}
  for await (const map of store.scan(shard)) for (const [key, state] of map) seen[key] = state.toString()
  return seen
}

const spans = (entries: readonly OutboxEntry[]): [number, number][] => entries.map(({ from, to }) => [from, to])
