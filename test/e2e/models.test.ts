/** Models that come, serve and go while events flow. */
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import type { EmbeddedEngine } from '../../processors/engine/embedded/engine.ts'
import { decodeSamples, type ProfileScores } from '../../processors/outputs/index.ts'
import {
  disableModel,
  enableModel,
  type Operations,
  promoteModel,
  pushModel,
  rollbackModel,
} from '../../processors/runtime/gallery/operations.ts'
import { eventually } from '../engine/contract/conditions.ts'
import { identityModel, node } from '../unit/scorer/proto-writer.ts'
import {
  everything,
  folder,
  openData,
  PATIENCE,
  range,
  raw,
  SHOP,
  type Started,
  scoresIn,
  shopEvent,
  start,
} from './harness.ts'

const operations = ({ registry, scorer, plan }: Started): Operations => ({
  registry: registry!,
  expressions: plan.expressions,
  check: (model) => scorer.check(model),
  now: () => new Date().toISOString(),
})
const by = 'ann'
const minus = identityModel({ nodes: [node('Neg', ['x'], ['y'])] })

const serves = (running: Started, revision: number) =>
  eventually(`revision ${revision} serves`, PATIENCE, () => running.models!.services()[0]!.serving === revision)

async function scored(engine: EmbeddedEngine, count: number): Promise<ProfileScores[]> {
  return eventually(`${count} events are scored`, PATIENCE, async () => {
    const scores = await scoresIn(engine)
    return scores.length >= count && scores
  })
}

it(
  'takes a version from push through shadow, 5 % and 50 % to all, and back, while events flow',
  async () => {
    await using place = await folder()
    await using engine = await openData(place.data)
    await using running = await start(place.file, engine)
    const app = operations(running)
    const steps = [
      () => pushModel(app, { name: 'score', bytes: minus, by, origin: 'push' }),
      () => promoteModel(app, { name: 'score', by }),
      () => promoteModel(app, { name: 'score', by, why: 'better', evidence: { auc: 0.9 } }),
      () => promoteModel(app, { name: 'score', by }),
      () => rollbackModel(app, { name: 'score', by, why: 'it was not' }),
    ]
    const customers = 200
    const perStep = 600
    let sent = 0
    const send = async (count: number) => {
      await engine.log.append(raw(range(sent, sent + count).map((n) => shopEvent(n, { customers }))))
      sent += count
    }
    for (const [index, step] of steps.entries()) {
      // Events flow before, during and after each step.
      await send(perStep / 3)
      const change = step()
      await send(perStep / 3)
      await change
      await serves(running, index + 2)
      await send(perStep / 3)
      await scored(engine, sent)
    }
    const scores = await scored(engine, sent)
    expect(scores.map(({ eventId }) => eventId).sort()).toEqual(
      range(0, sent)
        .map((n) => `e${n}`)
        .sort(),
    )
    const byEvent = scores.sort((a, b) => Number(a.eventId.slice(1)) - Number(b.eventId.slice(1)))
    for (const { eventId, scores: all } of byEvent) {
      const count = Math.floor(Number(eventId.slice(1)) / customers) + 1
      const served = all.filter(({ role }) => role !== 'shadow')
      expect([eventId, served.length]).toEqual([eventId, 1])
      // The version that a score names is the one that gave it.
      for (const { version, score } of all)
        expect([eventId, version, score]).toEqual([eventId, version, version === '1' ? count : -count])
    }
    // After the last events of each step: who serves whom.
    const settledPart = (step: number) => byEvent.slice(step * perStep + (perStep * 2) / 3, (step + 1) * perStep)
    const servedBy = (part: ProfileScores[], version: string) =>
      new Set(
        part
          .filter(({ scores: all }) => all.some((it) => it.role !== 'shadow' && it.version === version))
          .map(({ profile }) => profile.id),
      )
    const shares = steps.map((_, step) => servedBy(settledPart(step), '2'))
    expect(shares.map(({ size }) => size)).toEqual([0, expect.any(Number), expect.any(Number), 200, 0])
    expect(shares[1]!.size).toBeGreaterThan(0)
    expect(shares[1]!.size).toBeLessThan(30)
    expect(shares[2]!.size).toBeGreaterThan(70)
    expect(shares[2]!.size).toBeLessThan(130)
    // A profile that the challenger has got stays with it.
    expect([...shares[1]!].filter((id) => !shares[2]!.has(id))).toEqual([])
    const shadowed = settledPart(0).every(({ scores: all }) =>
      all.some((it) => it.role === 'shadow' && it.version === '2'),
    )
    expect(shadowed).toBe(true)

    // Samples have a column for the shadow, and none is lost.
    const samples = (await everything(engine, 'samples')).map(({ value }) => decodeSamples(value!))
    expect(samples.reduce((sum, { rows }) => sum + rows, 0)).toBe(sent)
    const withShadow = samples.filter(({ table }) => table.getChild('score.score@2'))
    expect(withShadow.length).toBeGreaterThan(0)
    for (const { table } of withShadow) {
      const [own, shadow] = ['score.score', 'score.score@2'].map((name) => table.getChild(name)!.toArray())
      for (const at of range(0, table.numRows)) expect(shadow![at]).toBe(-own![at]!)
    }
    // Every step stands in the history with who and why.
    expect(running.registry!.gallery.service('score')!.revisions.map((it) => [it.action, it.by, it.why])).toEqual([
      ['file', 'application file', ''],
      ['file', 'application file', ''],
      ['push', 'ann', ''],
      ['promote', 'ann', ''],
      ['promote', 'ann', 'better'],
      ['promote', 'ann', ''],
      ['rollback', 'ann', 'it was not'],
    ])
  },
  PATIENCE.testMs,
)

