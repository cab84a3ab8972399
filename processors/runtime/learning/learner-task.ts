/**
 * Runs one learner: reads examples, has them learned in its thread, makes what came of it durable, and only then tells the
 * world. One process at a time: its state is a shard of the store, so an owner that was replaced is fenced where it writes.
 *
 * Everything that the world is told follows from the checkpoint. A crash between the checkpoint and the telling leaves
 * nothing half done: the next owner finds what was wanted and sees to it.
 */
import { createHash } from 'node:crypto'
import { RtmlError } from '../../app/errors.ts'
import type { ModelManifest } from '../../app/schema.ts'
import type { LearnerDefinition } from '../../app/schema-learning.ts'
import { type Epoch, type EpochMs, type Ms, ms, type Offset, offset } from '../../app/units.ts'
import type { Shard } from '../../engine/ports.ts'
import type { Facts } from '../../gallery/index.ts'
import type { Decisions, LadderMove, LearnerStatus } from '../../learner/stream/learner-stream.ts'
import { alertRecord, unframe } from '../../outputs/index.ts'
import type { ShardContext } from '../context.ts'
import type { ModelRegistry } from '../gallery/model-registry.ts'
import { retry, Stopped } from '../retry.ts'
import type { Batch, LearnerSetup } from './learner-core.ts'
import type { LearnerHost } from './learner-host.ts'
import { type Merged, readNext } from './read-examples.ts'
import { isRouted, routedOf, routeTo } from './routing.ts'

export interface LearnerTaskOptions {
  readonly app: string
  readonly setup: LearnerSetup
  readonly context: ShardContext
  readonly registry: ModelRegistry
  readonly schemaById: (id: number) => Promise<object>
  readonly shard: Shard
  readonly alertsTopic: string
  readonly service: string
  /** Of its versions. */
  readonly manifest: ModelManifest
  readonly createHost: () => LearnerHost
  readonly tuning?: Partial<LearnerTuning>
}

export interface LearnerTuning {
  /** How long it waits when there is nothing to read. */
  readonly pollMs: Ms
  /** Looks at everything so often, labels or not. */
  readonly idleLookMs: Ms
  /** Records of one partition that are read at a time. */
  readonly batchRecords: number
  /** Share of the time in which it may work: what it learns must not starve what scores. */
  readonly duty: number
}

const TUNING: LearnerTuning = {
  pollMs: ms(200),
  idleLookMs: ms(5_000),
  batchRecords: 512,
  duty: 0.5,
}

/** What other processes read of a learner: see `learnerView`. */
export const STATUS_KEY = 'status'
const CHECKPOINT_KEY = 'checkpoint'

export interface StoredStatus extends LearnerStatus {
  readonly at: EpochMs
  readonly lagRecords: number
}

export class LearnerTask {
  readonly name: string
  readonly #options: LearnerTaskOptions
  readonly #definition: LearnerDefinition
  readonly #tuning: LearnerTuning
  readonly #schemas = new Set<number>()
  #epoch = 0 as Epoch
  #round = offset(0)
  #positions: Record<string, number> = {}
  #lookedAt = 0
  #checkpointAt = 0
  #lagRecords = 0
  #isDirty = false
  #pendingMoves: LadderMove[] = []
  #status: LearnerStatus | undefined

  constructor(options: LearnerTaskOptions) {
    this.#options = options
    this.name = options.setup.name
    this.#definition = options.setup.definition
    this.#tuning = { ...TUNING, ...options.tuning }
  }

