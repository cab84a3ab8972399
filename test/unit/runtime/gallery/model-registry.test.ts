import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { applicationSchema } from '../../../../processors/app/schema.ts'
import { systemClock } from '../../../../processors/app/system-clock.ts'
import { openEmbedded } from '../../../../processors/engine/embedded/engine.ts'
import type { Engine } from '../../../../processors/engine/ports.ts'
import {
  addShadow,
  block,
  currentOf,
  type NewVersion,
  promote,
  rollback,
} from '../../../../processors/gallery/index.ts'
import { fileModel } from '../../../../processors/runtime/gallery/file-models.ts'
import { ModelRegistry } from '../../../../processors/runtime/gallery/model-registry.ts'

const AT = '2026-01-01T00:00:00.000Z'
const dir = mkdtempSync(join(tmpdir(), 'rtml-registry-'))
let engine: Engine
beforeAll(async () => {
  engine = await openEmbedded({ dir, clock: systemClock, upkeep: 'off' })
})
afterAll(async () => {
  await engine[Symbol.asyncDispose]()
  rmSync(dir, { recursive: true, force: true })
})

const app = applicationSchema.parse({
  rtml: 1,
  name: 'shop',
  sources: { web: { mapping: 'm.yaml' } },
  models: { trees: { file: 'trees.onnx', inputs: ['a'], service: 'home', version: '1' } },
})
const sha256 = '9834876dcfb05cb167a5c24953eba58c4ac89b1adf57f28f2f9d09af107ee8f0'
const initial = [fileModel('trees', app.models.trees!, { bytes: Buffer.from('aaa'), sha256 }, AT)]
const version = (name: string): NewVersion => ({
  model: 'trees',
  version: name,
  service: 'home',
  origin: 'push',
  manifest: { inputs: ['a'] },
  at: AT,
  by: 'me',
})
const me = { by: 'me', service: 'home' }

let topics = 0
async function newTopic(): Promise<string> {
  const topic = `models${topics++}`
  await engine.log.ensureTopics([{ topic, partitions: 1, cleanup: 'compact' }])
  return topic
}
let ids = 0
const open = (topic: string, more: Partial<Parameters<typeof ModelRegistry.open>[0]> = {}) =>
  ModelRegistry.open({ log: engine.log, topic, clock: systemClock, initial, newId: () => `id${ids++}`, ...more })

