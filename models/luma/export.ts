/**
 * Writes the demo's training examples: the real events through the application's own mapper and feature kernel, one CSV
 * row an event with the vector as it would have been served, the label and the time.
 *
 *   node models/luma/export.ts > examples.csv
 *   python models/luma/train.py --examples examples.csv --label label --time ts --until <split>
 */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { gunzipSync } from 'node:zlib'
import { labelsOf } from '../../examples/luma/labels.ts'
import { epochMs } from '../../processors/app/units.ts'
import type { KeyState } from '../../processors/features/types.ts'
import { openApplicationFile } from '../../processors/host/application-file.ts'
import { PACKAGE_ROOT } from '../../processors/host/package-root.ts'
import { planApplication } from '../../processors/topology.ts'

const folder = join(PACKAGE_ROOT, 'examples', 'luma')
const { planOptions } = openApplicationFile(join(folder, 'rtml.yaml'), process.env)
// The model is what comes out of this; it must not be needed to make it.
const plan = await planApplication({ ...planOptions, app: { ...planOptions.app, models: {} } })
const mapper = plan.mappers.get('web')!
const kernel = plan.featureSet.entities.get('profile')!
const columns = plan.featureSet.columns.filter(({ type }) => type === 'float')

const states = new Map<string, KeyState>()
const rows: { profile: string; ts: number; isPurchase: boolean; id: string; floats: Float32Array }[] = []
const lines = gunzipSync(readFileSync(join(folder, 'luma_events.jsonl.gz')))
  .toString('utf8')
  .trimEnd()
  .split('\n')
for (const [index, line] of lines.entries()) {
  const record = { key: null, value: Buffer.from(line), headers: {}, timestamp: epochMs(0), place: `luma:${index + 1}` }
  for (const event of mapper.map({ ...record, timestamp: epochMs(Number.MAX_SAFE_INTEGER) }).events) {
    const state = states.get(event.key) ?? kernel.empty()
    states.set(event.key, state)
    if (kernel.update(state, event) !== 'applied') continue
    const vector = plan.featureSet.newVector()
    plan.featureSet.vector(
      { event, states: new Map([['profile', state]]), lookups: { get: () => undefined }, at: epochMs(state.time) },
      vector,
    )
    rows.push({
      profile: event.key,
      ts: event.ts,
      isPurchase: event.xdm.eventType === 'commerce.purchases',
      id: event.id,
      floats: vector.floats,
    })
  }
}
const labels = labelsOf(rows)
process.stdout.write(`${['event_id', 'profile', 'ts', ...columns.map(({ name }) => name), 'label'].join(',')}\n`)
rows.forEach(({ id, profile, ts, floats }, at) => {
  const label = labels[at]
  if (label === undefined) return
  const values = columns.map(({ index }) => (Number.isNaN(floats[index]) ? '' : String(floats[index])))
  process.stdout.write(`${[id, profile, new Date(ts).toISOString(), ...values, label].join(',')}\n`)
})