describe('a process that starts', () => {
  it(
    'serves what was promoted, whatever the application file says by then',
    async () => {
      await using place = await folder()
      await using engine = await openData(place.data)
      {
        await using running = await start(place.file, engine)
        await pushModel(operations(running), {
          name: 'score',
          bytes: minus,
          version: 'b',
          by,
          origin: 'push',
          role: 'champion',
        })
        await serves(running, 2)
      }
      await using other = await folder(SHOP.replace('version: 1', 'version: 3'))
      await using running = await start(other.file, engine)
      expect(running.scorer.serving().map(({ model, version }) => `${model}@${version}`)).toEqual(['score@b'])
      await engine.log.append(raw([shopEvent(0)]))
      expect((await scored(engine, 1))[0]!.scores).toMatchObject([{ version: 'b', score: -1 }])
      // The version of the application file before is in the log: one can go back to it.
      await rollbackModel(operations(running), { name: 'score', by })
      await serves(running, 3)
      expect(running.scorer.serving().map(({ version }) => version)).toEqual(['1'])
    },
    PATIENCE.testMs,
  )

  it(
    'has nothing to score with until a model is pushed',
    async () => {
      await using place = await folder(SHOP.slice(0, SHOP.indexOf('models:')))
      await using engine = await openData(place.data)
      await using running = await start(place.file, engine)
      await engine.log.append(raw([shopEvent(0)]))
      expect((await scored(engine, 1))[0]!.scores).toEqual([])
      const bytes = await readFile(join(place.dir, 'same.onnx'))
      const app = operations(running)
      await expect(pushModel(app, { name: 'first', bytes, by, origin: 'push' })).rejects.toThrow(/what it is fed with/)
      const manifest = { inputs: ['events_1h'] }
      await pushModel(app, { name: 'first', bytes, manifest, by, origin: 'push' })
      await eventually('it serves', PATIENCE, () => running.scorer.serving().length === 1)
      await engine.log.append(raw([shopEvent(10)]))
      const last = (await scored(engine, 2)).find(({ eventId }) => eventId === 'e10')
      expect(last!.scores).toMatchObject([{ model: 'first', version: '1', role: 'champion', score: 2 }])
    },
    PATIENCE.testMs,
  )
})

describe('a version that does not fit', () => {
  it(
    'is refused before it is published',
    async () => {
      await using place = await folder()
      await using engine = await openData(place.data)
      await using running = await start(place.file, engine)
      const app = operations(running)
      const push = (request: Partial<Parameters<typeof pushModel>[1]>) =>
        pushModel(app, { name: 'score', bytes: minus, by, origin: 'push', ...request })
      await expect(push({ bytes: Buffer.from('no model') })).rejects.toThrow(/MODEL_LOAD .*not an ONNX file/)
      await expect(push({ manifest: { inputs: ['event_1h'] } })).rejects.toThrow(
        /MODEL_INPUT .*Did you mean "events_1h"/,
      )
      await expect(push({ manifest: { inputs: ['events_1h'], when: '1 +' } })).rejects.toThrow(
        /MODEL_ROUTING .*when: column 4/,
      )
      await expect(push({ version: 'a/b' })).rejects.toThrow(/MODEL_ROUTING .*a version is/)
      expect((await everything(engine, 'models')).length).toBe(0)
    },
    PATIENCE.testMs,
  )

  it(
    'never serves when its record comes another way: the revision before goes on, and health says so',
    async () => {
      await using place = await folder()
      await using engine = await openData(place.data)
      await using running = await start(place.file, engine)
      const { registry } = running
      const bad = {
        model: 'score',
        version: '9',
        service: 'score',
        origin: 'push',
        at: new Date().toISOString(),
        by,
      } as const
      await registry!.publish({ ...bad, manifest: { inputs: ['unknown'] } }, { bytes: minus })
      const roles = [{ model: 'score', version: '9', role: 'champion' as const, share: 0 }]
      await registry!.change({
        service: 'score',
        action: 'route',
        by,
        change: () => ({ roles, disabled: false, blocked: [] }),
      })
      const problems = await eventually('a problem is named', PATIENCE, () => {
        const found = running.models!.problems()
        return found.length > 0 && found
      })
      expect(problems[0]).toMatch(/models of score: revision 1 serves, not revision 2 \(score@9: MODEL_INPUT .*unknown/)
      await engine.log.append(raw([shopEvent(0)]))
      expect((await scored(engine, 1))[0]!.scores).toMatchObject([{ version: '1', score: 1 }])
      await rollbackModel(operations(running), { name: 'score', by })
      await serves(running, 3)
      expect(running.models!.problems()).toEqual([])
    },
    PATIENCE.testMs,
  )
})

it(
  'switches a service off and on again',
  async () => {
    await using place = await folder()
    await using engine = await openData(place.data)
    await using running = await start(place.file, engine)
    const app = operations(running)
    await disableModel(app, { name: 'score', by, why: 'a leak' })
    await serves(running, 2)
    await engine.log.append(raw([shopEvent(0)]))
    expect((await scored(engine, 1))[0]!.scores).toEqual([])
    await enableModel(app, { name: 'score', by })
    await serves(running, 3)
    await engine.log.append(raw([shopEvent(10)]))
    expect((await scored(engine, 2)).find(({ eventId }) => eventId === 'e10')!.scores).toMatchObject([{ score: 2 }])
  },
  PATIENCE.testMs,
)
