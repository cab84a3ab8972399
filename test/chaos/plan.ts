/** Which faults happen when: a pure function of the seed. */
import { Dice, seeded } from '../sim/random.ts'
import type { Direction } from './link.ts'

export const LINKS = ['broker', 'redis', 'registry'] as const
export type LinkName = (typeof LINKS)[number]

export type FaultKind =
  | 'worker-kill'
  | 'worker-freeze'
  | 'worker-join'
  | 'worker-leave'
  | `${LinkName}-${'slow' | 'cut' | 'silent'}`
  | 'broker-restart'
  | 'broker-kill'
  | 'redis-failover'
  | 'redis-kill'
  | 'redis-flush'

export interface Fault {
  readonly kind: FaultKind
  /** Since the first fault may happen. */
  readonly atMs: number
  /** How long it lasts, where that is chosen; a restart takes what it takes. */
  readonly lastsMs: number
  /** Which worker, as a share of those that live then. */
  readonly victim: number
  readonly direction: Direction
  readonly delayMs: number
  /** Whether a silent link delivers what it held, or loses it with its connections. */
  readonly isDelivered: boolean
  /** How far the replica is behind when it takes over. */
  readonly lagMs: number
}

/** Bounds of how long a fault lasts. A freeze may outlast the session timeout: the worker wakes up as a zombie. */
const LASTS_MS: Readonly<Record<FaultKind, readonly [number, number]>> = {
  'worker-kill': [200, 2_500],
  'worker-freeze': [500, 11_000],
  'worker-join': [0, 0],
  'worker-leave': [0, 0],
  'broker-slow': [1_000, 5_000],
  'broker-cut': [200, 3_000],
  'broker-silent': [500, 8_000],
  'redis-slow': [1_000, 5_000],
  'redis-cut': [200, 3_000],
  'redis-silent': [500, 6_000],
  'registry-slow': [1_000, 5_000],
  'registry-cut': [500, 5_000],
  'registry-silent': [500, 6_000],
  'broker-restart': [0, 0],
  'broker-kill': [0, 0],
  'redis-failover': [0, 0],
  'redis-kill': [200, 1_500],
  'redis-flush': [0, 0],
}

/** How often a kind is dealt in one round of all kinds. */
const SHARE: Partial<Record<FaultKind, number>> = {
  'worker-kill': 3,
  'worker-freeze': 2,
  'worker-join': 2,
  'worker-leave': 2,
  'redis-failover': 2,
}

export const KINDS = Object.keys(LASTS_MS) as FaultKind[]

/** A quiet time after a fault that stands alone, so that its effect can be measured; and one after a burst. */
const QUIET_MS = [8_500, 10_500] as const
const BURST_MS = 4_000
/** No fault begins so shortly before the end. */
const LAST_MS = 8_000

/** Faults of a run of `minutes`: two single ones with quiet behind them, then a burst of three or four within seconds. */
export function planOf(seed: number, minutes: number): Fault[] {
  const dice = new Dice(seeded(seed))
  const end = minutes * 60_000 - LAST_MS
  const faults: Fault[] = []
  const deck: FaultKind[] = []
  const deal = (atMs: number): number => {
    if (deck.length === 0) deck.push(...shuffled(dice))
    const kind = deck.pop()!
    const [low, high] = LASTS_MS[kind]
    const fault: Fault = {
      kind,
      atMs,
      lastsMs: Math.round(dice.between(low, high)),
      victim: dice.random(),
      direction: dice.pick(['forth', 'back', 'both'] as const),
      delayMs: dice.integer(20, 300),
      isDelivered: dice.chance(0.5),
      lagMs: dice.integer(50, 800),
    }
    faults.push(fault)
    return atMs + fault.lastsMs
  }
  for (let at = 0, turn = 0; at < end; turn++) {
    const isBurst = turn % 3 === 2
    let over = 0
    const count = isBurst ? dice.integer(3, 4) : 1
    const times = Array.from({ length: count }, () => at + (isBurst ? dice.between(0, BURST_MS) : 0)).sort(
      (a, b) => a - b,
    )
    for (const time of times) over = Math.max(over, deal(Math.round(time)))
    at = over + dice.between(...QUIET_MS)
  }
  return faults.filter(({ atMs }) => atMs < end)
}

function shuffled(dice: Dice): FaultKind[] {
  const kinds = KINDS.flatMap((kind) => new Array<FaultKind>(SHARE[kind] ?? 1).fill(kind))
  for (let index = kinds.length - 1; index > 0; index--) {
    const other = dice.integer(0, index)
    ;[kinds[index], kinds[other]] = [kinds[other]!, kinds[index]!]
  }
  return kinds
}