  /** Until `signal` aborts; then what was learned is made durable once more. Takes the shard back when it was fenced. */
  async run(signal: AbortSignal): Promise<void> {
    const { context } = this.#options
    while (!signal.aborted) {
      try {
        await this.#tenure(signal)
      } catch (error) {
        if (error instanceof Stopped || signal.aborted) return
        const isFenced = error instanceof RtmlError && error.code === 'FENCED'
        const fields = { learner: this.name, reason: error instanceof Error ? error.message : String(error) }
        if (isFenced || (error instanceof RtmlError && error.isTransient))
          context.logger.warn(fields, 'learner starts again')
        else context.logger.error(fields, 'learner failed, and starts again from its checkpoint')
        context.metrics.count('rtml_learner_restarts_total', [this.name])
        await context.clock.sleep(context.options.fencedPauseMs, signal)
      }
    }
  }

  /**
   * Puts a state in the place of what the learner knows, and tells of it: a warm start. An owner elsewhere is fenced, and
   * goes on from here.
   * @throws RtmlError FENCED, STORE_DOWN, LOG_DOWN
   */
  async replace(checkpoint: Uint8Array, status: LearnerStatus, signal: AbortSignal): Promise<void> {
    const { context, shard, createHost, setup } = this.#options
    const own = await context.store.own(shard)
    this.#epoch = own.epoch
    this.#round = own.position ?? offset(0)
    await this.#save(checkpoint, status, context.clock.now())
    await using host = createHost()
    await host.start(setup, checkpoint)
    await this.#look(host, signal)
  }

