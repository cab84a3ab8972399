/**
 * What the runtime needs from an engine: an event log, a feature store and a schema registry. Named after the need, not
 * after Kafka or Redis. Each engine (embedded, kafka, and the simulator's) passes the same contract suite in test/engine.
 *
 * Failure rule of every method: a dependency that is away rejects with an `RtmlError` of severity `wait` (LOG_DOWN,
 * STORE_DOWN, REGISTRY_DOWN). After such an error the effect of a write is unknown; every write here is safe to repeat.
 */
import type { Epoch, EpochMs, Ms, Offset } from '../app/units.ts'

export interface TopicPartition {
  readonly topic: string
  readonly partition: number
}

export type Headers = Readonly<Record<string, Buffer>>

export interface LogRecord extends TopicPartition {
  readonly offset: Offset
  /** Time of the append as the log recorded it. */
  readonly timestamp: EpochMs
  readonly key: Buffer | null
  /** null is a tombstone. */
  readonly value: Buffer | null
  readonly headers: Headers
}

export interface NewRecord {
  readonly topic: string
  readonly key: Buffer | null
  readonly value: Buffer | null
  readonly headers?: Headers
  /** Absent: murmur2(key) & 0x7fffffff % partitions, Java-compatible; a null key goes to any partition. */
  readonly partition?: number
}

export interface TopicSpec {
  readonly topic: string
  readonly partitions: number
  readonly cleanup: 'delete' | 'compact' | 'compact+delete'
  /** Absent: kept for ever. */
  readonly retentionMs?: Ms
}

/** An existing topic that differs from its spec. `fatal`: the application would be wrong with it (partition count). */
export interface TopicProblem {
  readonly topic: string
  readonly setting: string
  readonly wanted: string
  readonly found: string
  readonly fatal: boolean
}

export interface PartitionBounds extends TopicPartition {
  /** First offset that is still kept. */
  readonly start: Offset
  /** Offset after the last readable (committed) record. */
  readonly end: Offset
}

/**
 * A run of committed records of one partition that covers [from, to). Offsets inside may have holes (transaction
 * markers, compaction), so `to` is the position after the run, not `from + records.length`. `records` may be empty.
 */
export interface RecordRun extends TopicPartition {
  readonly from: Offset
  readonly to: Offset
  readonly records: readonly LogRecord[]
}

export interface Log {
  /** Creates missing topics where permitted; reports existing ones that differ. */
  ensureTopics(specs: readonly TopicSpec[]): Promise<TopicProblem[]>
  /** Bounds of all partitions, in partition order. Empty when the topic doesn't exist. */
  bounds(topic: string): Promise<PartitionBounds[]>
  /** All topics of the log, sorted. */
  topics(): Promise<string[]>
  /**
   * Gives a topic more partitions; records that are there stay where they are. For moving states (`rtml reshard`) with
   * everything stopped: other processes may learn of it late. Absent: this log can't.
   */
  grow?(topic: string, partitions: number): Promise<void>
  /**
   * Takes single records out for good; their offsets become holes. Absent: this log deletes by age only.
   * @returns how many there were
   */
  purge?(source: TopicPartition, offsets: ReadonlySet<number>): Promise<number>
  /** Appends durably (acks = all); records of one partition keep their order. Not transactional: a retry may duplicate. */
  append(records: readonly NewRecord[]): Promise<void>
  /**
   * Reads committed records of one partition without a group, from `from` on. Ends at `until` when given, else follows
   * the log until `signal` aborts. Each run's `from` equals the previous run's `to`, so that a hole can't hide.
   * @throws RtmlError LOG_TRUNCATED when `from` is below the log's start
   */
  read(
    source: TopicPartition,
    from: Offset,
    options: { until?: Offset; signal?: AbortSignal },
  ): AsyncIterable<RecordRun>
  /** Joins a group and is given partitions of `topics`. All members of one group use the same topics. */
  subscribe(group: string, topics: readonly string[], subscriber: Subscriber): Promise<Subscription>
  /**
   * A transactional publisher. Opening one fences every older publisher with the same id: their later `publish` calls
   * reject with RtmlError FENCED.
   */
  publisher(id: string): Promise<Publisher>
  /** Position committed for a group, or undefined. */
  committed(group: string, source: TopicPartition): Promise<Offset | undefined>
  close(): Promise<void>
}

/** What the runtime does when partitions come and go. */
export interface Subscriber {
  /** Partitions were given to this member. Nothing is delivered before `Subscription.start` was called for them. */
  assigned(partitions: readonly TopicPartition[]): void
  /**
   * Partitions were taken away. The engine waits for the promise (bounded by the session timeout) before it lets the
   * group go on where it can; `lost` = they may already belong to another member, so only stop.
   */
  revoked(partitions: readonly TopicPartition[], options: { lost: boolean }): Promise<void>
  /** The next run, in order. The engine delivers no further run of the partition until the promise resolves: back-pressure. */
  deliver(run: RecordRun): Promise<void>
  /** The group consumer stopped for good (a bug or an authorisation failure); the process must not live on. */
  failed(error: Error): void
}

