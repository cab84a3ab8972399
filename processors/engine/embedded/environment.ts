import { statfs } from 'node:fs/promises'
import { type Database, open, type RootDatabase } from 'lmdb'
import { type Code, RtmlError } from '../../app/errors.ts'
import type { Clock, EpochMs } from '../../app/units.ts'
import { LogWrite } from './log-write.ts'

export type Table = Database<Buffer, Buffer>

/** LMDB databases of one directory. */
export interface Tables {
  /** name → topic (JSON). */
  readonly topics: Table
  /** partition → head. */
  readonly heads: Table
  /** partition and first offset → batch. */
  readonly log: Table
  /** group and partition → f64 position. */
  readonly positions: Table
  /** publisher id → f64 epoch. */
  readonly publishers: Table
  /** shard → its record. */
  readonly shards: Table
  /** states id and key → packed state; the entry's version is the time when it expires, 0 = never. */
  readonly states: Table
  /** states ids that are being written by a restore or are no longer used. */
  readonly leftovers: Table
  readonly notes: Table
  readonly schemas: Table
  /** Last given ids by kind. */
  readonly counters: Table
}

export interface Limits {
  /** Bytes that all tables together may use; writes wait above it. */
  readonly maxBytes: number
  /** Writes wait when the disk has less room than this. */
  readonly minDiskFreeBytes: number
}

export interface WriteOptions {
  /** Entries that the operation will write, about: see ENTRIES_PER_COMMIT. Default 1. */
  readonly entries?: number
  /** It makes room, so it may go on when there is none. */
  readonly frees?: boolean
}

type Op = {
  readonly code: Code
  readonly entries: number
  readonly frees: boolean
  readonly run: (write: LogWrite) => unknown
  readonly resolve: (value: unknown) => void
  readonly reject: (error: Error) => void
}

interface Committed {
  readonly answers: readonly unknown[]
  readonly grown: ReadonlySet<string>
}

/**
 * Entries that one commit writes at most, unless a single operation has more: about 3 ms of this thread at 2.5 µs each,
 * which is also how long another process waits for the write lock beside the flush.
 */
const ENTRIES_PER_COMMIT = 1_250
/** Writes that may wait for a commit: callers hold back far earlier, by awaiting theirs. */
const QUEUED_OPERATIONS = 100_000
const ROOM_CHECK_MS = 1_000

/**
 * One LMDB environment and its only way to write: operations that arrive while a commit is under way form the next one,
 * so the cost of a disk flush is shared. An operation runs inside the write transaction on this thread, after everything
 * that any process has committed; commit and flush happen on a thread of LMDB.
 */
export class Environment {
  readonly dir: string
  readonly clock: Clock
  readonly tables: Tables
  readonly down = new Map<string, EpochMs>()
  readonly #root: RootDatabase<Buffer, Buffer>
  readonly #limits: Limits
  readonly #listeners = new Set<(partitions: ReadonlySet<string>) => void>()
  #queue: Op[] = []
  #committing = false
  #closed = false
  #roomCheckedAt = Number.NEGATIVE_INFINITY

