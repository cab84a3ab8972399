/** A decision that learns which offer pays, from displays and interactions in the log, in time that the test moves. */
import { expect, it } from 'vitest'
import { type EpochMs, epochMs, type Ms } from '../../processors/app/units.ts'
import { Arms } from '../../processors/edge/arms.ts'
import { securityFrom } from '../../processors/edge/auth/security.ts'
import { Edge } from '../../processors/edge/edge.ts'
import { createServer } from '../../processors/edge/server.ts'
import type { Engine, NewRecord } from '../../processors/engine/ports.ts'
import { SeededRandom } from '../../processors/learner/random.ts'
import { parseExposures } from '../../processors/runtime/rules/exposures.ts'
import { eventually } from '../engine/contract/conditions.ts'
import { everything, folder, openData, settled, start } from './harness.ts'

const APPLICATION = `
rtml: 1
name: shop
partitions: 2
sources:
  web: { mapping: websdk }
identity: { priority: [Email] }
edge: { datastreams: { web: web }, deadline: 20s }
features:
  events_1h: { kind: count, window: 1h }
decisions:
  hero:
    rules: [{ offer: [ship, ten, gift], explore: { bandit: thompson, random: 0.06 } }]
    offers: { ship: { content: 1 }, ten: { content: 2 }, gift: { content: 3 } }
`
const PATIENCE = { deadlineMs: 15_000, testMs: 60_000 }
const OFFERS = ['ship', 'ten', 'gift']
const RATES: Readonly<Record<string, number>> = { ship: 0.1, ten: 0.5, gift: 0.15 }
const ROUNDS = 5
const VISITORS = 40

/** Wall time that the test moves. */
class HandClock {
  at = Date.parse('2026-01-01T10:00:00Z')
  now = (): EpochMs => epochMs(this.at)
  async sleep(duration: Ms, signal?: AbortSignal): Promise<void> {
    const until = this.at + duration
    // Real time goes by in small steps, so that loops neither spin nor wait for the hands.
    const began = performance.now()
    while (this.at < until && !signal?.aborted && performance.now() - began < 20)
      await new Promise((resolve) => setTimeout(resolve, 5))
  }
  turn = () => new Promise<void>((resolve) => setImmediate(resolve))
}

interface Proposition {
  readonly id: string
  readonly scope: string
  readonly scopeDetails: { readonly experience: { readonly id: string } }
}

const emailOf = (visitor: number) => `v${visitor}@shop.example`
const offerOf = ({ scopeDetails }: Proposition): string => scopeDetails.experience.id

const notAsked = (): never => {
  throw new Error('not asked')
}

