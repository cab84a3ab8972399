/** What a learner's thread does: records in, decisions and checkpoints out. No I/O, so that tests run it where they are. */
import { type EpochMs, epochMs } from '../../app/units.ts'
import type { StreamExample } from '../../learner/stream/example.ts'
import {
  type DecideOptions,
  type Decisions,
  type LearnerStatus,
  LearnerStream,
  type LearnerStreamOptions,
} from '../../learner/stream/learner-stream.ts'
import { type ExampleColumns, exampleReader, exampleVector, type ReadExample } from '../../outputs/index.ts'

export interface LearnerSetup extends LearnerStreamOptions {
  /** Name under `labels`. */
  readonly labelName: string
}

/** A record of `training.examples`, as it goes to the thread. */
export interface ExampleRecord {
  readonly place: string
  readonly offset: number
  readonly at: EpochMs
  readonly value: Uint8Array | null
}

export interface Batch {
  readonly records: readonly ExampleRecord[]
  /** Positions after the stretch that was read, by `topic[partition]`. */
  readonly ends: Readonly<Record<string, number>>
  /** Writer schemas that are new, by id. */
  readonly schemas: Readonly<Record<number, object>>
}

export interface LookOptions extends DecideOptions {
  /** Something was learned since the last checkpoint, and it is time for one. */
  readonly isCheckpointDue: boolean
}

export interface Look {
  readonly decisions: Decisions
  /** Present when the state must be durable before anything else happens. */
  readonly checkpoint: Uint8Array | undefined
  readonly status: LearnerStatus | undefined
}

export interface Started {
  readonly positions: Readonly<Record<string, number>>
  /** The checkpoint was of another definition: what it had learned is of no use. */
  readonly isReset: boolean
}

export class LearnerCore {
  readonly #setup: LearnerSetup
  readonly #stream: LearnerStream
  readonly #schemas = new Map<number, object>()
  readonly #read: (value: Buffer) => Promise<ReadExample>
  /** Where each of the learner's inputs is among the columns of a feature set; −1 = it isn't. */
  readonly #columns = new Map<string, Int32Array>()
  readonly isReset: boolean
  #taken = 0
  #refused = 0

  /** @param checkpoint of the last look; undefined: nothing was learned yet */
  constructor(setup: LearnerSetup, checkpoint: Uint8Array | undefined) {
    this.#setup = setup
    const known = checkpoint && LearnerStream.decode(checkpoint, setup)
    this.isReset = checkpoint !== undefined && known === undefined
    this.#stream = known ?? new LearnerStream(setup)
    this.#read = exampleReader(async (id) => this.#schemas.get(id)!)
  }

  get started(): Started {
    return { positions: this.#stream.positions, isReset: this.isReset }
  }

  /** @returns records that held something for this learner */
  async take({ records, ends, schemas }: Batch): Promise<{ taken: number; refused: number }> {
    const before = { taken: this.#taken, refused: this.#refused }
    for (const [id, schema] of Object.entries(schemas)) this.#schemas.set(Number(id), schema)
    for (const record of records) await this.#takeOne(record)
    for (const [place, position] of Object.entries(ends)) this.#stream.readUpTo(place, position)
    return { taken: this.#taken - before.taken, refused: this.#refused - before.refused }
  }

  async #takeOne({ place, offset, at, value }: ExampleRecord): Promise<void> {
    this.#stream.passOver(place, offset)
    if (value === null) return
    try {
      const read = await this.#read(Buffer.from(value.buffer, value.byteOffset, value.length))
      if (read.example.label !== this.#setup.labelName) return
      this.#stream.take(this.#exampleOf(read, { place, offset, at }))
      this.#taken++
    } catch {
      // One odd record must not stop the learner; how many there are is told.
      this.#refused++
    }
  }

  #exampleOf(
    { example, columns }: ReadExample,
    { place, offset, at }: Pick<ExampleRecord, 'place' | 'offset' | 'at'>,
  ): StreamExample {
    const { floats } = exampleVector(example)
    const indexes = this.#indexesOf(columns)
    const seen = new Set<string>()
    return {
      place,
      offset,
      at,
      id: example.eventId,
      ts: example.eventTime,
      profile: example.pseudonym,
      x: Float32Array.from(indexes, (index) => (index < 0 ? Number.NaN : floats[index]!)),
      y: example.value,
      weight: example.kind === 'settled' ? 0 : example.weight,
      isSettled: example.kind !== 'copy',
      // A model of several outputs is judged by its first.
      scores: example.scores.flatMap(({ model, version, role, score, fallback }) => {
        const name = `${model}@${version}:${role}`
        if (seen.has(name)) return []
        seen.add(name)
        return [{ model, version, role: roleOf(role), value: fallback === 'none' ? score : Number.NaN }]
      }),
    }
  }

  #indexesOf({ featureSetVersion, features }: ExampleColumns): Int32Array {
    let indexes = this.#columns.get(featureSetVersion)
    if (!indexes) {
      indexes = Int32Array.from(this.#setup.inputs, ({ name }) => features.indexOf(name))
      this.#columns.set(featureSetVersion, indexes)
    }
    return indexes
  }

  look(now: number, options: LookOptions): Look {
    const decisions = this.#stream.decide(epochMs(now), options)
    const { version, moves, alerts } = decisions
    const isWorth = version !== undefined || moves.length > 0 || alerts.length > 0 || options.isCheckpointDue
    if (!isWorth) return { decisions, checkpoint: undefined, status: undefined }
    return { decisions, checkpoint: this.#stream.encode(), status: this.#stream.status() }
  }

  onnxOf(version: string): Uint8Array | undefined {
    return this.#stream.onnxOf(version)
  }
}

const roleOf = (role: string): 'champion' | 'arm' | 'shadow' =>
  role === 'champion' || role === 'arm' ? role : 'shadow'
