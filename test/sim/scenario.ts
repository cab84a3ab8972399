import type { Headers } from '../../processors/engine/ports.ts'
import { frame } from '../../processors/outputs/index.ts'
import { controlRecord } from '../../processors/runtime/stages/control-records.ts'
import { START } from './application.ts'
import type { Service } from './network.ts'
import { Dice, seeded } from './random.ts'

/** Everything that a seed decides before the run: shrinking takes events and faults out of it. */
export interface Scenario {
  readonly seed: number
  readonly settings: Settings
  readonly events: readonly Produced[]
  readonly faults: readonly Fault[]
}

export interface Settings {
  readonly isFused: boolean
  readonly publishesFused: boolean
  readonly delivery: 'exactly-once' | 'at-least-once'
  readonly hasSnapshots: boolean
  readonly snapshotEveryMs: number
  readonly processes: number
  readonly isCooperative: boolean
  readonly redelivery: number
  readonly sessionMs: number
  readonly rebalanceMs: number
  readonly pipelineDepth: number
  readonly maxCachedStates: number
  readonly lostRequest: number
  readonly lostReply: number
  readonly slow: number
  readonly slowMs: number
  readonly failingModels: number
  readonly slowModels: number
  /** Planned hand-overs only: then nothing may be left over for the next owner. */
  readonly isCalm: boolean
}

/** A record that somebody outside appends. */
export interface Produced {
  readonly atMs: number
  readonly to: 'raw' | 'events'
  readonly key: string
  readonly value: Buffer | null
  readonly headers?: Headers
}

const FAULTS = [
  'crash',
  'pause',
  'hiccup',
  'join',
  'leave',
  'upgrade',
  'downgrade',
  'shake',
  'expel',
  'expel',
  'failover',
  'wipe',
  'lose-outbox',
  'log-down',
  'store-down',
  'registry-down',
  'swap',
  'slow-models',
  'retention',
  'careless-retention',
  'compaction',
] as const

export interface Fault {
  readonly atMs: number
  /** Strikes so many steps after `atMs`: between any two awaits. */
  readonly steps: number
  /** Strikes the process whose call of this name takes effect next, just then. */
  readonly after?: string
  readonly kind: (typeof FAULTS)[number]
  /** Chooses whom it strikes. */
  readonly whom: number
  readonly forMs: number
}

/** Faults end here at the latest. */
export const FAULTS_END_MS = 9_000
const EVENTS_END_MS = 8_000
const CALM: readonly Fault['kind'][] = ['join', 'leave', 'shake', 'swap', 'compaction', 'upgrade']

export const SERVICE_OF: Partial<Record<Fault['kind'], Service>> = {
  'log-down': 'log',
  'store-down': 'store',
  'registry-down': 'registry',
}

export function scenarioOf(seed: number): Scenario {
  const dice = new Dice(seeded(seed))
  const isCalm = dice.chance(0.1)
  const isFused = dice.chance(0.25)
  const settings: Settings = {
    isFused,
    publishesFused: isFused && dice.chance(0.5),
    delivery: dice.chance(0.15) ? 'at-least-once' : 'exactly-once',
    hasSnapshots: dice.chance(0.7),
    // Often so soon that the first batch of a tenure is in a round: then states come from the store, not from memory.
    snapshotEveryMs: dice.chance(0.5) ? dice.integer(1, 50) : dice.integer(100, 3_000),
    processes: dice.integer(1, 3),
    isCooperative: dice.chance(0.3),
    redelivery: dice.chance(0.3) ? 0.1 : 0,
    sessionMs: dice.integer(1_000, 4_000),
    rebalanceMs: isCalm ? 5_000 : dice.integer(200, 4_000),
    pipelineDepth: dice.integer(1, 4),
    maxCachedStates: dice.integer(1, 8),
    lostRequest: !isCalm && dice.chance(0.4) ? 0.02 : 0,
    lostReply: !isCalm && dice.chance(0.4) ? 0.02 : 0,
    slow: isCalm ? 0 : dice.pick([0, 0.02, 0.1]),
    slowMs: dice.pick([100, 400, 5_000]),
    failingModels: !isCalm && dice.chance(0.3) ? 0.1 : 0,
    slowModels: !isCalm && dice.chance(0.4) ? 0.1 : 0,
    isCalm,
  }
  const events = eventsOf(dice, settings)
  const orders = erasuresOf(seed, settings)
  return {
    seed,
    settings,
    events: orders.length === 0 ? events : [...events, ...orders].sort((a, b) => a.atMs - b.atMs),
    faults: faultsOf(dice, settings),
  }
}

function faultsOf(dice: Dice, { isCalm }: Settings): Fault[] {
  const count = dice.integer(isCalm ? 1 : 0, 7)
  // A seed has some kinds of faults rather than all: then more of one kind meet.
  const kinds = isCalm ? CALM : FAULTS.filter((kind) => dice.chance(RARE.has(kind) ? 0.25 : 0.5))
  if (kinds.length === 0) return []
  const faults = Array.from({ length: count }, (): Fault => {
    const kind = dice.pick(kinds)
    const aim = AIMED.get(kind)
    const isAimed = dice.chance(aim ? 0.8 : 0.4)
    return {
      atMs: dice.between(50, FAULTS_END_MS),
      steps: dice.integer(0, 30),
      kind,
      whom: dice.random(),
      ...(isAimed ? { after: dice.pick(aim ?? CALLS) } : {}),
      forMs: dice.chance(0.5) ? dice.between(10, 1_500) : dice.between(500, 6_000),
    }
  })
  return faults.sort((a, b) => a.atMs - b.atMs)
}

