import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { describe, expect, it } from 'vitest'
import { epochMs } from '../../processors/app/units.ts'
import { openApplicationFile } from '../../processors/host/application-file.ts'
import { referenceVectors } from '../unit/features/reference.ts'
import { ExpectedProfile } from './j1/expected.ts'
import { generate } from './j1/generate.ts'
import { JOB, keyOf, type RawClick } from './j1/job.ts'

const clicksOf = (events: number, seed: number): RawClick[] =>
  [...generate({ events, seed })].map(({ json }) => JSON.parse(json) as RawClick)

const bench = async (...args: string[]) => {
  const main = fileURLToPath(new URL('main.ts', import.meta.url))
  const failed = (error: { code: number; stdout: string; stderr: string }) => error
  const {
    code = 0,
    stdout,
    stderr,
  } = await promisify(execFile)(process.execPath, [main, ...args]).then((it) => ({ code: 0, ...it }), failed)
  return { code, stdout, stderr }
}

describe('the generator of job J1', () => {
  const events = 100_000
  const records = [...generate({ events, seed: 7 })]
  const clicks = records.map(({ json }) => JSON.parse(json) as RawClick)

  it('makes the same records for the same seed, and others for another', () => {
    const digest = (seed: number) => {
      const hash = createHash('sha256')
      for (const { key, json } of generate({ events: 2_000, seed })) hash.update(key).update(json)
      return hash.digest('hex')
    }
    expect(digest(7)).toBe(digest(7))
    expect(digest(7)).not.toBe(digest(8))
  })

  it('makes events of 200 bytes, keyed by identity', () => {
    expect(new Set(records.map(({ json }) => Buffer.byteLength(json)))).toEqual(new Set([JOB.eventBytes]))
    expect(records.every(({ key }, index) => key === keyOf(clicks[index]!.visitor))).toBe(true)
  })

  it('repeats one record in a thousand, soon after the first', () => {
    const first = new Map<string, number>()
    const distances: number[] = []
    for (const [index, { id }] of clicks.entries()) {
      const known = first.get(id)
      if (known === undefined) first.set(id, index)
      else distances.push(index - known)
    }
    expect(distances.length / events).toBeCloseTo(JOB.duplicates, 3)
    expect(Math.max(...distances)).toBeLessThanOrEqual(3 * JOB.repeatWithin)
  })

  it('puts one event in a hundred up to a minute back', () => {
    let latest = 0
    let late = 0
    for (const { time } of clicks) {
      if (latest - time > 2_000) late++
      expect(latest - time).toBeLessThanOrEqual(JOB.lateMs + 2_000)
      latest = Math.max(latest, time)
    }
    expect(late / events).toBeCloseTo(JOB.outOfOrder, 2)
  })

  it('prefers few profiles as Zipf 1.1 does', () => {
    const counts = new Map<string, number>()
    for (const { key } of records) counts.set(key, (counts.get(key) ?? 0) + 1)
    const sorted = [...counts.values()].sort((a, b) => b - a)
    expect(sorted[0]! / sorted[9]!).toBeCloseTo(10 ** JOB.zipf, -1)
    expect(counts.size).toBeGreaterThan(15_000)
  })
})

describe('what the checker expects', () => {
  it('is what the slow reference says, also of busy profiles and after the longest window', () => {
    const file = fileURLToPath(new URL('j1/rtml.yaml', import.meta.url))
    const { app } = openApplicationFile(file, {})
    // Few events over the whole span, so that windows end; and the same ones an hour wide, so that they are full.
    for (const squeeze of [1, 30]) {
      const profile = new ExpectedProfile()
      const seen = new Set<string>()
      const clicks = clicksOf(600, 11)
        .filter(({ id }) => !seen.has(id) && seen.add(id))
        .map((click) => ({ ...click, time: JOB.startMs + Math.floor((click.time - JOB.startMs) / squeeze) }))
      const reference = referenceVectors(
        app,
        clicks.map(({ id, time, type, sku, amount }) => ({
          id,
          ts: epochMs(time),
          key: 'ECID:1',
          xdm: {
            _id: id,
            timestamp: new Date(time).toISOString(),
            eventType: type,
            ...(sku === undefined ? {} : { productListItems: [{ SKU: sku, priceTotal: amount }] }),
          },
        })),
      )
      for (const [index, click] of clicks.entries()) {
        const expected = profile.next(click)
        const { updated, vector } = reference[index]!
        expect(updated).toBe('applied')
        const [activity, known] = [expected.at(-1)!, vector.floats.at(-1)!]
        expect(Math.abs(activity - known)).toBeLessThan(1e-5 * known)
        expect([...expected.subarray(0, -1)]).toEqual([...vector.floats.subarray(0, -1)])
      }
    }
  })
})

describe('npm run bench', () => {
  it('runs the job on the embedded engine, finds nothing wrong, and prints the agreed keys', {
    timeout: 120_000,
  }, async () => {
    const { code, stdout } = await bench(
      '--engine',
      'embedded',
      '--events',
      '3000',
      '--only',
      'throughput,check,state',
      '--json',
    )
    const figures = JSON.parse(stdout) as Record<string, unknown>
    expect(Object.keys(figures)).toEqual([
      'eventsPerSecond',
      'p50Ms',
      'p99Ms',
      'cpuSecondsPerMillion',
      'peakRssMb',
      'stateBytesPerProfile',
      'checked',
      'wrong',
      'stages',
    ])
    const unique = new Set(clicksOf(3_000, JOB.seed).map(({ id }) => id)).size
    expect(figures).toMatchObject({ checked: unique, wrong: 0, p99Ms: null })
    expect(figures.stateBytesPerProfile).toBeGreaterThan(50)
    expect(Object.keys(figures.stages as object)).toEqual(
      expect.arrayContaining(['prepare', 'compute', 'outputs', 'apply']),
    )
    expect(code).toBe(0)
  })

  it.each([
    [['--engine', 'pulsar'], /embedded or kafka/],
    [['--engine', 'embedded', '--events', 'many'], /whole number/],
    [['--engine', 'embedded', '--only', 'speed'], /no part speed/],
    [['--engine', 'embedded', '--only', 'check'], /name it too/],
    [['--fast'], /fast/],
  ])('refuses %j', async (args, words) => {
    const { code, stderr } = await bench(...args)
    expect(code).toBe(2)
    expect(stderr).toMatch(words)
  })
})
