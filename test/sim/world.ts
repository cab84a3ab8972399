import { RtmlError } from '../../processors/app/errors.ts'
import { groupOf } from '../../processors/app/topics.ts'
import { ms, offset } from '../../processors/app/units.ts'
import type { Engine, Shard } from '../../processors/engine/ports.ts'
import { Stopped } from '../../processors/runtime/retry.ts'
import { findSnapshot } from '../../processors/runtime/snapshots.ts'
import type { Logger, Metrics } from '../../processors/runtime/telemetry.ts'
import { type Plan, type RunningApplication, runPlan, topicSpecs } from '../../processors/topology.ts'
import { commonFeatureSet, INPUTS, modelsOf, planOf, START } from './application.ts'
import { check } from './check.ts'
import { ALL_GUARDS, type Guards } from './guards.ts'
import { History } from './history.ts'
import { checkLabels } from './labels.ts'
import { Network } from './network.ts'
import { Dice, seeded } from './random.ts'
import { FAULTS_END_MS, type Fault, type Scenario, SERVICE_OF } from './scenario.ts'
import { Scheduler, SimProcess } from './scheduler.ts'
import { SimGroups } from './sim-group.ts'
import { logPort, SimLog } from './sim-log.ts'
import { type PoolMood, simPool } from './sim-pool.ts'
import { registryPort, SimRegistry } from './sim-registry.ts'
import { SimStore, storePort } from './sim-store.ts'
import { planOfProcess } from './worker-plan.ts'

export interface Outcome {
  /** Broken rules; empty = the seed passed. */
  readonly problems: readonly string[]
  /** Of everything that happened, in order. */
  readonly hash: string
  readonly lines: readonly string[]
  readonly steps: number
  /** From the end of the faults to lag 0. */
  readonly recoveryMs: number
}

/** Everything must be through so long after the last fault: several sessions, back-offs and hand-overs one after the other. */
const RECOVERY_MS = 90_000
/** A failover loses at most so much; retention that is safe keeps so much more. */
const FAILOVER_LAG_MS = 3_000
const MAX_PROCESSES = 4
const SKEW_MS = 600_000
const DONE_EVERY_STEPS = 16
/** With labels: when strangers come, and when everything must be settled, after the last fault. */
const CLOSING_MS = [30_000, 45_000]
const LABELS_MS = 60_000

interface Worker {
  readonly process: SimProcess
  readonly version: 1 | 2
  readonly stop: AbortController
  readonly mood: PoolMood
  running: RunningApplication | undefined
  isLeaving: boolean
}

/** Runs one scenario from the first event to lag 0, and checks what is left. */
export async function simulate(
  scenario: Scenario,
  options: { guards?: Guards; isVerbose?: boolean; hasLabels?: boolean } = {},
): Promise<Outcome> {
  const { guards = ALL_GUARDS, isVerbose = false, hasLabels = false } = options
  const world = new World(scenario, guards, { isVerbose, hasLabels })
  await world.open()
  return world.run()
}

class World {
  readonly #scenario: Scenario
  readonly #guards: Guards
  readonly #hasLabels: boolean
  readonly #dice: Dice
  readonly #scheduler = new Scheduler(START)
  readonly #history: History
  readonly #network: Network
  readonly #store: SimStore
  readonly #log: SimLog
  readonly #groups: SimGroups
  readonly #registry = new SimRegistry()
  readonly #workers: Worker[] = []
  readonly #plans = new Map<1 | 2, Plan>()
  #failure: string | undefined
  /** Retention took what was still needed: from now on a report is what we want. */
  #isLossPossible = false
  #isLossReported = false
  #areFaultsOver = false
  /** With labels, a run goes on until their windows are over. */
  #labelsUntil = 0

