import type { LogRecord, NewRecord } from '../../engine/ports.ts'

/** When a profile must be looked at again although nothing happens to it. Compacted by profile. */
export interface Timer {
  readonly key: string
  /** Event time; 0 = none any more. */
  readonly due: number
  /** Event time at which that was found. */
  readonly at: number
}

export function timerRecord(timer: Timer & { readonly topic: string }): NewRecord {
  const { topic, key, due, at } = timer
  const value = due === 0 ? null : Buffer.from(JSON.stringify({ due, at }))
  return { topic, key: Buffer.from(key), value }
}

/** @returns undefined for what is no timer */
export function readTimer({ key, value }: Pick<LogRecord, 'key' | 'value'>): Timer | undefined {
  if (!key) return undefined
  if (value === null) return { key: key.toString(), due: 0, at: 0 }
  try {
    const { due, at } = JSON.parse(value.toString()) as { due?: unknown; at?: unknown }
    if (typeof due !== 'number' || typeof at !== 'number') return undefined
    return { key: key.toString(), due, at }
  } catch {
    return undefined
  }
}
