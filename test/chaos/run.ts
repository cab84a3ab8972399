/** One chaos run: services, workers, load, faults; then quiet, and the check from outside. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import kafkajs from 'kafkajs'
import { groupOf, topicNames } from '../../processors/app/topics.ts'
import { check, type Verdict } from './check.ts'
import { type Injected, inject } from './inject.ts'
import { Load } from './load.ts'
import { type Gaps, pausesOf } from './pauses.ts'
import { planOf } from './plan.ts'
import { committedOf, endsOf } from './read.ts'
import { type Compiled, compile } from './reference.ts'
import { type ChaosServices, directly, startServices } from './services.ts'
import { APPLICATION, pause, Workers } from './workers.ts'

// kafkajs is a CommonJS module whose enums Node can't see by name.
const { AclOperationTypes, AclPermissionTypes, AclResourceTypes, Kafka, logLevel, ResourcePatternTypes } = kafkajs

export interface ChaosOptions {
  readonly minutes: number
  readonly seed: number
  /** Raw events a second. */
  readonly perSecond: number
  readonly tell: (text: string) => void
}

export interface ChaosReport extends Omit<Verdict, 'progress'> {
  readonly seed: number
  readonly minutes: number
  readonly perSecond: number
  /** By kind. */
  readonly faults: Readonly<Record<string, number>>
  readonly faultsTotal: number
  /** Planned hand-overs: gaps of single partitions in the scores. */
  readonly pauseP50Ms: number
  readonly pauseP99Ms: number
  /** The same after a SIGKILL. */
  readonly recoveryP50Ms: number
  readonly recoveryP99Ms: number
  readonly gaps: Readonly<Record<string, Gaps>>
  /** From the end of the load until everything was worked off. */
  readonly settledAfterMs: number
  /** Workers that ended by themselves, or would not end when told to. */
  readonly unexpected: readonly string[]
  /** Where the processes' logs are; undefined when all is well and they were deleted. */
  readonly logs: string | undefined
}

const WORKERS = 3
const READY_DEADLINE_MS = 120_000
const SETTLE_DEADLINE_MS = 180_000
const LOOK_EVERY_MS = 500
/** Events flow for so long before the first fault. */
const WARM_UP_MS = 5_000

export const isClean = (report: ChaosReport): boolean =>
  report.wrong + report.lost + report.duplicated + report.unexpected.length === 0

export async function runChaos({ minutes, seed, perSecond, tell }: ChaosOptions): Promise<ChaosReport> {
  await using cleanUp = new AsyncDisposableStack()
  // The servers and workers are processes of their own: without this they would outlive an interrupted run.
  const interrupted = () => void cleanUp.disposeAsync().finally(() => process.exit(130))
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.once(signal, interrupted)
    cleanUp.defer(() => void process.off(signal, interrupted))
  }
  const dir = await mkdtemp(join(tmpdir(), 'rtml-chaos-'))
  const compiled = compile(APPLICATION)
  tell('starting broker, two Redis servers and registry')
  const services = cleanUp.use(await startServices())
  await prepare(services, compiled)
  const client = directly(services.kafka)
  const workers = cleanUp.use(new Workers({ env: services.env, dir }))
  for (let made = 0; made < WORKERS; made++) workers.start()
  const load = new Load({ seed, perSecond })
  await load.start(client)
  cleanUp.defer(() => load.stop())
  await until(READY_DEADLINE_MS, 'no score was written', async () => {
    if (workers.unexpected.length > 0) return true
    return (await endsOf(client, topicNames(compiled.app).scores)).every((end) => end > 0)
  })
  if (workers.unexpected.length > 0) throw new Error(`a worker can't start: see ${dir}`)
  tell(`events flow; logs in ${dir}`)
  await pause(WARM_UP_MS)
  const injected = await inject(planOf(seed, minutes), { services, workers }, tell)
  await pause(WARM_UP_MS)

  tell('faults are over; settling')
  await load.stop()
  const quietSince = performance.now()
  while (workers.count < 2) workers.start()
  await until(SETTLE_DEADLINE_MS, 'not everything was worked off', () => isWorkedOff(client, compiled)).catch(
    (error: unknown) => workers.unexpected.push(String(error)),
  )
  const settledAfterMs = performance.now() - quietSince
  await workers.stopAll()
  tell('checking from outside')
  const verdict = await check({ kafka: client, redisUrl: services.redis.primaryUrl, compiled, accepted: load.accepted })
  const report = reportOf({
    verdict,
    injected,
    settledAfterMs,
    unexpected: workers.unexpected,
    minutes,
    seed,
    perSecond,
  })
  if (isClean(report)) {
    await rm(dir, { recursive: true, force: true })
    return report
  }
  return { ...report, logs: dir }
}

