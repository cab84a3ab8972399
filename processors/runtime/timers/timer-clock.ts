import type { EpochMs } from '../../app/units.ts'

/**
 * What time it is for timers, by partition: event time that goes on while no event comes. `lead` is by how much event time
 * was ahead of the log's clock at most (live events: about 0; a replay of old ones: years behind), so the clock is now + lead.
 * A replay of old data therefore meets its exits as its own time passes, and a silent partition still comes to them.
 */
export class TimerClock {
  readonly #leads = new Map<number, number>()

  /** @param timestamp when the log took the record that says that it is `eventTime` */
  observe(partition: number, eventTime: number, timestamp: number): void {
    const lead = eventTime - timestamp
    const known = this.#leads.get(partition)
    if (known === undefined || lead > known) this.#leads.set(partition, lead)
  }

  /** Undefined: nothing is known of the partition. */
  now(partition: number, wall: EpochMs): number | undefined {
    const lead = this.#leads.get(partition)
    return lead === undefined ? undefined : wall + lead
  }
}
