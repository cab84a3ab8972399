/** The registry of models from the command line, beside a running service: two processes, one log. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { eventually } from '../engine/contract/conditions.ts'
import { identityModel, node } from '../unit/scorer/proto-writer.ts'
import { rtml, runService, type Service } from './rtml.ts'

const PATIENCE = { deadlineMs: 60_000, testMs: 180_000 }
let cwd: string
let service: Service
beforeAll(async () => {
  cwd = await mkdtemp(join(tmpdir(), 'rtml-cli-models-'))
  expect(await rtml(['init'], { cwd })).toMatchObject({ code: 0 })
  await writeFile(join(cwd, 'same.onnx'), identityModel())
  await writeFile(join(cwd, 'minus.onnx'), identityModel({ nodes: [node('Neg', ['x'], ['y'])] }))
  service = await runService(cwd)
}, PATIENCE.testMs)
afterAll(async () => {
  await service[Symbol.asyncDispose]()
  await rm(cwd, { recursive: true, force: true })
})

const models = (...args: string[]) => rtml(['models', ...args], { cwd })
const serving = (revision: number) =>
  eventually(`the service serves revision ${revision}`, PATIENCE, async () => {
    const answer = await fetch(`${service.address}/v1/services/buy`)
    if (!answer.ok) return false
    const body = (await answer.json()) as {
      serving: number
      models: { model: string; version: string; role: string }[]
    }
    return body.serving === revision && body.models.map((it) => `${it.model}@${it.version} ${it.role}`)
  })

it(
  'pushes, promotes and rolls back while the service runs, and says who did what',
  async () => {
    const first = await models('push', 'same.onnx', '--for', 'buy', '--inputs', 'events_1h', '--version', '1')
    expect(first).toMatchObject({
      code: 0,
      stderr: '',
      stdout: expect.stringContaining('buy, revision 1: buy@1 champion'),
    })
    expect(await serving(1)).toEqual(['buy@1 champion'])
    const refused = await models('push', 'minus.onnx', '--for', 'buy', '--inputs', 'event_1h')
    expect(refused).toMatchObject({ code: 1, stderr: expect.stringContaining('Did you mean "events_1h"?') })
    expect(await models('push', 'minus.onnx', '--for', 'buy', '--why', 'fresh')).toMatchObject({ code: 0 })
    expect(await serving(2)).toEqual(['buy@1 champion', 'buy@2 shadow'])
    const promoted = await models('promote', 'buy@2', '--all', '--by', 'ann', '--json')
    expect(JSON.parse(promoted.stdout)).toMatchObject({ revision: 3, action: 'promote', by: 'ann' })
    expect(await serving(3)).toEqual(['buy@2 champion'])
    expect(await models('promote', 'buy@2')).toMatchObject({
      code: 1,
      stderr: expect.stringContaining('champion already'),
    })
    expect(await models('rollback', 'buy', '--revision', '2')).toMatchObject({
      code: 1,
      stderr: expect.stringContaining('MODEL_CONFLICT'),
    })
    expect((await models('rollback', 'buy', '--why', 'it fell')).stdout).toBe('buy, revision 4: buy@1 champion\n')
    expect(await serving(4)).toEqual(['buy@1 champion'])
    const { history, versions } = JSON.parse((await models('show', 'buy', '--json')).stdout)
    expect(history.map(({ action, why }: { action: string; why: string }) => [action, why])).toEqual([
      ['push', ''],
      ['push', 'fresh'],
      ['promote', ''],
      ['rollback', 'it fell'],
    ])
    expect(versions).toMatchObject([
      { version: '1', share: 1 },
      { version: '2', share: 0 },
    ])
    expect((await models('list')).stdout).toMatch(/^buy +4 +buy@1 +- +on$/m)
  },
  PATIENCE.testMs,
)
