/** The short version of `npm run chaos`, with a fixed seed: what docs/chaos.md measures at length must hold here, too. */
import { describe, expect, it } from 'vitest'
import { localProcessesUnavailable } from '../services/harness.ts'
import { runChaos } from './run.ts'

const MINUTES = 2
const SEED = 20_261_124
const DEADLINE_MS = 10 * 60_000

describe.skipIf(localProcessesUnavailable())('two minutes of faults', { timeout: DEADLINE_MS }, () => {
  it('leave every event scored once and every state as the reference has it', async () => {
    const told: string[] = []
    const report = await runChaos({ minutes: MINUTES, seed: SEED, perSecond: 200, tell: (text) => told.push(text) })
    const story = JSON.stringify({ ...report, told }, undefined, 2)
    expect(report.examples, story).toEqual([])
    expect(report.unexpected, story).toEqual([])
    expect(report).toMatchObject({ wrong: 0, lost: 0, duplicated: 0 })
    expect(report.events).toBeGreaterThan(5_000)
    expect(report.scored).toBeGreaterThan(report.events * 0.95)
    expect(report.faultsTotal).toBeGreaterThanOrEqual(10)
    expect(Object.keys(report.faults).length).toBeGreaterThanOrEqual(5)
  })
})
