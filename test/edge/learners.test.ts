import { Ajv2020 } from 'ajv/dist/2020.js'
import addFormats from 'ajv-formats'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { append, examples, served } from '../learning/harness.ts'
import { eventually, type Fixture, fixture } from './fixture.ts'

const LEARNING = `
labels:
  buy: { outcome: 'commerce.purchases.value > 0', window: 1h }
learners:
  online:
    label: buy
    service: buy
    features: [views, events]
    publish: { every: 50ms }
  idle: { label: buy, service: buy, features: [views] }
`

let shop: Fixture
beforeAll(async () => {
  shop = await fixture({ application: (text) => text + LEARNING })
})
afterAll(() => shop[Symbol.asyncDispose]())

it('shows what a learner that runs in a thread of its own has learned, and how it compares', async () => {
  const { engine, edge, server } = shop
  const list = (await server.inject('/v1/learners')).json()
  expect(list.learners.map(({ name }: { name: string }) => name)).toEqual(['online', 'idle'])

  // The columns of the shop are views, events, spent and the page's: the examples' two are the first ones.
  const made = examples({
    count: 600,
    scores: (x) => [served('propensity', '7', 'champion', 1 / (1 + Math.exp(-0.2 * x[0]!)))],
  })
  const width = edge.plan.featureSet.columns.length
  await append(
    engine,
    edge.plan,
    made.map((it) => ({ ...it, features: Buffer.concat([it.features, Buffer.alloc(4 * (width - 2))]) })),
  )
  const learner = await eventually('600 labels', async () => {
    const answer = (await server.inject('/v1/learners/online')).json()
    return answer.labels === 600 && answer.version !== null ? answer : undefined
  })
  expect(learner).toMatchObject({ state: 'shadow', share: 0, rival: 'propensity', step: -1, lagRecords: 0 })
  expect(learner.models.learner.logLoss).toBeLessThan(learner.models['propensity@7'].logLoss)
  expect(learner.models.learner.auc).toBeGreaterThan(0.8)
  expect(learner.curve.length).toBeGreaterThan(3)
  expect(learner.version).toMatch(/^600-[0-9a-f]{8}$/)

  const { paths } = (await server.inject('/openapi.json')).json()
  const ajv = addFormats.default(new Ajv2020({ strict: false }))
  const schema = paths['/v1/learners/{learner}'].get.responses['200'].content['application/json'].schema
  expect(ajv.validate(schema, learner), ajv.errorsText()).toBe(true)

  expect((await server.inject('/v1/learners/nobody')).statusCode).toBe(404)
  const metrics = await eventually('metrics of all labels', async () => {
    const { body } = await server.inject('/metrics')
    return /rtml_learner_learned\{learner="online"\} 600/.test(body) ? body : undefined
  })
  expect(metrics).toMatch(/rtml_model_quality\{learner="online",model="learner",figure="auc"\} 0\.[89]/)
})

it('is in the gallery with its version, as a shadow', async () => {
  const { revisions } = await eventually('a routing', async () => {
    const { openModels } = await import('../learning/harness.ts')
    const models = await openModels(shop.engine, shop.edge.plan)
    const service = models.gallery.service('buy')!
    return service.revisions.at(-1)!.roles.some(({ model }) => model === 'online') ? service : undefined
  })
  const roles = revisions.at(-1)!.roles
  expect(roles.find(({ model }) => model === 'propensity')!.role).toBe('champion')
  expect(roles.find(({ model }) => model === 'online')).toMatchObject({ role: 'shadow' })
})