function reportOf(options: {
  verdict: Verdict
  injected: readonly Injected[]
  settledAfterMs: number
  unexpected: readonly string[]
  minutes: number
  seed: number
  perSecond: number
}): ChaosReport {
  const { verdict, injected, settledAfterMs, ...rest } = options
  const { progress, ...counts } = verdict
  const pauses = pausesOf(injected, progress)
  const faults: Record<string, number> = {}
  for (const { kind } of injected) faults[kind] = (faults[kind] ?? 0) + 1
  return {
    ...rest,
    faults,
    faultsTotal: injected.length,
    ...counts,
    pauseP50Ms: pauses.planned.p50Ms,
    pauseP99Ms: pauses.planned.p99Ms,
    recoveryP50Ms: pauses.kills.p50Ms,
    recoveryP99Ms: pauses.kills.p99Ms,
    gaps: { 'planned, by partition': pauses.planned, 'kill, by partition': pauses.kills, ...pauses.byKind },
    settledAfterMs: Math.round(settledAfterMs),
    logs: undefined,
  }
}

/**
 * The raw topic, and topics that keep every record: the checker reads them all afterwards. And rights for the listener
 * that isn't behind the link.
 */
async function prepare({ kafka, links }: ChaosServices, { app }: Compiled): Promise<void> {
  const admin = new Kafka({ brokers: [`127.0.0.1:${links.broker.port}`], logLevel: logLevel.NOTHING }).admin()
  await admin.connect()
  const { TOPIC, GROUP, CLUSTER, TRANSACTIONAL_ID } = AclResourceTypes
  await admin.createAcls({
    acl: [TOPIC, GROUP, CLUSTER, TRANSACTIONAL_ID].map((resourceType) => ({
      resourceType,
      resourceName: resourceType === CLUSTER ? 'kafka-cluster' : '*',
      resourcePatternType: ResourcePatternTypes.LITERAL,
      principal: `User:${directly(kafka).sasl.username}`,
      host: '*',
      operation: AclOperationTypes.ALL,
      permissionType: AclPermissionTypes.ALLOW,
    })),
  })
  const topics = topicNames(app)
  await admin.createTopics({
    waitForLeaders: true,
    topics: [topics.raw('web'), topics.scores].map((topic) => ({
      topic,
      numPartitions: app.partitions,
      replicationFactor: 1,
      configEntries: [{ name: 'cleanup.policy', value: 'delete' }],
    })),
  })
  await admin.disconnect()
}

async function isWorkedOff(client: { brokers: string[] }, { app }: Compiled): Promise<boolean> {
  const topics = topicNames(app)
  const inputs = [
    ['map.web', topics.raw('web')],
    ['profile', topics.events],
    ['entity.item', topics.entity('item')],
  ] as const
  // Left to right: what one stage has committed is all that the next one will get.
  for (const [stage, topic] of inputs) {
    const ends = await endsOf(client, topic)
    const committed = await committedOf(client, groupOf(app, stage), topic)
    if (!ends.every((end, partition) => committed[partition] === end)) return false
  }
  return true
}

async function until(deadlineMs: number, what: string, isTrue: () => Promise<boolean>): Promise<void> {
  const end = performance.now() + deadlineMs
  // A broker that is being started refuses connections: that is a no.
  while (!(await isTrue().catch(() => false))) {
    if (performance.now() > end) throw new Error(`${what} within ${deadlineMs / 1_000} s`)
    await pause(LOOK_EVERY_MS)
  }
}
