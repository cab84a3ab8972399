/**
 * Writes real events as questions for a graph: the features as they would have been served, and the event itself.
 *
 *   node models/luma/graph/questions.ts > questions.jsonl
 */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { gunzipSync } from 'node:zlib'
import { epochMs } from '../../../processors/app/units.ts'
import type { KeyState } from '../../../processors/features/types.ts'
import { openApplicationFile } from '../../../processors/host/application-file.ts'
import { PACKAGE_ROOT } from '../../../processors/host/package-root.ts'
import { planApplication } from '../../../processors/topology.ts'

/** The first events, of which every so many is a question: the stream that answers them stays short. */
const EVENTS = 4_000
const EVERY = 20

const folder = join(PACKAGE_ROOT, 'examples', 'luma')
const plan = await planApplication(openApplicationFile(join(folder, 'rtml.yaml'), process.env).planOptions)
const mapper = plan.mappers.get('web')!
const kernel = plan.featureSet.entities.get('profile')!
const states = new Map<string, KeyState>()
const lines = gunzipSync(readFileSync(join(folder, 'luma_events.jsonl.gz')))
  .toString('utf8')
  .split('\n')
  .slice(0, EVENTS)
for (const [index, line] of lines.entries()) {
  const record = { key: null, value: Buffer.from(line), headers: {}, place: `luma:${index + 1}` }
  for (const event of mapper.map({ ...record, timestamp: epochMs(Number.MAX_SAFE_INTEGER) }).events) {
    const state = states.get(event.key) ?? kernel.empty()
    states.set(event.key, state)
    if (kernel.update(state, event) !== 'applied' || index % EVERY !== EVERY - 1) continue
    const vector = plan.featureSet.newVector()
    plan.featureSet.vector(
      { event, states: new Map([['profile', state]]), lookups: { get: () => undefined }, at: epochMs(state.time) },
      vector,
    )
    const features = Object.fromEntries(
      plan.featureSet.columns.map(({ name, index }) => {
        const value = vector.floats[index]!
        return [name, Number.isNaN(value) ? null : value]
      }),
    )
    const { _id, timestamp, eventType, web, application, productListItems, commerce } = event.xdm
    const xdm = { _id, timestamp, eventType, web, application, productListItems, commerce }
    process.stdout.write(`${JSON.stringify({ event: xdm, profile: { features } })}\n`)
  }
}
