/** Two processes on Kafka and Redis: a hub that maps and scores, an edge that answers. The edge lives on without the hub. */
import { randomUUID } from 'node:crypto'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { parseRoles } from '../../processors/app/roles.ts'
import { Edge } from '../../processors/edge/edge.ts'
import { createServer } from '../../processors/edge/server.ts'
import { openApplicationFile } from '../../processors/host/application-file.ts'
import { startWorker } from '../../processors/host/start.ts'
import { silentLogger } from '../../processors/runtime/telemetry.ts'
import { classifier } from '../edge/models.ts'
import { eventually } from '../engine/contract/conditions.ts'
import { SERVICE_PATIENCE as PATIENCE, uniquePrefix } from './fixtures.ts'
import { environment, services, unavailable } from './harness.ts'

const application = (prefix: string) => `
rtml: 1
name: shop
topicPrefix: ${prefix}
partitions: 1
sources: { web: { mapping: websdk } }
edge: { deadline: 5s }
features:
  views: { kind: count, window: 1h }
  events: { kind: count, window: 24h }
  spent: { kind: sum, value: commerce.order.priceTotal }
  page: { kind: last, value: web.webPageDetails.name, encode: { vocabulary: [home, cart, checkout] }, default: home }
models:
  propensity: { file: propensity.onnx, inputs: [views, events, spent, page], service: buy, deadline: 5s, fallback: { prior: 0.25 } }
`

describe.skipIf(await unavailable())('a process with the role edge alone', () => {
  it('answers without the hub, says how old what it knows is, and catches up', { timeout: 120_000 }, async () => {
    await using cleanUp = new AsyncDisposableStack()
    const dir = await mkdtemp(join(tmpdir(), 'rtml-roles-'))
    cleanUp.defer(() => rm(dir, { recursive: true, force: true }))
    const file = join(dir, 'rtml.yaml')
    await writeFile(file, application(uniquePrefix()))
    await writeFile(join(dir, 'propensity.onnx'), classifier())
    const env = environment(await services())
    const start = (roles: string) =>
      startWorker({
        opened: openApplicationFile(file, env),
        env,
        logger: silentLogger,
        roles: parseRoles(roles, 'test'),
      })
    const hub = await start('mapper,scorer,labels,learner')
    await hub.started
    const worker = cleanUp.use(await start('edge'))
    const running = await worker.started
    expect(running.service.status()).toEqual([])
    const edge = cleanUp.use(await Edge.open({ running, env }))
    const server = await createServer({
      health: () => worker.health(),
      metrics: () => worker.metrics.expose(),
      metricsType: worker.metrics.contentType,
      overview: () => {
        throw new Error('nobody asks')
      },
      figures: worker.metrics,
      consoleDir: async () => dir,
      clock: edge.clock,
      edge: () => edge,
    })
    cleanUp.defer(() => server.close())
    const ecid = randomUUID().replaceAll('-', '')
    const identityMap = { ECID: [{ id: ecid, primary: true }] }
    const send = async () => {
      const xdm = { _id: randomUUID(), eventType: 'web.webpagedetails.pageViews', identityMap }
      const payload = { events: [{ xdm }] }
      const answer = await server.inject({ method: 'POST', url: '/ee/v2/collect?dataStreamId=web', payload })
      expect(answer.statusCode).toBe(202)
    }
    const predict = async () => {
      const payload = { identity: { namespace: 'ECID', id: ecid } }
      const { statusCode, body } = await server.inject({
        method: 'POST',
        url: '/v1/predict/buy?features=true',
        payload,
      })
      expect(statusCode).toBe(200)
      const [prediction] = JSON.parse(body).predictions
      const views = prediction.features.find(({ feature }: { feature: string }) => feature === 'views').value
      return { views, model: prediction.model, ...prediction.state } as {
        views: number
        model: string
        status: string
        pendingEvents: number
        stalenessMs: number
      }
    }
    const stored = (views: number) =>
      eventually(`${views} views are in the store`, { ...PATIENCE, deadlineMs: 60_000 }, async () => {
        const found = await predict()
        return found.pendingEvents === 0 && found.views === views
      })
    await send()
    await stored(1)
    await hub[Symbol.asyncDispose]()
    // Accepted, durable, visible here at once; the store is as old as it says.
    await send()
    expect(await predict()).toMatchObject({ views: 2, model: 'propensity', status: 'found', pendingEvents: 1 })
    expect((await predict()).stalenessMs).toBeGreaterThan(0)
    expect(worker.health()).toMatchObject({ isLive: true, isReady: true })
    const back = cleanUp.use(await start('mapper,scorer'))
    await back.started
    await stored(2)
  })

  it('is refused on the embedded engine, with the reason', async () => {
    const dir = await mkdtemp(join(tmpdir(), 'rtml-roles-'))
    await writeFile(join(dir, 'rtml.yaml'), application('alone.').split('models:')[0]!)
    const opened = openApplicationFile(join(dir, 'rtml.yaml'), {})
    const starting = startWorker({
      opened,
      env: {},
      logger: silentLogger,
      dataDir: join(dir, 'data'),
      roles: parseRoles('edge', 'test'),
    })
    await expect(starting).rejects.toThrow(/does everything in one process/)
    await rm(dir, { recursive: true, force: true })
  })
})