it(
  'gives the best offer most often, logs the probability, and counts each display once',
  async () => {
    const clock = new HandClock()
    await using place = await folder(APPLICATION)
    await using engine = await openData(place.data, clock)
    await using running = await start(place.file, engine, { clock })
    const appends: (readonly NewRecord[])[] = []
    const seen: Engine = {
      name: engine.name,
      store: engine.store,
      registry: engine.registry,
      down: () => engine.down(),
      [Symbol.asyncDispose]: async () => {},
      log: new Proxy(engine.log, {
        get(log, name) {
          const value: unknown = Reflect.get(log, name)
          if (typeof value !== 'function') return value
          if (name !== 'append') return value.bind(log)
          return (records: readonly NewRecord[]) => {
            appends.push(records)
            return log.append(records)
          }
        },
      }),
    }
    await using edge = await Edge.open({ running: { ...running, engine: seen }, env: {} })
    const server = await createServer(
      {
        health: notAsked,
        metrics: notAsked,
        metricsType: running.metrics.contentType,
        overview: notAsked,
        figures: notAsked as never,
        consoleDir: notAsked,
        clock,
        edge: () => edge,
      },
      { security: securityFrom({}, '127.0.0.1'), origins: [], record: running.metrics },
    )
    const interact = async (email: string, id: string, xdm: object): Promise<Proposition[]> => {
      const timestamp = new Date(clock.at).toISOString()
      const identityMap = { Email: [{ id: email, primary: true }] }
      const answer = await server.inject({
        method: 'POST',
        url: '/ee/v2/interact?dataStreamId=web',
        payload: {
          event: { xdm: { _id: id, timestamp, identityMap, ...xdm } },
          query: { personalization: { decisionScopes: ['hero'] } },
        },
      })
      expect(answer.statusCode, answer.body).toBe(200)
      const { handle } = answer.json() as { handle: { type: string; payload: Proposition[] }[] }
      return handle.find(({ type }) => type === 'personalization:decisions')?.payload ?? []
    }
    const told = (kind: 'Display' | 'Interact', { id, scope, scopeDetails }: Proposition) => ({
      eventType: `decisioning.proposition${kind}`,
      _experience: {
        decisioning: {
          propositions: [{ id, scope, scopeDetails }],
          propositionEventType: { [kind.toLowerCase()]: 1 },
        },
      },
    })
    /** What the log says, read from its start. */
    const fromLog = async () => {
      const arms = new Arms()
      const total: Record<string, number[]> = {}
      for (const record of await everything(engine, running.plan.topics.exposures)) {
        const exposures = parseExposures(record)
        arms.add(exposures)
        for (const [offer, { displays, interactions }] of exposures) {
          const [n, k] = total[offer] ?? [0, 0]
          total[offer] = [n! + displays, k! + interactions]
        }
      }
      return { shares: arms.shares('hero', OFFERS), total }
    }

    const random = new SeededRandom(5)
    const given: Record<string, number[]> = {}
    const expected = new Map<string, number>()
    let lastRound: string[] = []
    for (let round = 0; round < ROUNDS; round++) {
      const shares = edge.arms.shares('hero', OFFERS)
      const answers: Proposition[] = []
      for (let visitor = 0; visitor < VISITORS; visitor++) {
        const id = `view-${round}-${visitor}`
        const [proposition] = await interact(emailOf(visitor), id, { eventType: 'commerce.productViews' })
        answers.push(proposition!)
        expected.set(id, 0.06 / 3 + 0.94 * shares[OFFERS.indexOf(offerOf(proposition!))]!)
      }
      for (const [visitor, proposition] of answers.entries()) {
        const id = `${round}-${visitor}`
        const offer = `hero/${offerOf(proposition)}`
        const count = given[offer] ?? [0, 0]
        given[offer] = count
        count[0]!++
        // The browser sends it twice: it counts once.
        for (let times = 0; times < 2; times++)
          await interact(emailOf(visitor), `seen-${id}`, told('Display', proposition))
        if (random.next() >= RATES[offerOf(proposition)]!) continue
        count[1]!++
        await interact(emailOf(visitor), `used-${id}`, told('Interact', proposition))
      }
      lastRound = answers.map(offerOf)
      // What waits in front of the log for longer than its bound is given up: not here.
      await eventually('the log has it', PATIENCE, () => edge.intake.waitingBytes === 0)
      clock.at += 60_000
      await settled(running)
      const inLog = await eventually('all is counted', PATIENCE, async () => {
        const { shares, total } = await fromLog()
        return JSON.stringify(Object.entries(total).sort()) === JSON.stringify(Object.entries(given).sort()) && shares
      })
      await eventually('the edge has read it', PATIENCE, () =>
        edge.arms.shares('hero', OFFERS).every((share, index) => share === inLog[index]),
      )
    }
    await server.close()

    expect(edge.arms.shares('hero', OFFERS)[1]).toBeGreaterThan(0.95)
    expect(lastRound.filter((offer) => offer === 'ten').length).toBeGreaterThan(0.7 * VISITORS)
    const logged = (await everything(engine, 'decisions')).map(({ value }) => JSON.parse(value!.toString()))
    expect(logged).toHaveLength(ROUNDS * VISITORS)
    for (const { eventId, decisions } of logged) expect(decisions[0].propensity).toBeCloseTo(expected.get(eventId)!, 12)

    // A decision is in the same append as its event: nothing can come between.
    for (const records of appends) {
      const decided = records.filter(({ topic }) => topic === 'decisions')
      const viewed = records.filter(({ topic, value }) => topic === 'raw.web' && value!.includes('"view-'))
      const ids = decided.map(({ value }) => JSON.parse(value!.toString()).eventId as string)
      expect(viewed).toHaveLength(ids.length)
      for (const [index, id] of ids.entries()) expect(viewed[index]!.value!.includes(`"${id}"`)).toBe(true)
    }
  },
  PATIENCE.testMs,
)
