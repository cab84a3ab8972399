/** Which profile an identity belongs to, from what the profile stage wrote: bounded, in memory, a moment behind the log. */
import { offset } from '../app/units.ts'
import type { LogRecord } from '../engine/ports.ts'
import { parseLink } from '../runtime/stages/links.ts'
import type { Edge } from './edge.ts'
import { within } from './within.ts'

/** About 200 bytes each. */
export const LINKS_MAX = 200_000
const RETRY_MS = 1_000

/** Identity → key of the profile; the oldest are forgotten first. */
export class Links {
  readonly #profiles = new Map<string, string>()
  readonly #max: number

  constructor(max = LINKS_MAX) {
    this.#max = max
  }

  get(identity: string): string | undefined {
    return this.#profiles.get(identity)
  }

  put({ key, value }: Pick<LogRecord, 'key' | 'value'>): void {
    const identity = key?.toString()
    if (identity === undefined) return
    this.#profiles.delete(identity)
    const profile = value === null ? undefined : parseLink(value)
    if (profile === undefined) return
    this.#profiles.set(identity, profile)
    if (this.#profiles.size > this.#max) this.#profiles.delete(this.#profiles.keys().next().value as string)
  }
}

/** Follows the topic from its start until `signal` aborts. Never rejects: while the log is away it asks again. */
export async function followLinks(
  { plan, engine, clock }: Pick<Edge, 'plan' | 'engine' | 'clock'>,
  links: Links,
  signal: AbortSignal,
): Promise<void> {
  if (!plan.app.identity.link) return
  const follow = async (partition: number) => {
    let position = 0
    while (!signal.aborted) {
      try {
        const bounds = (await engine.log.bounds(plan.topics.links))[partition]
        if (bounds) {
          for await (const run of engine.log.read(bounds, offset(Math.max(position, bounds.start)), { signal })) {
            for (const record of run.records) links.put(record)
            position = run.to
          }
        }
      } catch {
        // The dependency shows in the health; nothing is lost, the position stays.
      }
      await clock.sleep(RETRY_MS as never, signal)
    }
  }
  await Promise.all(Array.from({ length: plan.app.partitions }, (_, partition) => follow(partition)))
}

/**
 * The profile that an identity's features lie under: its own, else the one that an event linked it to. Two profiles that both
 * exist stay two: their features are not merged.
 */
export async function profileOfIdentity(
  { links, reader }: Pick<Edge, 'links' | 'reader'>,
  key: string,
  budgetMs: number,
): Promise<string> {
  const linked = links.get(key)
  if (linked === undefined) return key
  // The store is away: whoever asks next finds that out, and says so.
  const own = await within(reader.read(key), budgetMs).catch(() => undefined)
  return own?.status === 'new' && own.pending === 0 ? linked : key
}
