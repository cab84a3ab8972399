/** Caches of this process forget a person as soon as the profile stage has, wherever that runs. */
import { offset } from '../app/units.ts'
import type { Engine } from '../engine/ports.ts'
import { parseErased, subjectOf } from '../outputs/index.ts'
import type { ModelScorer } from '../scorer/index.ts'
import { pseudonymKey } from '../topology.ts'
import type { Edge } from './edge.ts'

/** Keys that are compared between two looks at other work: about a millisecond. */
const KEYS_AT_ONCE = 256
const RETRY_MS = 1_000

type Forgetting = Pick<Edge, 'plan' | 'clock' | 'overlay'> & {
  readonly engine: Pick<Engine, 'log'>
  readonly scorer: Pick<ModelScorer, 'remembered' | 'forget'> | undefined
}

/** Forgets a profile here and now. */
export function forget({ overlay, scorer }: Pick<Forgetting, 'overlay' | 'scorer'>, key: string): void {
  overlay.forget(key)
  scorer?.forget(key)
}

/**
 * Follows the answers of the profile stage until `signal` aborts. They name nobody, so what is cached is compared with them.
 * Never rejects: while the log is away it asks again.
 */
export async function followErasures(
  edge: Forgetting,
  env: (name: string) => string | undefined,
  signal: AbortSignal,
): Promise<void> {
  const { plan, engine, clock } = edge
  const secret = pseudonymKey(plan.app, env)
  let position: number | undefined
  while (!signal.aborted) {
    try {
      const [bounds] = await engine.log.bounds(plan.topics.control)
      // What was erased before this process began is in none of its caches.
      if (bounds) position = Math.max(position ?? bounds.end, bounds.start)
      if (bounds && position !== undefined) {
        for await (const run of engine.log.read(bounds, offset(position), { signal })) {
          const subjects = new Set(run.records.flatMap((record) => parseErased(record)?.subject ?? []))
          if (subjects.size > 0) await forgetSubjects(edge, secret, subjects)
          position = run.to
        }
      }
    } catch {
      // The dependency shows in the health; nothing is lost, the position stays.
    }
    await clock.sleep(RETRY_MS as never, signal)
  }
}

async function forgetSubjects(edge: Forgetting, secret: string, subjects: ReadonlySet<string>): Promise<void> {
  let compared = 0
  for (const keys of [edge.overlay.keys(), edge.scorer?.remembered() ?? []]) {
    // A copy: while this waits, others write.
    for (const key of [...keys]) {
      if (subjects.has(subjectOf(secret, key))) forget(edge, key)
      if (++compared % KEYS_AT_ONCE === 0) await edge.clock.turn()
    }
  }
}