  async #tenure(signal: AbortSignal): Promise<void> {
    const { context, shard, createHost, setup } = this.#options
    const own = await retry(context, signal, () => context.store.own(shard))
    this.#epoch = own.epoch
    this.#round = own.position ?? offset(0)
    const [checkpoint] = await retry(context, signal, () => context.store.load(shard, [CHECKPOINT_KEY]))
    await using host = createHost()
    this.#schemas.clear()
    const started = await host.start(setup, checkpoint)
    if (started.isReset) {
      context.logger.warn({ learner: this.name }, 'the checkpoint is of another definition: the learner begins anew')
    }
    this.#positions = { ...started.positions }
    this.#isDirty = false
    // What was wanted and perhaps not told before the end of the owner before this one.
    await this.#look(host, signal)
    while (!signal.aborted) await this.#step(host, signal)
    await this.#look(host, signal, { isLast: true })
  }

  async #step(host: LearnerHost, signal: AbortSignal): Promise<void> {
    const { context } = this.#options
    const { clock } = context
    const from = context.hrtime()
    const merged = await retry(context, signal, () => this.#read(signal))
    if (merged) await this.#learn(host, merged)
    const now = clock.now()
    const every = this.#definition.publish.every
    if (this.#isDirty ? now - this.#checkpointAt >= every : now - this.#lookedAt >= this.#tuning.idleLookMs) {
      await this.#look(host, signal)
    }
    if (signal.aborted) return
    const busyMs = (context.hrtime() - from) * 1_000
    const pause = merged ? busyMs * (1 / this.#tuning.duty - 1) : this.#tuning.pollMs
    await clock.sleep(ms(Math.max(1, Math.round(pause))), signal)
  }

  #read(signal: AbortSignal): Promise<Merged | undefined> {
    const { context, shard } = this.#options
    return readNext({
      log: context.log,
      topic: shard.topic,
      positionOf: (partition) => this.#positions[placeOf(shard.topic, partition)] as Offset | undefined,
      most: this.#tuning.batchRecords,
      signal,
    })
  }

  async #learn(host: LearnerHost, { records, positions }: Merged): Promise<void> {
    const { context, shard, schemaById } = this.#options
    const schemas: Record<number, object> = {}
    for (const { value } of records) {
      const id = value === null ? undefined : unframe(value)?.schemaId
      if (id === undefined || this.#schemas.has(id)) continue
      schemas[id] = await schemaById(id)
      this.#schemas.add(id)
    }
    const ends = Object.fromEntries([...positions].map(([partition, at]) => [placeOf(shard.topic, partition), at]))
    const batch: Batch = {
      records: records.map(({ topic, partition, offset: at, timestamp, value }) => ({
        place: placeOf(topic, partition),
        offset: at,
        at: timestamp,
        value,
      })),
      ends,
      schemas,
    }
    const { taken, refused } = await host.take(batch)
    Object.assign(this.#positions, ends)
    if (taken > 0 || records.length > 0) this.#isDirty = true
    context.metrics.count('rtml_learner_examples_total', [this.name, 'taken'], taken)
    if (refused > 0) context.metrics.count('rtml_learner_examples_total', [this.name, 'refused'], refused)
    context.metrics.count('rtml_learner_examples_total', [this.name, 'other'], records.length - taken - refused)
  }

  async #look(host: LearnerHost, signal: AbortSignal, options: { isLast?: true } = {}): Promise<void> {
    const { context, registry, service } = this.#options
    const { clock } = context
    const now = clock.now()
    await retry(context, signal, () => registry.catchUp()).catch((error) => {
      if (!options.isLast) throw error
    })
    const routing = registry.gallery.service(service)?.revisions.at(-1)
    const { publish } = this.#definition
    const look = await host.look(now, {
      routed: routedOf(routing, this.name, this.#by),
      minExamples: publish.examples,
      everyMs: publish.every,
      isCheckpointDue: this.#isDirty && (now - this.#checkpointAt >= publish.every || options.isLast === true),
    })
    this.#lookedAt = now
    this.#pendingMoves.push(...look.decisions.moves)
    this.#status = look.status ?? this.#status
    // Before the checkpoint that knows of them: told twice is better than never.
    await this.#alert(look.decisions)
    if (look.checkpoint && look.status) await this.#save(look.checkpoint, look.status, now)
    if (options.isLast) return
    this.#gauge()
    const { version, wanted } = look.decisions
    if (wanted) await this.#route(host, wanted, version)
  }

  /** @throws RtmlError FENCED when somebody else runs the learner, STORE_DOWN when the store has lost its tail */
  async #save(checkpoint: Uint8Array, status: LearnerStatus, at: EpochMs): Promise<void> {
    const { context, shard } = this.#options
    this.#lagRecords = await this.#lag()
    const stored: StoredStatus = { ...status, at, lagRecords: this.#lagRecords }
    const to = offset(this.#round + 1)
    const applied = await context.store.apply(shard, this.#epoch, {
      from: this.#round,
      to,
      states: new Map([
        [CHECKPOINT_KEY, Buffer.from(checkpoint.buffer, checkpoint.byteOffset, checkpoint.length)],
        [STATUS_KEY, Buffer.from(JSON.stringify(stored))],
      ]),
      outputs: [],
      rebuild: true,
    })
    if (applied.kind === 'fenced') {
      throw new RtmlError('FENCED', `learner ${this.name} runs in another process now (epoch ${applied.epoch})`)
    }
    // An answer that was lost: the round is written. Anything else is a store that stands where this owner doesn't.
    const isWritten = applied.kind === 'applied' || (applied.kind === 'duplicate' && applied.position === to)
    if (!isWritten) throw new RtmlError('STORE_DOWN', `the store has moved under learner ${this.name}`)
    this.#round = to
    this.#checkpointAt = at
    this.#isDirty = false
  }

  async #lag(): Promise<number> {
    const { context, shard } = this.#options
    const bounds = await context.log.bounds(shard.topic).catch(() => [])
    return bounds.reduce(
      (sum, { topic, partition, start, end }) =>
        sum + Math.max(0, end - Math.max(start, this.#positions[placeOf(topic, partition)] ?? 0)),
      0,
    )
  }

  async #alert({ alerts }: Decisions): Promise<void> {
    const { context, app, alertsTopic } = this.#options
    if (alerts.length === 0) return
    await context.log.append(alerts.map((alert) => alertRecord(alertsTopic, { app, learner: this.name, ...alert })))
    for (const { code, state, text, severity } of alerts) {
      if (state === 'closed' && severity !== 'critical') continue
      context.metrics.count('rtml_learner_alerts_total', [this.name, code])
      context.logger.warn({ learner: this.name, code, text }, 'learner alert')
    }
  }

  /** Makes `models` say what the checkpoint says. Repeatable. */
  async #route(
    host: LearnerHost,
    { version, share }: NonNullable<Decisions['wanted']>,
    fresh: Decisions['version'],
  ): Promise<void> {
    const { context, registry, service, manifest } = this.#options
    const wanted = { model: this.name, version, share }
    const current = registry.gallery.service(service)
    if (current && isRouted(current, wanted)) {
      this.#pendingMoves = []
      return
    }
    const onnx = fresh?.version === version ? fresh.onnx : await host.onnxOf(version)
    if (!onnx) return
    const at = new Date(context.clock.now()).toISOString()
    const moves = this.#pendingMoves.filter(({ kind }) => kind !== 'adopted')
    const last = moves.at(-1)
    try {
      await registry.publish(
        {
          model: this.name,
          version,
          service,
          origin: 'learner',
          manifest,
          metrics: figuresOf(this.#status, this.name),
          provenance: { learner: this.name, examples: Number(version.split('-')[0]), sha256: sha256Of(onnx) },
          at,
          by: this.#by,
        },
        { bytes: onnx },
      )
      await registry.change({
        service,
        action: last ? (last.kind === 'promote' ? 'promote' : 'rollback') : 'route',
        by: this.#by,
        why: (last?.why ?? `version ${version} follows`).slice(0, 1_000),
        evidence: (last?.evidence ?? {}) as Facts,
        change: (it) => routeTo(it, wanted),
      })
      this.#pendingMoves = []
      context.metrics.count('rtml_learner_versions_total', [this.name])
    } catch (error) {
      // Somebody else was faster, or asks for what can't be: the next look sees what is there then.
      const isRefused =
        error instanceof RtmlError && (error.code === 'MODEL_CONFLICT' || error.code === 'MODEL_ROUTING')
      if (!isRefused) throw error
      context.logger.warn({ learner: this.name, code: error.code, reason: error.message }, 'routing not changed')
    }
  }

  get #by(): string {
    return `learner ${this.name}`
  }

  #gauge(): void {
    const { metrics } = this.#options.context
    const status = this.#status
    if (!status) return
    metrics.gauge('rtml_learner_learned', [this.name], status.learned)
    metrics.gauge('rtml_learner_labels', [this.name], status.labels)
    metrics.gauge('rtml_learner_share', [this.name], status.share)
    metrics.gauge('rtml_learner_paused', [this.name], status.isPaused ? 1 : 0)
    metrics.gauge('rtml_learner_alerts_open', [this.name], status.alerts.open.length)
    metrics.gauge('rtml_learner_lag_records', [this.name], this.#lagRecords)
    metrics.gauge('rtml_learner_drifts', [this.name], status.drift.drifts)
    for (const { name, psi } of status.drift.psi) metrics.gauge('rtml_learner_drift_psi', [this.name, name], psi)
    for (const [slice, figures] of [...Object.entries(status.models), ...Object.entries(status.slices)]) {
      const model = slice.includes('@') && !slice.includes(':') ? slice.slice(0, slice.indexOf('@')) : slice
      for (const name of ['logLoss', 'auc', 'calibrationError', 'rmse'] as const) {
        const value = figures[name]
        if (value !== null) metrics.gauge('rtml_model_quality', [this.name, model, name], value)
      }
    }
  }
}

const placeOf = (topic: string, partition: number): string => `${topic}[${partition}]`
const sha256Of = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex')

/** Figures that a version carries along: those of the learner when it was made. */
function figuresOf(status: LearnerStatus | undefined, name: string): Facts {
  const own = status?.models[name] ?? status?.models.learner
  return own ? { labels: own.labels, logLoss: own.logLoss, auc: own.auc, calibrationError: own.calibrationError } : {}
}