  constructor(scenario: Scenario, guards: Guards, options: { isVerbose: boolean; hasLabels: boolean }) {
    const { isVerbose, hasLabels } = options
    const { seed, settings } = scenario
    this.#scenario = scenario
    this.#guards = guards
    this.#hasLabels = hasLabels
    this.#dice = new Dice(seeded(seed ^ 0x5eed_5eed))
    this.#history = new History(this.#scheduler, { isVerbose })
    const { lostRequest, lostReply, slow, slowMs } = settings
    this.#network = new Network(this.#scheduler, this.#dice, { lostRequest, lostReply, slow, slowMs }, this.#history)
    this.#store = new SimStore(this.#scheduler, guards.store)
    this.#log = new SimLog(this.#scheduler, this.#dice, guards.log)
    this.#groups = new SimGroups(this.#scheduler, this.#log, this.#dice, settings)
  }

  async open(): Promise<void> {
    const { isFused, delivery, publishesFused } = this.#scenario.settings
    for (const version of [1, 2] as const) {
      this.#plans.set(version, await planOf({ version, isFused, delivery, publishesFused, hasLabels: this.#hasLabels }))
    }
  }

  async run(): Promise<Outcome> {
    const { settings, events, faults } = this.#scenario
    const { topics, app } = this.#plan
    for (const spec of topicSpecs(app)) this.#log.create(spec)
    for (const { atMs, to, key, value, headers } of events) {
      const topic = to === 'raw' ? topics.raw('web') : topics.events
      this.#scheduler.after(atMs, () =>
        this.#log.append([{ topic, key: Buffer.from(key), value, ...(headers ? { headers } : {}) }]),
      )
    }
    for (const fault of faults) {
      this.#scheduler.after(fault.atMs, () => {
        if (fault.after === undefined) this.#scheduler.afterSteps(fault.steps, () => this.#strike(fault))
        else this.#network.afterNext(fault.after, (process) => this.#strike(fault, process))
      })
    }
    for (let nth = 0; nth < settings.processes; nth++) this.#spawn(1)
    this.#groups.watch()

    await this.#scheduler.runUntil(() => this.#isOver, START + FAULTS_END_MS)
    this.#endFaults()
    const since = this.#scheduler.now
    const isDone = await this.#scheduler.runUntil(() => this.#isOver || this.#isThrough(), since + RECOVERY_MS)
    return {
      problems: await this.#problems(isDone),
      hash: this.#history.hash,
      lines: this.#history.lines,
      steps: this.#scheduler.steps,
      recoveryMs: this.#scheduler.now - since,
    }
  }

  get #plan(): Plan {
    return this.#plans.get(1)!
  }

  get #isOver(): boolean {
    return this.#failure !== undefined || this.#isLossReported
  }

  async #problems(isDone: boolean): Promise<string[]> {
    const { isFused, publishesFused, delivery } = this.#scenario.settings
    const failures = this.#failure === undefined ? [] : [this.#failure]
    if (!isDone)
      failures.push(`no progress: ${RECOVERY_MS / 1_000} s after the last fault there is still a lag: ${this.#lag()}`)
    if (failures.length > 0) return failures
    const featureSet = await commonFeatureSet()
    for (const [name, kernel] of featureSet.entities) {
      for (const plan of this.#plans.values()) kernel.addLayout(plan.featureSet.entities.get(name)!.layout)
    }
    const labels = this.#hasLabels && !this.#isLossReported ? checkLabels(this.#plan, this.#log) : []
    const problems = check({
      plan: this.#plan,
      featureSet,
      log: this.#log,
      store: this.#store,
      isFused,
      publishesFused,
      mayRepeat: delivery === 'at-least-once',
      isPartial: this.#isLossReported,
    })
    return [...problems, ...labels]
  }

  // Processes

  #spawn(version: 1 | 2): void {
    const name = `p${this.#workers.length}`
    const { settings } = this.#scenario
    const skew = this.#dice.between(-SKEW_MS, SKEW_MS)
    // Labels wait for event time, which counts no further than the clock of whoever scored: one that is behind delays them.
    const process = new SimProcess(name, this.#scheduler, this.#hasLabels ? 0 : skew)
    const mood = { failing: settings.failingModels, slow: settings.slowModels, slowMs: 200 }
    const worker: Worker = { process, version, stop: new AbortController(), mood, running: undefined, isLeaving: false }
    this.#workers.push(worker)
    this.#history.say(name, `starts with version ${version}`)
    const plan = planOfProcess(this.#plans.get(version)!, this.#guards.kernel)
    void runPlan(plan, {
      engine: this.#engine(process),
      clock: process.clock,
      random: this.#dice.random,
      hrtime: () => this.#scheduler.now / 1_000,
      metrics: this.#metrics(),
      logger: this.#logger(name),
      env: () => undefined,
      signal: worker.stop.signal,
      // The scenario swaps models itself.
      followModels: 'off',
      createPool: async () => simPool(this.#scheduler, process, this.#dice, mood, INPUTS.length),
      tuning: {
        pipelineDepth: settings.pipelineDepth,
        maxCachedStates: settings.maxCachedStates,
        snapshot: settings.hasSnapshots
          ? { topic: plan.topics.snapshots, everyMs: ms(settings.snapshotEveryMs), maxBytes: 1_000_000 }
          : undefined,
        storeCheckEveryMs: ms(500),
        fencedPauseMs: ms(1_000),
      },
    }).then(
      (running) => {
        worker.running = running
        void running.service.failed.then((error) => this.#failed(worker, error))
        if (worker.isLeaving) void this.#dispose(worker)
      },
      (error: unknown) => this.#failed(worker, error),
    )
  }

  #engine(process: SimProcess): Engine {
    return {
      name: 'simulated',
      log: logPort(this.#log, this.#network, process, this.#groups.port(process, this.#network)),
      store: storePort(this.#store, this.#network, process),
      registry: registryPort(this.#registry, this.#network, process),
      down: () => new Map(),
      [Symbol.asyncDispose]: async () => {},
    }
  }

  /** Only a loss that retention has caused may end a process by itself. */
  #failed(worker: Worker, error: unknown): void {
    if (!worker.process.isAlive) return
    if (error instanceof Stopped) {
      worker.process.isAlive = false
      return
    }
    this.#history.say(worker.process.name, `ended: ${error}`)
    if (error instanceof RtmlError && error.code === 'LOG_TRUNCATED' && this.#isLossPossible)
      this.#isLossReported = true
    else this.#failure ??= `${worker.process.name} ended: ${error instanceof Error ? error.stack : String(error)}`
  }

  #leave(worker: Worker): void {
    if (worker.isLeaving) return
    worker.isLeaving = true
    worker.stop.abort()
    if (worker.running) void this.#dispose(worker)
  }

  async #dispose({ process, running }: Worker): Promise<void> {
    await running?.[Symbol.asyncDispose]()
    process.isAlive = false
    this.#history.say(process.name, 'has left')
  }

  #metrics(): Metrics {
    const { isCalm, delivery } = this.#scenario.settings
    const isPlanned = isCalm && delivery === 'exactly-once'
    return {
      count: (name, labels) => {
        // Planned hand-overs drain: the next owner finds nothing that waits.
        if (name === 'rtml_recoveries_total' && isPlanned && labels[1] === 'ahead')
          this.#failure ??= `${labels[0]}: a planned hand-over left outputs behind`
      },
      gauge() {},
      observe() {},
    }
  }

  #logger(name: string): Logger {
    const say = (fields: object, message: string) => this.#history.say(name, `${message} ${JSON.stringify(fields)}`)
    return { debug() {}, info: say, warn: say, error: say }
  }

  // Faults

  get #present(): Worker[] {
    return this.#workers.filter(({ process, isLeaving }) => process.isAlive && !isLeaving)
  }

  #strike(fault: Fault, struck?: SimProcess): void {
    if (this.#areFaultsOver) return
    const { kind, whom, forMs } = fault
    const present = this.#present
    const worker = present.find(({ process }) => process === struck) ?? present[Math.floor(whom * present.length)]
    this.#history.say('fault', `${kind} ${worker?.process.name ?? ''} ${Math.round(forMs)}`)
    switch (kind) {
      case 'crash':
        return this.#crash(worker, forMs)
      case 'pause':
      case 'hiccup':
        if (worker) worker.process.pausedUntil = this.#scheduler.now + (kind === 'pause' ? forMs * 2 : forMs / 10)
        return
      case 'join':
        return this.#join(whom < 0.7 ? 1 : 2)
      case 'leave':
        if (!worker) return
        if (present.length === 1) this.#join(worker.version)
        return this.#leave(worker)
      case 'upgrade':
      case 'downgrade':
        this.#join(kind === 'upgrade' ? 2 : 1)
        return worker && this.#leave(worker)
      case 'shake':
        for (const group of this.#groups.names()) this.#groups.shake(group)
        return
      case 'expel':
        return worker && this.#groups.expel(worker.process)
      case 'failover':
        return this.#store.failOver(whom * FAILOVER_LAG_MS)
      case 'wipe':
        return this.#store.wipe()
      case 'lose-outbox':
        return this.#loseOutbox(whom)
      case 'log-down':
      case 'store-down':
      case 'registry-down':
        return this.#network.takeDown(SERVICE_OF[kind]!, forMs)
      case 'swap':
        if (worker?.running?.scorer)
          void worker.running.scorer.swap({ models: modelsOf(1 + (Math.floor(forMs) % 3)) }).catch(() => {})
        return
      case 'slow-models':
        if (!worker) return
        Object.assign(worker.mood, { slow: 0.7, slowMs: 300 })
        this.#scheduler.after(forMs, () => Object.assign(worker.mood, { slow: 0 }))
        return
      case 'retention':
      case 'careless-retention':
        return void this.#retain(whom, kind === 'careless-retention')
      case 'compaction':
        return this.#log.compact(this.#plan.topics.snapshots)
    }
  }

  /** Of a shard that has something to lose, if there is one. */
  #loseOutbox(whom: number): void {
    // At least once, the committed position says too little to tell a lost outbox from a published one.
    if (this.#scenario.settings.delivery === 'at-least-once') return
    const filled = this.#shards.filter((shard) => this.#store.shard(shard).outbox.length > 0)
    const shard = filled[Math.floor(whom * filled.length)] ?? this.#shardOf(whom)
    this.#store.loseOutbox(shard)
  }

  #crash(worker: Worker | undefined, forMs: number): void {
    if (!worker) return
    worker.process.isAlive = false
    this.#scheduler.after(forMs, () => {
      if (!this.#areFaultsOver) this.#spawn(worker.version)
    })
  }

  #join(version: 1 | 2): void {
    if (this.#present.length < MAX_PROCESSES) this.#spawn(version)
  }

  get #shards(): Shard[] {
    const { app, topics } = this.#plan
    const { isFused } = this.#scenario.settings
    const inputs = [
      { group: groupOf(app, 'profile'), topic: isFused ? topics.raw('web') : topics.events },
      { group: groupOf(app, 'entity.item'), topic: topics.entity('item') },
      ...(isFused ? [] : [{ group: groupOf(app, 'map.web'), topic: topics.raw('web') }]),
      ...(this.#hasLabels ? [{ group: groupOf(app, 'outcomes'), topic: topics.samples }] : []),
    ]
    return inputs.flatMap((input) => [0, 1].map((partition) => ({ ...input, partition })))
  }

  #shardOf(whom: number): Shard {
    const shards = this.#shards
    return shards[Math.floor(whom * shards.length)]!
  }

  /** Deletes old records: what nobody needs any more, or anything. */
  async #retain(whom: number, isCareless: boolean): Promise<void> {
    const shard = this.#shardOf(whom)
    // Samples are read again when their windows are over.
    if (shard.topic === this.#plan.topics.samples) return
    const { start, end } = this.#log.partitions(shard.topic)[shard.partition]!
    // What was deleted before the application first came is nobody's loss: nothing says that it ever was there.
    if (this.#log.committed(shard.group, shard) === undefined) return
    const needed = await this.#neededFrom(shard)
    const upTo = isCareless ? Math.round(start + (end - start) * this.#dice.random()) : needed
    if (upTo <= start) return
    if (upTo > needed) this.#isLossPossible = true
    this.#history.say('fault', `${shard.topic}[${shard.partition}] is kept from ${upTo} on; needed from ${needed}`)
    this.#log.truncate(shard, upTo)
  }

  /** First position that some recovery might read: that of the newest snapshot, or of the commit where there is no state. */
  async #neededFrom(shard: Shard): Promise<number> {
    const committed = this.#log.committed(shard.group, shard)!
    const { app, topics } = this.#plan
    if (shard.group === groupOf(app, 'map.web')) return committed
    const port = {
      bounds: async (topic: string) => this.#log.bounds(topic),
      read: (source: Shard, from: never, { until }: { until?: never }) => this.#runs(source, from, until),
    }
    const mark = await findSnapshot(port as never, topics.snapshots, shard, new AbortController().signal)
    return Math.min(committed, mark?.position ?? 0)
  }

  async *#runs(source: Shard, from: number, until: number | undefined) {
    let position = offset(from)
    for (;;) {
      const run = this.#log.fetch(source, position, until === undefined ? undefined : offset(until))
      if (!run) return
      yield run
      position = run.to
    }
  }

  #endFaults(): void {
    this.#areFaultsOver = true
    this.#history.say('fault', 'none from here on')
    this.#network.heal()
    for (const { process, mood } of this.#workers) {
      process.pausedUntil = 0
      Object.assign(mood, { failing: 0, slow: 0 })
    }
    if (this.#present.length === 0) this.#spawn(this.#workers.at(-1)?.version ?? 1)
    if (!this.#hasLabels) return
    for (const afterMs of CLOSING_MS) this.#scheduler.after(afterMs, () => this.#close())
    this.#labelsUntil = this.#scheduler.now + LABELS_MS
  }

  /** Strangers move event time on in every partition, so that windows end. */
  #close(): void {
    const { now } = this.#scheduler
    const topic = this.#plan.topics.raw('web')
    for (let nth = 0; nth < 8; nth++) {
      const visitor = `z${nth}`
      const event = { id: `z${nth}-${now}`, time: new Date(Math.floor(now)).toISOString(), type: 'closing', visitor }
      const key = Buffer.from(this.#scenario.settings.isFused ? `ECID:${visitor}` : `k${nth}`)
      this.#log.append([{ topic, key, value: Buffer.from(JSON.stringify({ ...event, items: [] })) }])
    }
  }

  // The end

  #isThrough(): boolean {
    if (this.#scheduler.steps % DONE_EVERY_STEPS !== 0 || this.#scheduler.now < this.#labelsUntil) return false
    if (this.#workers.some(({ process, isLeaving }) => isLeaving && process.isAlive)) return false
    return this.#shards.every((shard) => this.#isShardThrough(shard))
  }

  #isShardThrough(shard: Shard): boolean {
    const end = this.#log.partitions(shard.topic)[shard.partition]!.end
    const committed = this.#log.committed(shard.group, shard) ?? 0
    if (committed < end) return false
    if (shard.group === groupOf(this.#plan.app, 'map.web')) return true
    const { position, outbox } = this.#store.shard(shard)
    return (position ?? (end === 0 ? 0 : -1)) >= end && outbox.every(({ to }) => to <= committed)
  }

  #lag(): string {
    const leaving = this.#workers.filter(({ process, isLeaving }) => isLeaving && process.isAlive)
    const behind = this.#shards
      .filter((shard) => !this.#isShardThrough(shard))
      .map((shard) => {
        const { position, outbox, epoch } = this.#store.shard(shard)
        const end = this.#log.partitions(shard.topic)[shard.partition]!.end
        const committed = this.#log.committed(shard.group, shard)
        return `${shard.group}[${shard.partition}] epoch ${epoch} position ${position} committed ${committed} of ${end}, ${outbox.length} in the outbox`
      })
    const states = this.#present.map(({ process, running }) => {
      const shards = running?.service
        .status()
        .flatMap(({ stage, shards: all }) =>
          [...all].map(([partition, { state, position }]) => `${stage}[${partition}] ${state} ${position}`),
        )
      return `${process.name}: ${shards?.join(', ') ?? 'not started'}`
    })
    return [...behind, ...leaving.map(({ process }) => `${process.name} does not finish leaving`), ...states].join('; ')
  }
}
