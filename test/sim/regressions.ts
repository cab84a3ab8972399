import { START } from './application.ts'
import type { Fault, Produced, Scenario, Settings } from './scenario.ts'

/** What the simulator once found, as small as it could be made and independent of how seeds are drawn. */
export const REGRESSIONS: readonly { readonly about: string; readonly scenario: Scenario }[] = [
  {
    about: 'a record that has become a dead letter does not end the rebuild over it',
    scenario: scenario({
      events: [view(100, 'a'), view(150, 'poison-1'), view(200, 'b')],
      faults: [fault(3_000, 'wipe')],
    }),
  },
  {
    about: 'a record that fails in an entity stage does not end its rebuild',
    scenario: scenario({
      events: [view(100, 'a'), view(150, 'item-poison-1'), view(200, 'b')],
      faults: [fault(3_000, 'wipe')],
    }),
  },
  {
    about: 'an older version reads states that a newer one has written',
    scenario: scenario({
      events: Array.from({ length: 30 }, (_, nth) => view(100 + nth * 250, `e${nth}`, `v${nth % 4}`)),
      faults: [fault(1_500, 'upgrade'), fault(4_500, 'downgrade'), fault(6_500, 'shake')],
    }),
  },
  {
    about: 'layouts outlive the store that noted them',
    scenario: scenario({
      settings: { hasSnapshots: true, snapshotEveryMs: 100 },
      events: Array.from({ length: 20 }, (_, nth) => view(100 + nth * 380, `e${nth}`, `v${nth % 4}`)),
      faults: [fault(1_500, 'upgrade'), fault(5_000, 'downgrade'), fault(5_200, 'wipe'), fault(6_500, 'wipe')],
    }),
  },
  {
    about: 'a state and the note of its layout are lost between the readings of one and the other',
    scenario: scenario({
      events: [view(500, 'a'), view(600, 'b'), view(6_000, 'c'), view(6_100, 'd')],
      faults: [fault(1_500, 'upgrade'), { ...fault(5_900, 'wipe'), after: 'load sim.entity.item' }],
    }),
  },
  {
    about: 'at least once, the last position of an idle stream is committed',
    scenario: scenario({
      settings: { delivery: 'at-least-once' },
      events: [view(2_000, 'a'), view(2_050, 'b'), view(2_100, 'c'), view(2_150, 'd')],
    }),
  },
  {
    about: 'at least once, an outbox that is flushed between two reads of a take-over does not pass for an empty one',
    scenario: scenario({
      settings: { delivery: 'at-least-once', processes: 2 },
      events: [view(2_000, 'a'), view(2_020, 'b'), view(2_040, 'c'), view(2_060, 'd')],
      faults: [
        { ...fault(1_990, 'crash'), after: 'apply sim.profile' },
        { ...fault(2_100, 'wipe'), after: 'committed sim.profile' },
      ],
    }),
  },
  {
    about: 'at least once, an owner that ends before its commit does not leave it to the next event',
    scenario: scenario({
      settings: { delivery: 'at-least-once' },
      events: [view(2_000, 'a'), view(2_050, 'b'), view(2_100, 'c'), view(2_150, 'd')],
      faults: [{ ...fault(2_300, 'crash'), forMs: 500 }],
    }),
  },
]

function scenario(parts: { settings?: Partial<Settings>; events: Produced[]; faults?: Fault[] }): Scenario {
  const settings: Settings = {
    isFused: false,
    publishesFused: false,
    delivery: 'exactly-once',
    hasSnapshots: false,
    snapshotEveryMs: 1_000,
    processes: 1,
    isCooperative: false,
    redelivery: 0,
    sessionMs: 1_000,
    rebalanceMs: 1_000,
    pipelineDepth: 4,
    maxCachedStates: 8,
    lostRequest: 0,
    lostReply: 0,
    slow: 0,
    slowMs: 100,
    failingModels: 0,
    slowModels: 0,
    isCalm: false,
    ...parts.settings,
  }
  return { seed: 0, settings, events: parts.events, faults: parts.faults ?? [] }
}

function view(atMs: number, id: string, visitor = 'v1'): Produced {
  const time = new Date(START + atMs).toISOString()
  const event = { id, time, type: 'commerce.productViews', visitor, page: 'home', items: ['s1'], total: 2 }
  return { atMs, to: 'raw', key: 'k1', value: Buffer.from(JSON.stringify(event)) }
}

function fault(atMs: number, kind: Fault['kind']): Fault {
  return { atMs, steps: 0, kind, whom: 0, forMs: 500 }
}