  constructor(dir: string, clock: Clock, limits: Limits) {
    this.dir = dir
    this.clock = clock
    this.#limits = limits
    this.#root = open<Buffer, Buffer>({
      path: dir,
      // Other processes (the command line) read and write the same directory; LMDB's own locks order them.
      noSubdir: false,
      maxDbs: 16,
      encoding: 'binary',
      keyEncoding: 'binary',
      // A commit is acknowledged after its flush: what was acknowledged outlives a power cut.
      overlappingSync: false,
      // Turn batching leaves a promise without a handler when a commit fails, which would end the process.
      eventTurnBatching: false,
    })
    const table = (name: string, versions = false): Table =>
      this.#root.openDB<Buffer, Buffer>(name, { encoding: 'binary', keyEncoding: 'binary', useVersions: versions })
    this.tables = {
      topics: table('topics'),
      heads: table('heads'),
      log: table('log'),
      positions: table('positions'),
      publishers: table('publishers'),
      shards: table('shards'),
      states: table('states', true),
      leftovers: table('leftovers'),
      notes: table('notes'),
      schemas: table('schemas'),
      counters: table('counters'),
    }
  }

  /** Called after each commit of this process with the partitions (`topicId/partition`) that grew. */
  onCommit(listener: (partitions: ReadonlySet<string>) => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  /** Lets reads see what other processes committed. */
  refresh(): void {
    this.#root.resetReadTxn()
  }

  /**
   * Runs `op` in a write transaction and resolves with its answer after commit and flush. `op` may run twice when
   * another operation of the same commit fails, each time from the state before it; it must not keep anything outside.
   * @param code what the caller can't reach when the disk refuses: LOG_DOWN, STORE_DOWN or REGISTRY_DOWN
   */
  write<T>(code: Code, op: (write: LogWrite) => T, { entries = 1, frees = false }: WriteOptions = {}): Promise<T> {
    if (this.#closed) return Promise.reject(new RtmlError(code, 'the engine is closed', { place: this.dir }))
    if (this.#queue.length >= QUEUED_OPERATIONS) {
      const message = `${QUEUED_OPERATIONS} writes wait already. Send fewer at the same time.`
      return Promise.reject(new RtmlError(code, message, { place: this.dir }))
    }
    return new Promise<T>((resolve, reject) => {
      this.#queue.push({ code, entries, frees, run: op, resolve: resolve as (value: unknown) => void, reject })
      if (!this.#committing) void this.#commitAll()
    })
  }

  /** States, and bytes used by all tables: what deletion has freed doesn't count, though the file keeps its size. */
  size(): { readonly states: number; readonly usedBytes: number } {
    const { states } = this.tables
    let pages = 0
    let pageSize = 4_096
    for (const table of Object.values(this.tables) as Table[]) {
      const stats = table.getStats() as Record<string, number>
      pageSize = stats.pageSize ?? pageSize
      pages += (stats.treeBranchPageCount ?? 0) + (stats.treeLeafPageCount ?? 0) + (stats.overflowPages ?? 0)
    }
    const { entryCount = 0 } = states.getStats() as { entryCount?: number }
    return { states: entryCount, usedBytes: pages * pageSize }
  }

  async close(): Promise<void> {
    this.#closed = true
    while (this.#committing) await new Promise((resolve) => setImmediate(resolve))
    await this.#root.close()
  }

  async #commitAll(): Promise<void> {
    this.#committing = true
    try {
      // One turn, so that operations of other partitions join the first commit too.
      await new Promise((resolve) => setImmediate(resolve))
      while (this.#queue.length > 0) {
        const ops = this.#queue.splice(0, commitLength(this.#queue))
        const noRoom = await this.#noRoom().catch((error: Error) => error)
        if (noRoom === undefined) {
          await this.#commitOrRetry(ops)
        } else {
          const [freeing, others] = [ops.filter((op) => op.frees), ops.filter((op) => !op.frees)]
          await this.#refuse(others, noRoom)
          await this.#commitOrRetry(freeing)
        }
      }
    } finally {
      this.#committing = false
    }
  }

  /** Commits all together; when that fails, finds out whose fault it is, unless it is the disk's. */
  async #commitOrRetry(ops: readonly Op[]): Promise<void> {
    if (ops.length === 0) return
    let committed: Committed
    try {
      committed = await this.#commit(ops)
    } catch (error) {
      if (ops.length === 1 || 'commitError' in (error as Error)) return this.#refuse(ops, error as Error)
      for (const op of ops) await this.#commitOrRetry([op])
      return
    }
    if (ops.some((op) => !op.frees)) this.down.clear()
    for (const [i, op] of ops.entries()) op.resolve(committed.answers[i])
    if (committed.grown.size > 0) for (const listener of this.#listeners) listener(committed.grown)
  }

  #commit(ops: readonly Op[]): Promise<Committed> {
    const now = this.clock.now()
    return this.#root.childTransaction(() => {
      const write = new LogWrite(this.tables, now)
      const answers = ops.map((op) => op.run(write))
      return { answers, grown: write.finish() }
    })
  }

  async #refuse(ops: readonly Op[], error: Error): Promise<void> {
    for (const op of ops) op.reject(await this.#explain(op.code, error))
  }

  /** Looks at most once a second while all is well, so both bounds are soft by what a second can write. */
  async #noRoom(): Promise<Error | undefined> {
    const now = this.clock.now()
    if (now - this.#roomCheckedAt < ROOM_CHECK_MS && this.down.size === 0) return undefined
    this.#roomCheckedAt = now
    const { maxBytes, minDiskFreeBytes } = this.#limits
    const used = this.size().usedBytes
    if (used > maxBytes) {
      return new NoRoom(
        `${used} bytes are used of the ${maxBytes} that are allowed. Shorten retention or allow more; writing goes on by itself when there is room.`,
      )
    }
    const { bavail, bsize } = await statfs(this.dir)
    if (bavail * bsize >= minDiskFreeBytes) return undefined
    return new NoRoom(
      `the disk has only ${bavail * bsize} bytes left. Free some space; writing goes on by itself when there is room.`,
    )
  }

  async #explain(code: Code, error: Error): Promise<Error> {
    if (!isDiskError(error)) return error
    const name = DEPENDENCY[code] ?? 'log'
    if (!this.down.has(name)) this.down.set(name, this.clock.now())
    const reason = await reasonOf(error)
    return new RtmlError(code, `cannot write: ${reason}`, { place: this.dir, cause: error })
  }
}

class NoRoom extends Error {}

/** Told apart from a bug, which must not be retried: errors of LMDB and of the file system have a code. */
const isDiskError = (error: Error): boolean =>
  error instanceof NoRoom || 'commitError' in error || (!(error instanceof RtmlError) && 'code' in error)

function commitLength(queue: readonly Op[]): number {
  let length = 0
  let entries = 0
  do entries += queue[length++]!.entries
  while (length < queue.length && entries + queue[length]!.entries <= ENTRIES_PER_COMMIT)
  return length
}

const DEPENDENCY: Partial<Record<Code, string>> = { LOG_DOWN: 'log', STORE_DOWN: 'store', REGISTRY_DOWN: 'registry' }

async function reasonOf(error: Error): Promise<string> {
  const commitError = (error as { commitError?: Promise<never> }).commitError
  if (!commitError) return error.message
  const cause = await commitError.then(
    () => error,
    (failure: Error) => failure,
  )
  return `${cause.message}. Is the disk full? Writing goes on by itself when there is room.`
}
