import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { enrich, type Profile } from '../../../examples/subscribers/typescript/enrich.ts'
import { encodeScores, type ProfileScores, SCORES_SCHEMA, scoresReader } from '../../../processors/outputs/scores.ts'
import { findPython, runPython } from './python.ts'
import { TOPIC, WANTED } from './scores-topic.ts'

const python = await findPython()

const bytes = TOPIC.map(([key, record]) => [key, record && encodeScores(record, 7)] as const)

describe('the TypeScript subscriber', () => {
  it('decodes the topic and keeps the newest serving scores of each profile', async () => {
    const decode = scoresReader(async () => SCORES_SCHEMA)
    const profiles: Record<string, Profile> = {}
    for (const [key, value] of bytes) {
      if (value === null) delete profiles[key]
      else profiles[key] = enrich(profiles[key], await decode(value))
    }
    expect(profiles).toEqual(WANTED)
  })

  it('ends with the same profile when a record is read twice, and leaves the old profile as it was', () => {
    const record = TOPIC[0]![1]!
    const once = enrich(undefined, record)
    const frozen = structuredClone(once)
    expect(enrich(once, record)).toEqual(once)
    enrich(once, TOPIC[3]![1]!)
    expect(once).toEqual(frozen)
  })

  it('ends with the same profile in any order of events of different times', () => {
    const records = TOPIC.filter(([key, record]) => key === 'ECID:a' && record !== null).map(([, record]) => record!)
    const all = (order: readonly ProfileScores[]) => order.reduce<Profile | undefined>(enrich, undefined)
    expect(all(records.toReversed())).toEqual(WANTED['ECID:a'])
  })
})

describe.skipIf(python.kind === 'missing')('the Python subscriber', () => {
  it('ends with the same profiles from the same bytes', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'rtml-subscriber-'))
    try {
      const file = join(folder, 'topic.json')
      const records = bytes.map(([key, value]) => [key, value?.toString('hex') ?? null])
      await writeFile(file, JSON.stringify({ schemas: { 7: SCORES_SCHEMA }, records }))
      expect(await runPython(python, join(import.meta.dirname, 'run_subscriber.py'), [file])).toEqual(WANTED)
    } finally {
      await rm(folder, { recursive: true })
    }
  })
})