const CALLS = ['load', 'apply', 'publish', 'own', 'open publisher', 'committed', 'outbox', 'restore', 'trim', 'scan']
/** Where a fault can do most harm: within a batch and between its steps; between the readings of a take-over. */
const AIMED: ReadonlyMap<Fault['kind'], readonly string[]> = new Map([
  ['expel', ['load', 'apply', 'apply', 'publish']],
  ['failover', ['apply', 'apply', 'load', 'own', 'committed', 'restore']],
  ['lose-outbox', ['own', 'open publisher', 'committed', 'outbox']],
  ['wipe', ['apply', 'apply', 'apply', 'load', 'own', 'committed', 'outbox', 'restore']],
])

const RARE: ReadonlySet<Fault['kind']> = new Set(['careless-retention', 'lose-outbox', 'wipe'])

function eventsOf(dice: Dice, settings: Settings): Produced[] {
  const count = dice.integer(15, 45)
  const visitors = dice.integer(1, 6)
  const events: Produced[] = []
  // Bursts and quiet times: both batches and idle shards must be met.
  let atMs = 0
  for (let nth = 0; nth < count; nth++) {
    atMs += dice.chance(0.5) ? dice.between(0, 20) : dice.between(0, (2 * EVENTS_END_MS) / count)
    events.push(...producedAt(Math.min(atMs, EVENTS_END_MS), nth, dice, visitors, settings))
  }
  return events.sort((a, b) => a.atMs - b.atMs)
}

/** Orders to forget a visitor, with an item: of dice of their own, so that seeds without them stay what they were. */
function erasuresOf(seed: number, { isFused }: Settings): Produced[] {
  const dice = new Dice(seeded(seed + 0x5eed))
  if (!dice.chance(0.3)) return []
  return Array.from({ length: dice.integer(1, 4) }, (_, nth): Produced => {
    const key = `ECID:v${dice.integer(1, 3)}`
    const data = { id: `erase-${nth}`, identities: [key], entities: { item: [`s${dice.integer(1, 4)}`] } }
    const { headers } = controlRecord({ topic: '', kind: 'erase', key, data })
    return {
      atMs: dice.between(100, EVENTS_END_MS),
      to: isFused ? 'raw' : 'events',
      key,
      value: null,
      headers: headers!,
    }
  })
}

function producedAt(atMs: number, nth: number, dice: Dice, visitors: number, settings: Settings): Produced[] {
  const visitor = `v${dice.integer(1, visitors)}`
  const key = settings.isFused ? `ECID:${visitor}` : `k${dice.integer(1, 9)}`
  const kind = dice.random()
  if (kind < 0.03)
    return [{ atMs, to: 'raw', key, value: Buffer.from(dice.pick(['{', 'null', '[1]', '\u0000\u0001'])) }]
  if (kind < 0.04) return [{ atMs, to: 'raw', key, value: null }]
  if (kind < 0.06 && !settings.isFused) {
    const value = dice.chance(0.5)
      ? Buffer.from('not framed')
      : frame(999, Buffer.from('of a schema that nobody knows'))
    return [{ atMs, to: 'events', key: `ECID:${visitor}`, value }]
  }
  const value = Buffer.from(JSON.stringify(rawEvent(atMs, nth, dice, visitor, settings.isCalm)))
  const produced: Produced = { atMs, to: 'raw', key: dice.chance(0.03) ? 'somebody else' : key, value }
  if (!dice.chance(0.08)) return [produced]
  return [produced, { ...produced, atMs: Math.min(EVENTS_END_MS, atMs + dice.between(0, 4_000)) }]
}

/** Event times run apart from the run's own time: a window or the lateness bound is passed within it. */
function rawEvent(atMs: number, nth: number, dice: Dice, visitor: string, isCalm: boolean): object {
  const kind = dice.random()
  let aheadMs = dice.between(-25_000, 10_000)
  if (kind < 0.12) aheadMs = dice.between(-150_000, -60_000)
  else if (kind < 0.16) aheadMs = dice.between(30_000, 600_000)
  const time = new Date(Math.floor(START + atMs + aheadMs)).toISOString()
  const defect = dice.random()
  const id = isCalm ? `e${nth}` : defect < 0.015 ? `poison-${nth}` : defect < 0.03 ? `item-poison-${nth}` : `e${nth}`
  const event = {
    id,
    time,
    type: dice.pick([
      'commerce.productViews',
      'commerce.productViews',
      'commerce.purchases',
      'web.webpagedetails.pageViews',
    ]),
    visitor,
    page: dice.pick(['home', 'list', 'cart', 'other']),
    items: dice.chance(0.7) ? [`s${dice.integer(1, 4)}`] : [],
    total: dice.chance(0.6) ? dice.integer(1, 40_000) / 100 : undefined,
  }
  const fault = dice.random()
  if (fault < 0.02) return { ...event, visitor: undefined }
  if (fault < 0.04) return { ...event, total: 'much' }
  if (fault < 0.05) return { ...event, time: undefined }
  if (fault < 0.06) return { ...event, type: 'ignored' }
  return event
}
