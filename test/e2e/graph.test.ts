/** A graph of fifteen nodes over a real shop's events: the stream and the edge answer what Python answered (models/luma/graph). */
import { readFileSync } from 'node:fs'
import { copyFile } from 'node:fs/promises'
import { join } from 'node:path'
import { gunzipSync } from 'node:zlib'
import { expect, it } from 'vitest'
import { parse, stringify } from 'yaml'
import { systemClock } from '../../processors/app/system-clock.ts'
import { securityFrom } from '../../processors/edge/auth/security.ts'
import { Edge } from '../../processors/edge/edge.ts'
import { createServer } from '../../processors/edge/server.ts'
import { readBundle } from '../../processors/graph/bundle.ts'
import { folder, openData, PATIENCE, type Started, scoresIn, settled, start } from './harness.ts'

const LUMA = join(import.meta.dirname, '../../examples/luma')
const BUNDLE = join(import.meta.dirname, '../../models/luma/graph/bundle.zip')
/** Of models/luma/graph/questions.ts. */
const EVENTS = 4_000

interface Question {
  readonly event: { readonly _id: string }
  readonly profile: { readonly features: Readonly<Record<string, number | null>> }
}

it(
  'answers real events on the stream and over HTTP as Python does',
  async () => {
    const application = parse(readFileSync(join(LUMA, 'rtml.yaml'), 'utf8'))
    const { name, rtml, sources, identity, events, features } = application
    const models = { mix: { file: 'bundle.zip', version: 3, deadline: '30s', fallback: { prior: 0.5 } } }
    await using place = await folder(stringify({ rtml, name, sources, identity, events, features, models }))
    await copyFile(BUNDLE, join(place.dir, 'bundle.zip'))
    await using engine = await openData(place.data)
    await using running = await start(place.file, engine)
    const lines = gunzipSync(readFileSync(join(LUMA, 'luma_events.jsonl.gz')))
      .toString()
      .split('\n')
      .slice(0, EVENTS)
    const raw = new Map<string, string>()
    const records = lines.map((line) => {
      const { _id, endUserIDs } = JSON.parse(line)
      raw.set(_id, line)
      const ids = endUserIDs._experience
      return { topic: 'raw.web', key: Buffer.from((ids.mcid ?? ids.aaid).id), value: Buffer.from(line) }
    })
    for (let at = 0; at < records.length; at += 250) await engine.log.append(records.slice(at, at + 250))
    await settled(running)

    const { tests } = readBundle(readFileSync(BUNDLE))
    const scored = new Map((await scoresIn(engine)).map((it) => [it.eventId, it]))
    expect(scored.size).toBe(EVENTS)
    const filtered = tests.filter(({ expected }) => expected.output === null)
    expect([tests.length, filtered.length]).toEqual([200, 15])
    for (const { question, expected } of tests) {
      const { event } = question as Question
      const { scores } = scored.get(event._id)!
      // A row that the graph's filter took out has no score, and no fallback in its place.
      if (expected.output === null) expect(scores).toEqual([])
      else {
        const named = Object.fromEntries(scores.map(({ output, score }) => [output, score]))
        for (const [name, want] of Object.entries({ ...numbers(expected.output), ...expected.written?.scores }))
          expect(named[name === 'final' ? 'score' : name]).toBeCloseTo(want as number, 5)
        expect(scores.map(({ model, version, fallback }) => [model, version, fallback])).toContainEqual([
          'mix',
          '3',
          'none',
        ])
        expect(scores[0]?.attributes).toEqual(expected.written?.attributes)
      }
    }

    await using edge = await Edge.open({ running, env: {} })
    const server = await serve(edge, running)
    try {
      const services = (await server.inject('/v1/services')).json()
      expect(services.services).toMatchObject([{ id: 'mix', models: [{ model: 'mix', version: '3' }] }])
      const asked = tests.filter((_, index) => index % 5 === 0)
      const answer = await server.inject({
        method: 'POST',
        url: '/v1/predict/mix',
        payload: { records: asked.map(({ question }) => ask(question as Question)) },
      })
      expect(answer.statusCode).toBe(200)
      for (const [index, { score, fallback }] of answer.json().predictions.entries()) {
        const want = asked[index]!.expected.output
        if (want === null) expect([score, fallback]).toEqual([null, null])
        else expect(score).toBeCloseTo(want.final as number, 5)
      }
    } finally {
      await server.close()
    }
  },
  PATIENCE.testMs,
)

const numbers = (row: Readonly<Record<string, unknown>>) =>
  Object.fromEntries(Object.entries(row).filter(([, value]) => typeof value === 'number'))

/** The event, with the features as they were when it came. */
function ask({ event, profile }: Question) {
  const features = Object.fromEntries(Object.entries(profile.features).filter(([, value]) => value !== null))
  return { xdm: event, features, identity: { namespace: 'ECID', id: '12345678901234567890123456789012345678' } }
}

const notAsked = (): never => {
  throw new Error('not asked')
}

const serve = (edge: Edge, { metrics }: Started) =>
  createServer(
    {
      health: notAsked,
      metrics: notAsked,
      metricsType: metrics.contentType,
      overview: notAsked,
      figures: notAsked as never,
      consoleDir: notAsked,
      clock: systemClock,
      edge: () => edge,
    },
    { security: securityFrom({}, '127.0.0.1'), origins: [], record: metrics },
  )
