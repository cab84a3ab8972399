import { describe, expect, it } from 'vitest'
import { topicNames } from '../../processors/app/topics.ts'
import { eventually } from '../engine/contract/conditions.ts'
import { APP, append, examples, learn, learned, prepare, served, shop } from '../learning/harness.ts'
import { openFixture, SERVICE_PATIENCE } from './fixtures.ts'
import { unavailable } from './harness.ts'

describe.skipIf(await unavailable())('learners on Kafka and Redis', () => {
  it(
    'learn each example once, and go on in another process from where the first one was',
    async () => {
      await using folder = await shop(APP)
      const { engine, prefix, close } = await openFixture()
      try {
        const app = { ...folder.plan.app, topicPrefix: prefix }
        const plan = { ...folder.plan, app, topics: topicNames(app) }
        await prepare(engine, plan)
        // The learner's own scores, as they would have been logged: better than the old model's.
        const scores = (x: Float32Array) => {
          const own = 1 / (1 + Math.exp(-1.4 * x[0]! + 1.9 * x[1]!))
          return [served('old', '1', 'champion', 0.5), served('online', '1', 'shadow', own)]
        }
        {
          await using first = await learn(engine, plan)
          await append(engine, plan, examples({ count: 300, scores }))
          expect((await learned(engine, plan)).status().learned).toBe(300)
          expect(first.isOwner).toBe(true)
        }
        await append(engine, plan, examples({ count: 900, from: 300, seed: 2, scores }))
        await using second = await learn(engine, plan)
        expect((await learned(engine, plan)).status().learned).toBe(1_200)
        const { models } = second
        await eventually('its version has a role', SERVICE_PATIENCE, async () => {
          await models.catchUp()
          const roles = models.gallery.service('buy')?.revisions.at(-1)?.roles ?? []
          return roles.some(({ model, version }) => model === 'online' && version.startsWith('1200-'))
        })
      } finally {
        await close()
      }
    },
    SERVICE_PATIENCE.testMs * 2,
  )
})
