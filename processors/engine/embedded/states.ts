import type { EpochMs } from '../../app/units.ts'
import type { Table } from './environment.ts'
import { idKey, isHashedKey, stateKey } from './keys.ts'

/**
 * States in LMDB. An entry's version is the wall time when it expires (0 = never). Under a hashed key the value begins
 * with the key itself: u32 length · UTF-8.
 */

const LENGTH_BYTES = 4

export function readState(table: Table, statesId: number, name: string, now: EpochMs): Buffer | undefined {
  const key = stateKey(statesId, name)
  const entry = table.getEntry(key)
  if (!entry || isExpired(entry.version, now)) return undefined
  return isHashedKey(key) ? unwrap(entry.value).state : entry.value
}

export function writeState(table: Table, statesId: number, name: string, state: Buffer, expires: number): void {
  const key = stateKey(statesId, name)
  table.putSync(key, isHashedKey(key) ? wrap(name, state) : state, expires)
}

export function removeState(table: Table, statesId: number, name: string): void {
  table.removeSync(stateKey(statesId, name))
}

/**
 * Calls `each` for live states after the key `after`, until it returns false.
 * @returns the last key seen, to go on after it; undefined when there are no more
 */
export function forEachState(
  table: Table,
  statesId: number,
  after: Buffer | undefined,
  now: EpochMs,
  each: (name: string, state: Buffer) => boolean,
): Buffer | undefined {
  const range = { start: after ?? idKey(statesId), end: idKey(statesId + 1), exclusiveStart: true, versions: true }
  for (const { key, value, version } of table.getRange(range)) {
    if (isExpired(version, now)) continue
    const more = isHashedKey(key)
      ? each(unwrap(value).name, unwrap(value).state)
      : each(key.toString('utf8', idKey(statesId).length), value)
    if (!more) return key
  }
  return undefined
}

export const isExpired = (expires: number | undefined, now: EpochMs): boolean =>
  expires !== undefined && expires !== 0 && expires <= now

function wrap(name: string, state: Buffer): Buffer {
  const text = Buffer.from(name)
  const length = Buffer.allocUnsafe(LENGTH_BYTES)
  length.writeUInt32LE(text.length)
  return Buffer.concat([length, text, state])
}

function unwrap(value: Buffer): { name: string; state: Buffer } {
  const length = value.readUInt32LE()
  return {
    name: value.toString('utf8', LENGTH_BYTES, LENGTH_BYTES + length),
    state: value.subarray(LENGTH_BYTES + length),
  }
}
