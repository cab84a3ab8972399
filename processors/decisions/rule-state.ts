import { ByteReader, ByteWriter } from '../features/bytes.ts'
import { murmur3 } from '../features/hash.ts'

/** Whether a profile is in a segment, and since when it is so. */
export interface Membership {
  isIn: boolean
  /** Event time of the transition. */
  since: number
}

/** What a profile's state keeps for segments, beside its features. Mutable, owned by one batch at a time. */
export interface RuleState {
  /** Latest instant that the segments were evaluated at; −Infinity: never. It never goes back. */
  time: number
  /** When the profile's timer is due; 0 = none is set. */
  timer: number
  /** Offset + 1 of the last event that was scored; 0 = none. */
  scored: number
  /** The scores of that event are the ones below. */
  isSettled: boolean
  /** Last known scores that segments read, by hash of `service` or `service.output`. */
  scores: Map<number, number>
  /** By hash of the segment's name; only segments that the profile has ever entered. */
  memberships: Map<number, Membership>
}

export const newRuleState = (): RuleState => ({
  time: Number.NEGATIVE_INFINITY,
  timer: 0,
  scored: 0,
  isSettled: false,
  scores: new Map(),
  memberships: new Map(),
})

/** Hash of a segment's or service's name: names may come and go without moving what the state says of the others. */
export const nameHash = (name: string): number => murmur3(name)

/** Raised when bytes change; older formats stay readable. */
const FORMAT = 1

export const isEmptyRuleState = ({ timer, scores, memberships, scored }: RuleState): boolean =>
  timer === 0 && scored === 0 && scores.size === 0 && memberships.size === 0

const writer = new ByteWriter()
const reader = new ByteReader()
const NOTHING = Buffer.alloc(0)
const MEMBERS_MAX = 4_096

const zigzag = (value: number): number => (value >= 0 ? value * 2 : -value * 2 - 1)
const unzigzag = (token: number): number => (token % 2 === 0 ? token / 2 : -(token + 1) / 2)

/**
 * Format (1 byte), time, timer as time from it (0 = none), scored × 2 + settled, scores (hash, float64), memberships (hash,
 * age of the transition × 2 + in). Empty: no byte at all. Entries in the order of their hashes: equal states, equal bytes.
 */
export function encodeRuleState(state: RuleState): Buffer {
  if (isEmptyRuleState(state)) return NOTHING
  writer.start()
  writer.byte(FORMAT)
  const time = state.time === Number.NEGATIVE_INFINITY ? 0 : state.time
  writer.varint(state.time === Number.NEGATIVE_INFINITY ? 0 : zigzag(time) + 1)
  writer.varint(state.timer === 0 ? 0 : zigzag(state.timer - time) + 1)
  writer.varint(state.scored * 2 + (state.isSettled ? 1 : 0))
  writer.varint(state.scores.size)
  for (const hash of sorted(state.scores)) {
    writer.u32(hash)
    writer.float64(state.scores.get(hash)!)
  }
  writer.varint(state.memberships.size)
  for (const hash of sorted(state.memberships)) {
    const { isIn, since } = state.memberships.get(hash)!
    writer.u32(hash)
    writer.varint(zigzag(time - since) * 2 + (isIn ? 1 : 0))
  }
  return writer.finish()
}

/** @throws Error for damaged bytes, or a format that this release doesn't know */
export function decodeRuleState(bytes: Buffer): RuleState {
  const state = newRuleState()
  if (bytes.length === 0) return state
  reader.start(bytes)
  const format = reader.byte()
  if (format !== FORMAT) throw new Error(`the state's segments have format ${format}; this release reads ${FORMAT}`)
  const token = reader.varint()
  const time = token === 0 ? 0 : unzigzag(token - 1)
  state.time = token === 0 ? Number.NEGATIVE_INFINITY : time
  const timer = reader.varint()
  state.timer = timer === 0 ? 0 : time + unzigzag(timer - 1)
  const scored = reader.varint()
  state.scored = Math.floor(scored / 2)
  state.isSettled = scored % 2 === 1
  for (let left = reader.count(MEMBERS_MAX); left > 0; left--) state.scores.set(reader.u32(), reader.float64())
  for (let left = reader.count(MEMBERS_MAX); left > 0; left--) {
    const hash = reader.u32()
    const packed = reader.varint()
    state.memberships.set(hash, { isIn: packed % 2 === 1, since: time - unzigzag(Math.floor(packed / 2)) })
  }
  reader.finish()
  return state
}

const sorted = (map: ReadonlyMap<number, unknown>): number[] => [...map.keys()].sort((a, b) => a - b)