describe('ModelRegistry', () => {
  it('publishes versions and routings that every other reader adds up to the same', async () => {
    const topic = await newTopic()
    const registry = await open(topic)
    await registry.publish(version('2'), { bytes: Buffer.from('bbb') })
    await registry.change({ ...me, action: 'push', change: (it) => addShadow(it, { model: 'trees', version: '2' }) })
    const target = { model: 'trees', version: '2' }
    await registry.change({ ...me, action: 'promote', change: (it) => promote(it, target, 0.5), why: 'better' })
    await registry.change({ ...me, action: 'promote', change: (it) => promote(it, target, 1), evidence: { auc: 0.9 } })
    // The file may have changed by then: what its model was stands in the log.
    const other = await open(topic, { initial: [] })
    const service = other.gallery.service('home')!
    expect(service.revisions.map(({ revision, action }) => [revision, action])).toEqual([
      [1, 'file'],
      [2, 'push'],
      [3, 'promote'],
      [4, 'promote'],
    ])
    expect(service.revisions[2]).toMatchObject({
      roles: [
        { model: 'trees', version: '1', role: 'champion' },
        { version: '2', role: 'arm', share: 0.5, ranges: [[0, 0.5]] },
      ],
      why: 'better',
    })
    expect(currentOf(service)).toMatchObject({ roles: [{ version: '2', role: 'champion' }], evidence: { auc: 0.9 } })
    for (const [name, text] of [
      ['1', 'aaa'],
      ['2', 'bbb'],
    ] as const) {
      expect(Buffer.from(await other.bytes(other.gallery.version('trees', name)!)).toString()).toBe(text)
    }
    const back = await other.change({ ...me, action: 'rollback', change: (it) => rollback(it) })
    expect(back).toMatchObject({ revision: 5, roles: [{ version: '1', role: 'champion' }], blocked: ['trees@2'] })
    await registry.catchUp()
    expect(registry.gallery.service('home')!.revisions.at(-1)).toEqual(back)
  })

  it('lets the first of two operators win, and tells the other who was faster', async () => {
    const topic = await newTopic()
    const [one, two] = [await open(topic), await open(topic)]
    for (const name of ['2', '3']) await one.publish(version(name), { bytes: Buffer.from(name) })
    const promoting = (registry: ModelRegistry, name: string, by: string) =>
      registry.change({
        service: 'home',
        action: 'promote',
        by,
        change: (it) => promote(it, { model: 'trees', version: name }, 1),
      })
    const results = await Promise.allSettled([promoting(one, '2', 'ann'), promoting(two, '3', 'bob')])
    expect(results.filter(({ status }) => status === 'fulfilled')).toHaveLength(1)
    const refused = results.find((it) => it.status === 'rejected')!
    expect(refused.reason).toMatchObject({ code: 'MODEL_CONFLICT' })
    expect(String(refused.reason)).toMatch(/at revision 2 \(promote by (ann|bob) at .*from revision 1/)
    await Promise.all([one.catchUp(), two.catchUp()])
    expect(one.gallery.service('home')).toEqual(two.gallery.service('home'))
    // A change that was made from an older revision than the newest is refused before anything is written.
    const late = one.change({ ...me, action: 'rollback', revision: 0, change: (it) => rollback(it) })
    await expect(late).rejects.toMatchObject({ code: 'MODEL_CONFLICT' })
  })

  it('refuses what makes no sense, and writes nothing', async () => {
    const topic = await newTopic()
    const registry = await open(topic)
    await registry.publish(version('2'), { bytes: Buffer.from('b') })
    const before = registry.position
    const reject = (change: Parameters<ModelRegistry['change']>[0]['change'], text: RegExp) =>
      expect(registry.change({ ...me, action: 'route', change })).rejects.toThrow(text)
    const roles =
      (...list: Parameters<typeof promote>[1][]) =>
      () => ({
        roles: list.map((it) => ({ ...it, role: 'champion' as const, share: 0 })),
        disabled: false,
        blocked: [],
      })
    await reject(roles({ model: 'trees', version: '9' }), /trees@9: there is no such version/)
    await reject(roles({ model: 'trees', version: '1' }, { model: 'trees', version: '2' }), /one champion only/)
    await reject((it) => promote(it, { model: 'trees', version: '2' }, 1.5 - 2), /ranges|share/)
    await reject((it) => block(it, { model: 'trees', version: '1' }), /it is the champion/)
    await reject((it) => rollback(it), /no former champion/)
    await expect(registry.publish(version('2'), { bytes: Buffer.from('other') })).rejects.toThrow(/another ONNX file/)
    await expect(registry.publish({ ...version('3'), service: 'cart' }, { bytes: Buffer.from('c') })).rejects.toThrow(
      /belongs to the service home/,
    )
    await registry.catchUp()
    expect(registry.position).toBe(before)
  })

  it('keeps large files in pieces, and drops files that nobody can go back to', async () => {
    const topic = await newTopic()
    const registry = await open(topic)
    const large = Buffer.alloc(1_500_000, 3)
    await registry.publish(version('0'), { bytes: large })
    expect(Buffer.from(await registry.bytes(registry.gallery.version('trees', '0')!)).equals(large)).toBe(true)
    for (let i = 2; i < 25; i++) await registry.publish(version(`${i}`), { bytes: Buffer.from(`bytes ${i}`) })
    const at = (name: string) => registry.gallery.version('trees', name)!.onnx.at
    expect([at('0'), at('2'), at('24')]).toEqual(['dropped', 'dropped', 'inline'])
    await expect(registry.bytes(registry.gallery.version('trees', '0')!)).rejects.toThrow(/no longer kept/)
    const change = () => ({
      roles: [{ model: 'trees', version: '0', role: 'champion' as const, share: 0 }],
      disabled: false,
      blocked: [],
    })
    await expect(registry.change({ ...me, action: 'route', change })).rejects.toThrow(/Push it again/)
    await registry.publish(version('0'), { bytes: large })
    expect(at('0')).toBe('chunks')
  })

  it('passes over what it did not write, and names it', async () => {
    const topic = await newTopic()
    await engine.log.append([{ topic, key: Buffer.from('nonsense'), value: Buffer.from('{"kind":"version"}') }])
    const refused: string[] = []
    const registry = await open(topic, { onRefused: (error, at) => refused.push(`${at} ${error.message}`) })
    expect(refused).toEqual([expect.stringMatching(/^0 DECODE nonsense: /)])
    await registry.report({ model: 'trees', version: '1', service: 'home' }, { auc: 0.8 })
    await registry.catchUp()
    expect(registry.gallery.metrics('trees', '1')?.metrics).toEqual({ auc: 0.8 })
  })
})
