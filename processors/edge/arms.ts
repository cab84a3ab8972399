/** What was learned of offers: counts from the log, and how likely each offer is the best of those at hand. */
import { offset } from '../app/units.ts'
import { winShares } from '../learner/bandit/beta.ts'
import { type Exposures, parseExposures } from '../runtime/rules/exposures.ts'
import type { Edge } from './edge.ts'

/** Offers that are counted; more are not learned about. */
const OFFERS_MAX = 10_000
/** Sets of offers whose shares are remembered. */
const SETS_MAX = 1_000
/** Shares are found again when a decision's counts have grown by this: work grows with the logarithm of the displays. */
const GROWTH = 0.02
/** Records of the topic that a new process reads. */
const RECORDS_MAX = 1_000_000
const RETRY_MS = 1_000

interface Arm {
  plays: number
  rewards: number
}

interface DecisionArms {
  readonly counted: Map<string, Arm>
  /** As they were when the decision had grown enough. */
  used: ReadonlyMap<string, Readonly<Arm>>
  total: number
  usedTotal: number
  shares: Map<string, readonly number[]>
}

/** A function of the records in their order: every edge that has read as far answers the same. */
export class Arms {
  readonly #decisions = new Map<string, DecisionArms>()
  #offers = 0

  add(exposures: Exposures): void {
    for (const [id, { displays, interactions }] of exposures) {
      const slash = id.indexOf('/')
      const arm = this.#arm(id.slice(0, slash), id.slice(slash + 1))
      if (!arm) continue
      arm.arm.plays += displays
      arm.arm.rewards += interactions
      arm.decision.total += displays + interactions
    }
    for (const decision of this.#decisions.values()) {
      if (decision.total === decision.usedTotal || decision.total < decision.usedTotal * (1 + GROWTH)) continue
      decision.used = new Map([...decision.counted].map(([offer, arm]) => [offer, { ...arm }]))
      decision.usedTotal = decision.total
      decision.shares = new Map()
    }
  }

  /** How likely each offer is the best of them, summing to 1. */
  shares(decision: string, offers: readonly string[]): readonly number[] {
    const known = this.#decision(decision)
    const name = offers.join('/')
    const remembered = known.shares.get(name)
    if (remembered) return remembered
    const shares = winShares(offers.map((offer) => known.used.get(offer) ?? UNKNOWN))
    if (known.shares.size >= SETS_MAX) known.shares.clear()
    known.shares.set(name, shares)
    return shares
  }

  #arm(name: string, offer: string): { decision: DecisionArms; arm: Arm } | undefined {
    if (this.#offers >= OFFERS_MAX && !this.#decisions.get(name)?.counted.has(offer)) return undefined
    const decision = this.#decision(name)
    let arm = decision.counted.get(offer)
    if (!arm) {
      arm = { plays: 0, rewards: 0 }
      decision.counted.set(offer, arm)
      this.#offers++
    }
    return { decision, arm }
  }

  #decision(name: string): DecisionArms {
    let decision = this.#decisions.get(name)
    if (!decision) {
      decision = { counted: new Map(), used: new Map(), total: 0, usedTotal: 0, shares: new Map() }
      this.#decisions.set(name, decision)
    }
    return decision
  }
}

const UNKNOWN: Readonly<Arm> = { plays: 0, rewards: 0 }

/** Follows the counts until `signal` aborts. Never rejects: while the log is away it asks again. */
export async function followArms(
  { plan, engine, clock }: Pick<Edge, 'plan' | 'engine' | 'clock'>,
  arms: Arms,
  signal: AbortSignal,
): Promise<void> {
  if (!plan.rules) return
  let position: number | undefined
  while (!signal.aborted) {
    try {
      const [bounds] = await engine.log.bounds(plan.topics.exposures)
      if (bounds) {
        const from = Math.max(position ?? bounds.end - RECORDS_MAX, bounds.start)
        for await (const run of engine.log.read(bounds, offset(from), { signal })) {
          for (const record of run.records) arms.add(parseExposures(record))
          position = run.to
        }
      }
    } catch {
      // The dependency shows in the health; nothing is lost, the position stays.
    }
    await clock.sleep(RETRY_MS as never, signal)
  }
}
