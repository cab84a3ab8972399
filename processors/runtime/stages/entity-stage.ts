import type { Application } from '../../app/schema.ts'
import { groupOf, type TopicNames } from '../../app/topics.ts'
import type { EpochMs } from '../../app/units.ts'
import type { EntityKernel, KeyState } from '../../features/types.ts'
import { deadLetter } from '../../outputs/index.ts'
import type { Layouts } from '../layouts.ts'
import type { Stage } from '../stage.ts'
import type { Metrics } from '../telemetry.ts'
import { controlsIn } from './control-records.ts'
import type { EventSource, Sourced } from './event-source.ts'
import { noOutcomes, reportOutcomes } from './outcomes.ts'
import { stateExpiry } from './state-expiry.ts'

/** <app>.entity.<name>, keyed by the entity → its features. No outputs: others read the state. */
export function entityStage(options: {
  app: Application
  topics: TopicNames
  kernel: EntityKernel
  events: EventSource
  layouts: Layouts
  metrics: Metrics
}): Stage<Sourced, KeyState, Sourced['refused']> {
  const { app, topics, kernel, events, layouts, metrics } = options
  const name = `entity.${kernel.entity}`
  const ttl = app.entities[kernel.entity]?.ttl ?? app.events.ttl
  return {
    name,
    group: groupOf(app, name),
    topic: topics.entity(kernel.entity),
    stateExpireMs: stateExpiry(app, ttl),
    layouts,
    prepare: (records) => events.read(records),
    keys: (input) => new Set(keysOf(input)),
    decode: (_key, packed) => kernel.decode(packed),
    compute(input, states) {
      const touched = new Map<string, KeyState | null>()
      const outcomes = noOutcomes()
      const controls = controlsIn(input)
      let taken = 0
      const takeControls = (upTo: number) => {
        for (; taken < controls.length && controls[taken]!.before <= upTo; taken++) {
          const { kind, key } = controls[taken]!
          if (kind !== 'erase' || key === undefined) continue
          states.delete(key)
          touched.set(key, null)
        }
      }
      for (let index = 0; index < input.events.length; index++) {
        takeControls(index)
        const { event, record } = input.events[index]!
        if (!record.key) continue
        const key = record.key.toString()
        let state = states.get(key)
        const at = Math.max(event.ts, state?.time ?? Number.NEGATIVE_INFINITY) as EpochMs
        if (!state || kernel.isExpired(state, at)) {
          state = kernel.empty()
          states.set(key, state)
        }
        // Late for this key or seen before: without effect here; the profile stage has told the producer.
        const updated = kernel.update(state, event)
        outcomes[updated]++
        if (updated === 'applied') touched.set(key, state)
      }
      takeControls(input.events.length)
      reportOutcomes(metrics, name, outcomes)
      const changed = new Map<string, Buffer | null>()
      for (const [key, state] of touched) changed.set(key, state && kernel.encode(state))
      return { changed, work: input.refused }
    },
    outputs: async (refused) => refused.map(({ record, rejection }) => deadLetter(record, rejection, topics.deadXdm)),
    poison: (record, message) => deadLetter(record, { code: 'POISON', path: '', message }, topics.deadXdm),
  }
}

function* keysOf(input: Sourced): Generator<string> {
  for (const { record } of input.events) if (record.key) yield record.key.toString()
  for (const { key } of controlsIn(input)) if (key !== undefined) yield key
}
