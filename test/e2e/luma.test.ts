import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { gunzipSync } from 'node:zlib'
import { expect, it } from 'vitest'
import type { XdmEvent } from '../../processors/app/event.ts'
import { epochMs } from '../../processors/app/units.ts'
import type { KeyState } from '../../processors/features/types.ts'
import { unframe } from '../../processors/outputs/index.ts'
import { everything, folder, openData, PATIENCE, planOf, samplesIn, scoresIn, settled, start } from './harness.ts'

const LUMA = join(import.meta.dirname, '../../examples/luma')
const EVENTS = 4_000

it(
  'scores every event of a real shop once, from exactly the features that the log gives',
  async () => {
    await using place = await folder()
    await using engine = await openData(place.data)
    const lines = gunzipSync(readFileSync(join(LUMA, 'luma_events.jsonl.gz')))
      .toString()
      .split('\n')
      .slice(0, EVENTS)
    const file = join(LUMA, 'rtml.yaml')
    {
      await using running = await start(file, engine)
      const records = lines.map((line) => {
        const ids = JSON.parse(line).endUserIDs._experience
        return { topic: 'raw.web', key: Buffer.from((ids.mcid ?? ids.aaid).id), value: Buffer.from(line) }
      })
      for (let at = 0; at < records.length; at += 250) await engine.log.append(records.slice(at, at + 250))
      await settled(running)
      expect(running.metrics.total('rtml_rejected_total')).toBe(0)
    }

    const scores = await scoresIn(engine)
    const ids = lines.map((line) => JSON.parse(line)._id as string)
    expect(scores.map(({ eventId }) => eventId).sort()).toEqual([...ids].sort())
    for (const { scores: all } of scores) {
      expect(all.map(({ model }) => model)).toEqual(['propensity', 'next_view'])
      expect(all[0]!.score).toBeGreaterThan(0)
      expect(all[0]!.score).toBeLessThan(1)
    }

    // A plain loop over the log, with the kernel and nothing else.
    const { featureSet, schema } = await planOf(file)
    const kernel = featureSet.entities.get('profile')!
    const samples = await samplesIn(engine)
    expect(samples.size).toBe(EVENTS)
    const states = new Map<string, KeyState>()
    for (const { value } of await everything(engine, 'xdm.events')) {
      // What the stage has written to itself: ticks of timers, scores that segments read.
      if (value === null) continue
      const event: XdmEvent = schema.decode(unframe(value)!.payload)
      const state = states.get(event.key) ?? kernel.empty()
      states.set(event.key, state)
      kernel.update(state, event)
      const vector = featureSet.newVector()
      const inputs = {
        event,
        states: new Map([['profile', state]]),
        lookups: { get: () => undefined },
        at: epochMs(state.time),
      }
      featureSet.vector(inputs, vector)
      const row = samples.get(event.id)!
      for (const { name, index } of featureSet.columns)
        expect([event.id, name, row[name]]).toEqual([event.id, name, vector.floats[index]])
    }
  },
  PATIENCE.testMs,
)
