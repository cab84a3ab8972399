import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { systemClock } from '../../processors/app/system-clock.ts'
import { offset } from '../../processors/app/units.ts'
import { type EmbeddedEngine, openEmbedded } from '../../processors/engine/embedded/engine.ts'
import type { LogRecord, TopicPartition } from '../../processors/engine/ports.ts'
import { eventually, PATIENCE, readCount, readNow } from './contract/conditions.ts'
import { GROUP, inputShard, KEYS, OUTPUTS_PER_PUBLISH, PUBLISHED, SHARDS, stateAt, TOPICS } from './writer-plan.ts'

const KILLS = 12

interface Line {
  readonly appended?: number
  readonly published?: number
  readonly partition?: number
  readonly applied?: number
  readonly refused?: string
}

describe('embedded engine with several processes', { timeout: 120_000 }, () => {
  let dir: string
  let engine: EmbeddedEngine
  let writer: Writer | undefined

  beforeEach(async () => {
    dir = await mkdtemp(join(tmpdir(), 'rtml-embedded-'))
    engine = await openEmbedded({ dir, clock: systemClock })
    const partitions = SHARDS + 1
    await engine.log.ensureTopics(
      Object.values(TOPICS).map((topic) => ({ topic, partitions, cleanup: 'delete' as const })),
    )
  })
  afterEach(async () => {
    await writer?.kill()
    await engine[Symbol.asyncDispose]()
    await rm(dir, { recursive: true })
  })

  it('keeps every acknowledged write, and no half of any, when a writer is killed at any moment', async () => {
    let written = 0
    for (let kill = 0; kill < KILLS; kill++) {
      writer = new Writer(dir)
      // This process stays open all the time: it must get the write lock that the killed process may have held.
      await writer.acknowledged(3 + ((kill * 37) % 90))
      await writer.kill()
      written = await expectInvariants(engine, writer)
    }
    expect(written).toBeGreaterThan(0)
  })

  it('fences a writer of another process as soon as a shard is owned here', async () => {
    writer = new Writer(dir)
    await writer.acknowledged(30)
    const { epoch, position } = await engine.store.own(inputShard(1))
    await eventually('the writer is refused', PATIENCE, () => writer!.refused.get(1) === 'fenced')
    const applied = await engine.store.apply(inputShard(1), epoch, {
      from: position!,
      to: offset(position! + 1),
      states: new Map(KEYS.map((key) => [key, stateAt(position! + 1)])),
      outputs: [{ topic: TOPICS.applied, key: null, value: Buffer.from(String(position)), partition: 1 }],
    })
    expect(applied).toMatchObject({ kind: 'applied', position: position! + 1 })
    await writer.kill()
    expect(writer.refused.get(0)).toBeUndefined()
    await expectInvariants(engine, writer)
  })

  it('reads what another process appends while it runs', async () => {
    const source = { topic: TOPICS.plain, partition: 0 }
    const reading = readCount(engine.log, source, 0, 500, PATIENCE)
    writer = new Writer(dir)
    expect(numbers((await reading).slice(0, 500))).toEqual(Array.from({ length: 500 }, (_, i) => i))
  })

  it('fences a publisher of another process', async () => {
    writer = new Writer(dir)
    await eventually('the writer publishes', PATIENCE, () => writer!.last.published > 0)
    const publisher = await engine.log.publisher('writer')
    await eventually('the writer ends', PATIENCE, () => writer!.errors.includes('FENCED'))
    const source = { topic: TOPICS.input, partition: PUBLISHED }
    const position = await engine.log.committed(GROUP, source)
    await publisher.publish([], { group: GROUP, ...source, position: position! })
    await writer.kill()
    await expectInvariants(engine, writer)
  })
})

async function expectInvariants({ log, store }: EmbeddedEngine, { last }: Writer): Promise<number> {
  const read = (source: TopicPartition): Promise<LogRecord[]> => readNow(log, source, PATIENCE)
  // A commit that the kill cut between the disk and the table of readers becomes visible with the next write, so write first.
  const owners = await Promise.all(Array.from({ length: SHARDS }, (_, partition) => store.own(inputShard(partition))))
  const plain = numbers(await read({ topic: TOPICS.plain, partition: 0 }))
  expect(plain).toEqual(plain.map((_, i) => i))
  expect(plain.length).toBeGreaterThanOrEqual(last.appended)

  for (let partition = 0; partition < SHARDS; partition++) {
    const shard = inputShard(partition)
    const position = (await log.committed(GROUP, shard)) ?? 0
    expect(position).toBeGreaterThanOrEqual(last.applied[partition]!)
    const outputs = numbers(await read({ topic: TOPICS.applied, partition }))
    expect(outputs).toEqual(Array.from({ length: position }, (_, i) => i))
    const states = await store.load(shard, KEYS)
    if (position > 0) for (const state of states) expect(state?.equals(stateAt(position))).toBe(true)
    expect(owners[partition]!.position ?? 0).toBe(position)
  }

  const published = (await log.committed(GROUP, { topic: TOPICS.input, partition: PUBLISHED })) ?? 0
  expect(published).toBeGreaterThanOrEqual(last.published)
  const records = numbers(await read({ topic: TOPICS.published, partition: 0 }))
  expect(records).toEqual(Array.from({ length: published * OUTPUTS_PER_PUBLISH }, (_, i) => i))
  return plain.length
}

const numbers = (records: readonly LogRecord[]): number[] => records.map(({ value }) => Number(value))

/** The process of embedded-writer.ts, and what it was acknowledged. */
class Writer {
  readonly last = { appended: 0, published: 0, applied: new Array<number>(SHARDS).fill(0) }
  readonly refused = new Map<number, string>()
  errors = ''
  #lines = 0
  readonly #process: ChildProcess
  readonly #exit: Promise<unknown>
  readonly #output: Promise<unknown>

  constructor(dir: string) {
    const script = new URL('embedded-writer.ts', import.meta.url)
    this.#process = spawn(process.execPath, [script.pathname, dir], { stdio: ['ignore', 'pipe', 'pipe'] })
    this.#exit = once(this.#process, 'exit')
    this.#process.stderr!.on('data', (chunk) => {
      this.errors += chunk
    })
    const lines = createInterface({ input: this.#process.stdout! })
    lines.on('line', (line) => this.#note(line))
    this.#output = once(lines, 'close')
  }

  async acknowledged(lines: number): Promise<void> {
    await eventually(`${lines} writes are acknowledged`, { ...PATIENCE, deadlineMs: 30_000 }, () => {
      if (this.#process.exitCode !== null) throw new Error(`the writer ended: ${this.errors}`)
      return this.#lines >= lines
    })
  }

  async kill(): Promise<void> {
    this.#process.kill('SIGKILL')
    await this.#exit
    await this.#output
  }

  #note(line: string): void {
    if (!line.endsWith('}')) return // cut by the kill
    const { appended, published, partition = 0, applied, refused } = JSON.parse(line) as Line
    this.#lines++
    if (appended !== undefined) this.last.appended = appended
    if (published !== undefined) this.last.published = published
    if (applied !== undefined) this.last.applied[partition] = applied
    if (refused !== undefined) this.refused.set(partition, refused)
  }
}
