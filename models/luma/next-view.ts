/**
 * Makes the old model of the demo's second question, "will this visitor look at another product within ten minutes?": a
 * linear model over two features that learned the first 1,000 events of the shop and nothing since. In the demo it is the
 * champion that a learner overtakes.
 *
 *   node models/luma/next-view.ts
 */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { learnerSchema } from '../../processors/app/schema-learning.ts'
import { epochMs } from '../../processors/app/units.ts'
import { openApplicationFile } from '../../processors/host/application-file.ts'
import { FeatureReplay } from '../../processors/host/feature-replay.ts'
import { eventsInOrder, fileRecords, newCounts } from '../../processors/host/history.ts'
import { learnerColumns, taskOf } from '../../processors/learner/columns.ts'
import { HistoryLearner } from '../../processors/learner/stream/history-learner.ts'
import { LearnerStream } from '../../processors/learner/stream/learner-stream.ts'
import { planApplication } from '../../processors/topology.ts'

const FOLDER = join(import.meta.dirname, '..', '..', 'examples', 'luma')
const EVENTS = 1_000
const FEATURES = ['product_views_1h', 'events_1h']

const opened = openApplicationFile(join(FOLDER, 'rtml.yaml'), {})
// Without models: the one that is made here need not exist yet.
const plan = await planApplication({ ...opened.planOptions, app: { ...opened.app, models: {} } })
const definition = learnerSchema.parse({ label: 'next_view', features: FEATURES })
const columns = learnerColumns(definition, plan.app.features, plan.featureSet, 'next-view.ts')
const label = plan.labels.find(({ name }) => name === definition.label)!
const stream = new LearnerStream({
  name: 'next_view',
  definition,
  label: label.definition,
  inputs: columns.inputs,
  task: taskOf(label.definition),
})
const history = new HistoryLearner({ stream, label, columns, at: epochMs(0) })
const replay = new FeatureReplay(plan.featureSet)
const mapper = plan.mappers.get('web')!
const options = {
  mapper,
  counts: newCounts(),
  limit: EVENTS,
  onRejected: (text: string) => process.stderr.write(`${text}\n`),
}
for await (const event of eventsInOrder(fileRecords(join(FOLDER, 'luma_events.jsonl.gz'), 'json'), options)) {
  if (replay.apply(event) === 'applied') history.event(event, replay.vector(event))
}
history.finish()
const { version } = stream.decide(epochMs(0), { routed: undefined, minExamples: 1, everyMs: 0, isLast: true })
writeFileSync(join(import.meta.dirname, 'next_view.onnx'), version!.onnx)
process.stdout.write(`${version!.learned} examples, ${version!.onnx.length} bytes\n`)
