/** Streams of views and purchases, and what a label join must make of them: the plain joiner, run over the same log. */
import type { XdmEvent } from '../../processors/app/event.ts'
import type { Engine } from '../../processors/engine/ports.ts'
import { FeatureReplay } from '../../processors/host/feature-replay.ts'
import { type CompiledLabel, newMark } from '../../processors/learner/labels/definition.ts'
import { type Joined, LabelJoiner } from '../../processors/learner/labels/joiner.ts'
import { decodeExample, type TrainingExample, unframe } from '../../processors/outputs/index.ts'
import type { Plan } from '../../processors/topology.ts'
import { everything, range, raw, SHOP } from './harness.ts'

export const START = Date.parse('2026-01-01T10:00:00Z')

/** The shop, with a label and any number of partitions. */
export const labelShop = (label: string, { partitions = 2, more = '' } = {}): string =>
  `${SHOP}partitions: ${partitions}\n${more}labels:\n  bought: ${label}\n`

export const BOUGHT = `outcome: 'eventType == "buy"', where: 'eventType != "buy"', window: 10m, lateness: 1m`

export interface ShopEvent {
  readonly id: string
  /** Seconds after the start. */
  readonly at: number
  readonly customer: string
  readonly type: 'view' | 'buy'
  readonly item?: string
  readonly total?: number
}

export const rawOf = (events: readonly ShopEvent[]) =>
  raw(
    events.map(({ id, at, customer, type, item = 's0', total = 1 }) => ({
      id,
      time: new Date(START + at * 1_000).toISOString(),
      type,
      customer,
      total,
      sku: item,
    })),
  )

/** Seeded visits: mostly views, some purchases, some events out of order and some sent twice. */
export function visits(count: number, { customers = 12, seed = 7 } = {}): ShopEvent[] {
  let state = seed
  const next = (below: number): number => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return Math.floor((state / 4_294_967_296) * below)
  }
  const events: ShopEvent[] = []
  for (const n of range(0, count)) {
    const behind = next(10) === 0 ? next(40) : 0
    events.push({
      id: `e${n}`,
      at: Math.max(0, n * 5 - behind),
      customer: `c${next(customers)}`,
      type: next(4) === 0 ? 'buy' : 'view',
      item: `s${next(3)}`,
      total: next(50),
    })
    if (next(15) === 0) events.push(events[next(events.length)]!)
  }
  return events
}

/** Strangers whose events, long after the others', move the time of every partition on. */
export const closing = (at: number, name = 'z'): ShopEvent[] =>
  range(0, 24).map((n) => ({ id: `${name}${n}`, at, customer: `${name}${n}`, type: 'view' }))

export async function examplesIn(engine: Engine, topic = 'training.examples'): Promise<TrainingExample[]> {
  return (await everything(engine, topic)).map(({ value }) => decodeExample(value!))
}

/** What of an example the joiner knows. */
export const outline = ({ label, kind, eventId, value, weight }: TrainingExample): string =>
  [label, eventId, kind, value, weight].join(' ')

/** Events in the order in which each partition was scored, with the vectors of the kernel over the same log. */
export async function scored(
  engine: Engine,
  plan: Plan,
): Promise<{ event: XdmEvent; floats: Float32Array; strings: string[] }[][]> {
  const partitions = new Map<number, { event: XdmEvent; floats: Float32Array; strings: string[] }[]>()
  const replays = new Map<number, FeatureReplay>()
  for (const { partition, value } of await everything(engine, plan.topics.events)) {
    const event = plan.schema.decode(unframe(value!)!.payload)
    const replay = replays.get(partition) ?? new FeatureReplay(plan.featureSet)
    replays.set(partition, replay)
    if (replay.apply(event) !== 'applied') continue
    const { floats, strings } = replay.vector(event)
    partitions.set(partition, [...(partitions.get(partition) ?? []), { event, floats, strings }])
  }
  return [...partitions.values()]
}

/** Outlines of the examples that there must be, sorted: of samples that are settled. */
export async function expectedOutlines(engine: Engine, plan: Plan, label: CompiledLabel): Promise<string[]> {
  const outlines: string[] = []
  for (const events of await scored(engine, plan)) {
    const joiner = new LabelJoiner<null>(label.rules!)
    const learned = new Map<string, number>()
    const settled = new Map<string, number>()
    const take = (joined: readonly Joined<null>[]) => {
      for (const it of joined) {
        if (it.kind === 'settled') settled.set(it.sample.id, it.y)
        else if (label.rules!.policy === 'wait') learned.set(it.sample.id, it.weight)
        else outlines.push([label.name, it.sample.id, 'copy', it.y, it.weight].join(' '))
      }
    }
    const mark = newMark()
    let time = Number.NEGATIVE_INFINITY
    for (const { event } of events) {
      label.read(event, mark)
      time = Math.max(time, event.ts)
      const { id, ts, key: profile } = event
      take(joiner.advance(time))
      if (!Number.isNaN(mark.value)) take(joiner.outcome({ id, profile, ts, match: mark.match, value: mark.value }))
      if (mark.isSample) take(joiner.sample({ id, profile, ts, match: mark.match, payload: null }))
    }
    for (const [id, y] of settled) {
      const weight = learned.get(id)
      outlines.push([label.name, id, weight === undefined ? 'settled' : 'example', y, weight ?? 1].join(' '))
    }
  }
  return outlines.sort()
}
