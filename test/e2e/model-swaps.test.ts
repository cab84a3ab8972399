/** A learner publishes a version every few seconds, for months. */
import { existsSync, readFileSync } from 'node:fs'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { expect, it } from 'vitest'
import type { ModelManifest } from '../../processors/app/schema.ts'
import { systemClock } from '../../processors/app/system-clock.ts'
import { createModelPool } from '../../processors/scorer/index.ts'
import { openRegistry } from '../../processors/topology.ts'
import { eventually } from '../engine/contract/conditions.ts'
import { identityModel, node } from '../unit/scorer/proto-writer.ts'
import { folder, openData, PATIENCE, start } from './harness.ts'

const SWAPS = 1_000
const WARM_UP = 300
/** The heap is flat: 0.2 MB were measured. */
const HEAP_GROWTH_BYTES = 8 * 1_048_576
/** V8 and the allocator reach their sizes in steps of up to 60 MB, and stay there: 0.9 MB from the 750th swap to the 1,500th. */
const PROCESS_GROWTH_BYTES = 96 * 1_048_576

setFlagsFromString('--expose-gc')
const collect = runInNewContext('gc') as () => void

/** Heap, and the memory of the process that no file stands behind: LMDB's pages belong to the disk. */
function measured(): { heap: number; anonymous: number } {
  collect()
  const status = existsSync('/proc/self/status') ? readFileSync('/proc/self/status', 'utf8') : ''
  const anonymous = Number(/RssAnon:\s+(\d+) kB/.exec(status)?.[1] ?? 0) * 1_024
  return { heap: process.memoryUsage().heapUsed, anonymous }
}

it(`swaps ${SWAPS} versions through the log, and holds no more memory, sessions, files or series than after ${WARM_UP}`, async () => {
  await using place = await folder()
  await using engine = await openData(place.data)
  const pools: Awaited<ReturnType<typeof createModelPool>>[] = []
  const createPool = async () => {
    const pool = await createModelPool({})
    pools.push(pool)
    return pool
  }
  await using running = await start(place.file, engine, { createPool })
  const registry = running.registry!
  const bytes = identityModel({ nodes: [node('Neg', ['x'], ['y'])] })
  const manifest: ModelManifest = { inputs: ['events_1h'] }
  const about = { model: 'score', service: 'score', origin: 'learner', manifest, by: 'learner' } as const
  const swap = async (n: number) => {
    const version = `v${n}`
    await registry.publish({ ...about, version, at: new Date().toISOString() }, { bytes })
    const roles = [{ model: 'score', version, role: 'champion' as const, share: 0 }]
    const change = () => ({ roles, disabled: false, blocked: [] })
    await registry.change({ service: 'score', action: 'route', by: 'learner', change })
    await eventually(`${version} serves`, PATIENCE, () => running.scorer.serving()[0]?.version === version)
  }
  for (let n = 0; n < WARM_UP; n++) await swap(n)
  const before = measured()
  for (let n = WARM_UP; n < SWAPS; n++) await swap(n)
  const after = measured()
  if (process.env.C2_PRINT) process.stderr.write(`GROWTH ${JSON.stringify({ before, after })}\n`)
  expect(after.heap - before.heap).toBeLessThan(HEAP_GROWTH_BYTES)
  expect(after.anonymous - before.anonymous).toBeLessThan(PROCESS_GROWTH_BYTES)
  await eventually('one session is left', PATIENCE, () => pools[0]!.stats().models === 1)
  expect(pools).toHaveLength(1)
  const series = (await running.metrics.expose()).split('\n').filter((line) => line.startsWith('rtml_model_info{'))
  expect(series.length).toBeLessThan(60)
  // What was taken back is gone for whoever reads the topic from its start, too.
  const other = await openRegistry(running.plan, { engine, clock: systemClock })
  await registry.catchUp()
  for (const { gallery } of [registry, other]) {
    const versions = gallery.versions('score')
    expect(versions.length).toBeLessThan(260)
    expect(versions.filter(({ onnx }) => onnx.at === 'inline').length).toBeLessThan(50)
    const { revisions } = gallery.service('score')!
    expect(revisions.length).toBeLessThan(210)
    expect(revisions.at(-1)).toMatchObject({ roles: [{ version: `v${SWAPS - 1}` }] })
  }
}, 240_000)
