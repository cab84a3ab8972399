/**
 * How long from a label to a score by a version that has learned it, with the stream running: an application whose events
 * carry their label, its learner in its own thread, and a subscriber of the scores.
 *
 *   node test/bench/label-to-serving.ts [seconds] [events a second]
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { systemClock } from '../../processors/app/system-clock.ts'
import { ms, offset } from '../../processors/app/units.ts'
import { openEmbedded } from '../../processors/engine/embedded/engine.ts'
import { openApplicationFile } from '../../processors/host/application-file.ts'
import { startWorker } from '../../processors/host/start.ts'
import { decodeScores } from '../../processors/outputs/index.ts'
import { silentLogger } from '../../processors/runtime/telemetry.ts'

const SECONDS = Number(process.argv[2] ?? 30)
const RATE = Number(process.argv[3] ?? 300)
const APP = `
rtml: 1
name: bench
partitions: 2
schema: { fields: { amount: number, fraud: string } }
sources:
  web:
    mapping:
      mapping: web
      fields: { _id: id, timestamp: time, identityMap.User: user, $tenant.amount: amount, $tenant.fraud: fraud }
identity: { priority: [User] }
features:
  amount: { kind: event, value: _rtml.amount }
  events_1h: { kind: count, window: 1h }
labels: { fraud: { value: _rtml.fraud } }
learners: { online: { label: fraud } }
`

const dir = mkdtempSync(join(tmpdir(), 'rtml-bench-'))
writeFileSync(join(dir, 'rtml.yaml'), APP)
const stop = new AbortController()
{
  await using engine = await openEmbedded({ dir: join(dir, 'data'), clock: systemClock })
  const opened = openApplicationFile(join(dir, 'rtml.yaml'), {})
  await using worker = await startWorker({ opened, env: {}, logger: silentLogger, engine })
  const { plan } = await worker.started
  /** Examples of a version → when the first score by it was readable. */
  const seen = new Map<number, number>()
  const readers = (await engine.log.bounds(plan.topics.scores)).map(async (bounds) => {
    for await (const run of engine.log.read(bounds, offset(0), { signal: stop.signal })) {
      const now = systemClock.now()
      for (const { value } of run.records) {
        for (const { version } of value ? decodeScores(value).scores : []) {
          const learned = Number(version.split('-')[0])
          if (!seen.has(learned)) seen.set(learned, now)
        }
      }
    }
  })
  const started = performance.now()
  for (let n = 0; performance.now() - started < 1_000 * SECONDS; ) {
    const due = Math.floor(((performance.now() - started) / 1_000) * RATE)
    const events = []
    for (; n < due; n++) {
      const amount = (n * 7_919) % 100
      const event = {
        id: `e${n}`,
        time: new Date().toISOString(),
        user: `u${n % 500}`,
        amount,
        fraud: amount > 80 ? 'yes' : 'no',
      }
      events.push({
        topic: plan.topics.raw('web'),
        key: Buffer.from(event.user),
        value: Buffer.from(JSON.stringify(event)),
      })
    }
    if (events.length > 0) await engine.log.append(events)
    await systemClock.sleep(ms(5))
  }
  stop.abort()
  await Promise.all(readers)
  const times: number[] = []
  for (const bounds of await engine.log.bounds(plan.topics.examples)) {
    for await (const run of engine.log.read(bounds, bounds.start, { until: bounds.end })) {
      times.push(...run.records.map(({ timestamp }) => timestamp))
    }
  }
  times.sort((a, b) => a - b)
  const versions = [...seen].sort(([a], [b]) => a - b)
  const latencies = times
    .flatMap((at, index) => {
      const version = versions.find(([learned]) => learned > index)
      return version ? [version[1] - at] : []
    })
    .sort((a, b) => a - b)
  const quantile = (q: number) => latencies[Math.min(latencies.length - 1, Math.floor(q * latencies.length))]
  const result = { labels: times.length, versions: versions.length, measured: latencies.length }
  process.stdout.write(
    `${JSON.stringify({ ...result, p50Ms: quantile(0.5), p99Ms: quantile(0.99), maxMs: latencies.at(-1) })}\n`,
  )
}
rmSync(dir, { recursive: true, force: true })