export interface Subscription {
  /** Starts (or restarts) delivery of an assigned partition at `position`. @throws RtmlError LOG_TRUNCATED */
  start(source: TopicPartition, position: Offset): Promise<void>
  /** Leaves the group; `revoked` is called first for all that is owned. */
  close(): Promise<void>
}

export interface Publisher {
  /** Appends all records and commits the group's position, all or nothing. Records of one partition keep their order. */
  publish(records: readonly NewRecord[], commit: Commit): Promise<void>
  close(): Promise<void>
}

export interface Commit extends TopicPartition {
  readonly group: string
  /** Position after the input that the records came from. */
  readonly position: Offset
}

/** The store's slice that is owned together with one input partition. One Redis hash tag. */
export interface Shard {
  /** `<app>.<stage>`; also the consumer group that the shard's input is read with. */
  readonly group: string
  readonly topic: string
  readonly partition: number
}

export interface Ownership {
  readonly epoch: Epoch
  /** Position after the last applied batch; undefined: the store knows nothing of this shard. */
  readonly position: Offset | undefined
}

/** A shard as it was at one instant. */
export interface Peeked {
  /** Undefined: the store knows nothing of this shard, or it is being restored. */
  readonly position: Offset | undefined
  /** Packed states in the order of the keys; undefined where there is none. */
  readonly states: readonly (Buffer | undefined)[]
}

/** Outputs of one applied batch, waiting to be published. */
export interface OutboxEntry {
  readonly from: Offset
  readonly to: Offset
  readonly records: readonly NewRecord[]
}

export interface ApplyBatch {
  /** Input range covered: [from, to). `from` must equal the shard's position. */
  readonly from: Offset
  readonly to: Offset
  /** Packed states to write; null deletes. Each key at most once. */
  readonly states: ReadonlyMap<string, Buffer | null>
  readonly outputs: readonly NewRecord[]
  /** States are dropped when untouched for this long in wall time; well above the entity's own ttl in event time. */
  readonly expireMs?: Ms
  /** Rebuild: states whose outputs are already published. Outputs must be empty and none are queued. */
  readonly rebuild?: boolean
}

export type Applied =
  /** `published`: the engine wrote outputs and group position to the log in the same transaction; the outbox stays empty. */
  | { readonly kind: 'applied'; readonly position: Offset; readonly published: boolean }
  /** The store is already past this batch: nothing was written. */
  | { readonly kind: 'duplicate'; readonly position: Offset }
  /** A newer owner exists: nothing was written; stop at once. */
  | { readonly kind: 'fenced'; readonly epoch: Epoch }
  /** The store's position is before the batch's start (it lost its tail): nothing was written; recover. */
  | { readonly kind: 'gap'; readonly position: Offset | undefined }

/** Keys of one `peek`: it holds the store up for as long as it takes. */
export const PEEK_KEYS_MAX = 512

export interface FeatureStore {
  /** Raises the shard's epoch (fencing the previous owner) and reads its position, atomically. */
  own(shard: Shard): Promise<Ownership>
  /** Packed states in the order of `keys`; undefined where there is none. Any process may read any shard. */
  load(shard: Shard, keys: readonly string[]): Promise<(Buffer | undefined)[]>
  /** Position and states as of one instant, without owning the shard. At most `PEEK_KEYS_MAX` keys. */
  peek(shard: Shard, keys: readonly string[]): Promise<Peeked>
  /** Writes states, position and outbox entry atomically, or nothing: see `Applied`. */
  apply(shard: Shard, epoch: Epoch, batch: ApplyBatch): Promise<Applied>
  /** Entries not yet trimmed, in order. */
  outbox(shard: Shard): Promise<OutboxEntry[]>
  /** Drops outbox entries whose `to` ≤ `upTo`. A fenced caller changes nothing. */
  trim(shard: Shard, epoch: Epoch, upTo: Offset): Promise<void>
  /**
   * Replaces the shard's states and position by a snapshot, or by nothing (position 0 of an empty shard).
   * @returns false when fenced
   */
  restore(
    shard: Shard,
    epoch: Epoch,
    position: Offset,
    states: AsyncIterable<ReadonlyMap<string, Buffer>>,
  ): Promise<boolean>
  /** All states of a shard, a bounded map at a time. Order isn't defined; a key that changes meanwhile may appear in either form. */
  scan(shard: Shard): AsyncIterable<ReadonlyMap<string, Buffer>>
  /** Small named values beside the states (layout descriptors, erase keys): last writer wins. */
  note(name: string): Promise<Buffer | undefined>
  setNote(name: string, value: Buffer): Promise<void>
  close(): Promise<void>
}

export interface Registry {
  /** Registers an Avro schema under a subject (idempotent) and returns its id. @throws RtmlError CONFIG when the registry finds it incompatible */
  register(subject: string, schema: object): Promise<number>
  /** The Avro schema of an id. Failures are cached briefly. @throws RtmlError SCHEMA_ID when the registry has no such id */
  schema(id: number): Promise<object>
}

/** One engine: three ports and their life. */
export interface Engine extends AsyncDisposable {
  readonly name: 'embedded' | 'kafka' | 'simulated'
  readonly log: Log
  readonly store: FeatureStore
  readonly registry: Registry
  /** Dependencies that don't answer now, by name, with the time since when. Empty = all fine. */
  down(): ReadonlyMap<string, EpochMs>
}
