/** `rtml run` as a process: killed, told to stop, and twice at once. */
import { expect, it } from 'vitest'
import { folder, openData, PATIENCE, range, raw, SHOP, scoresIn, shopEvent } from '../e2e/harness.ts'
import { eventually } from '../engine/contract/conditions.ts'
import { rtml, runService } from './rtml.ts'

const APP = SHOP.replace('name: shop', 'name: shop\nbatch: { maxEvents: 64 }')
/** Below an hour of events: the score counts those of the last hour. */
const TOTAL = 3_000
const CHUNK = 250
/** Three starts of a process and as many recoveries, on a machine that may be busy. */
const SLOW = { deadlineMs: 120_000, testMs: 240_000 }

/** Each event has one score, and it is the number of its customer's events up to it. */
async function expectExact(data: string): Promise<void> {
  await using engine = await openData(data)
  const written = async () => (await engine.log.bounds('profile.scores')).reduce((sum, { end }) => sum + end, 0)
  await eventually('every event is scored', SLOW, async () => (await written()) >= TOTAL)
  const scores = await scoresIn(engine)
  expect(new Set(scores.map(({ eventId }) => eventId)).size).toBe(TOTAL)
  expect(scores).toHaveLength(TOTAL)
  const wrong = scores.filter(
    ({ eventId, scores: [first] }) => first!.score !== Math.floor(Number(eventId.slice(1)) / 10) + 1,
  )
  expect(wrong).toEqual([])
}

it.each([
  ['SIGKILL', null],
  ['SIGTERM', 0],
] as const)(
  'loses and doubles nothing when it gets %s in the middle of its work',
  async (signal, code) => {
    await using place = await folder(APP)
    const data = `${place.dir}/.rtml`
    {
      await using engine = await openData(data)
      for (const round of range(0, 3)) {
        await using service = await runService(place.dir)
        const before = (await scoresIn(engine)).length
        const from = round * 1_000
        for (let at = from; at < from + 1_000; at += CHUNK)
          await engine.log.append(raw(range(at, at + CHUNK).map((n) => shopEvent(n))))
        await eventually('it is at work', PATIENCE, async () => (await scoresIn(engine)).length > before)
        expect(await service.kill(signal)).toBe(code)
      }
    }
    await using last = await runService(place.dir)
    await expectExact(data)
    expect(await last.kill('SIGTERM')).toBe(0)
  },
  SLOW.testMs,
)

it(
  'shares a directory with a second process, and takes over when that one is killed',
  async () => {
    await using place = await folder(APP)
    const data = `${place.dir}/.rtml`
    await using first = await runService(place.dir)
    await using second = await runService(place.dir)
    {
      await using engine = await openData(data)
      for (let at = 0; at < TOTAL; at += CHUNK) {
        await engine.log.append(raw(range(at, at + CHUNK).map((n) => shopEvent(n))))
        if (at === TOTAL / 2) await second.kill('SIGKILL')
      }
    }
    await expectExact(data)
    expect(await first.kill('SIGTERM')).toBe(0)
  },
  SLOW.testMs,
)

it(
  'answers health, readiness and metrics, and says which port is taken',
  async () => {
    await using place = await folder()
    await using service = await runService(place.dir)
    const ready = () => fetch(`${service.address}/readyz`).then(({ status }) => status === 200)
    await eventually('it is ready', PATIENCE, ready)
    expect(await (await fetch(`${service.address}/healthz`)).json()).toEqual({ status: 'ok', reasons: [] })
    expect(await (await fetch(`${service.address}/metrics`)).text()).toContain('rtml_shards_owned{stage="profile"} 4')
    const { port } = new URL(service.address)
    const other = await rtml(['run', '--port', port, '--data', 'other'], { cwd: place.dir })
    expect(other).toMatchObject({ code: 1, stderr: expect.stringContaining(`port ${port} of 127.0.0.1 is taken`) })
  },
  SLOW.testMs,
)
