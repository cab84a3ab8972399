import { ByteReader, ByteWriter, corrupt } from './bytes.ts'
import { numbers } from './sized.ts'
import { decodeTrack, encodeTrack, newTrackState, type TrackShape, type TrackState } from './track.ts'
import type { KeyState } from './types.ts'

/** The decoded state of one key. */
export class State implements KeyState {
  /** Latest event time; −Infinity when the key has seen no event. */
  time = Number.NEGATIVE_INFINITY
  /** Ids that the key remembers, oldest arrival first: hash, and event time in steps of the ring. */
  ringHashes: number[] = []
  ringSteps: number[] = []
  readonly tracks: TrackState[]
  /** No part of the state: until this time there is nothing to forget. */
  #quietUntil = Number.NEGATIVE_INFINITY
  constructor(tracks: readonly TrackShape[]) {
    this.tracks = new Array<TrackState>(tracks.length)
    for (let i = 0; i < tracks.length; i++) this.tracks[i] = newTrackState(tracks[i]!)
  }
  get quietUntil(): number {
    return this.#quietUntil
  }
  set quietUntil(time: number) {
    this.#quietUntil = time
  }
}

/** Most ids that a ring can hold. */
const RING_MAX = 1_024

/** What decides the bytes of a state. */
export interface StateShape {
  readonly layoutId: number
  /** Length of a step of the ring, ms. */
  readonly ringStep: number
  readonly tracks: readonly TrackShape[]
}

const writer = new ByteWriter()
const reader = new ByteReader()

/**
 * Layout id (u32), key's time (zigzag + 1; 0 = empty state, and the blob ends there), ring (count; 48-bit hash and age in
 * steps each), tracks in the order of the layout.
 */
export function encodeState(shape: StateShape, state: State): Buffer {
  const { time } = state
  writer.start()
  writer.u32(shape.layoutId)
  if (time === Number.NEGATIVE_INFINITY) {
    writer.varint(0)
    return writer.finish()
  }
  writer.varint((time >= 0 ? time * 2 : -time * 2 - 1) + 1)
  const { ringHashes, ringSteps } = state
  const step = Math.floor(time / shape.ringStep)
  writer.varint(ringHashes.length)
  for (let i = 0; i < ringHashes.length; i++) {
    writer.u48(ringHashes[i]!)
    writer.varint(step - ringSteps[i]!)
  }
  for (let i = 0; i < shape.tracks.length; i++) encodeTrack(shape.tracks[i]!, state.tracks[i]!, writer, time)
  return writer.finish()
}

/** @returns the layout id that the bytes name. @throws when there are fewer than four bytes */
export function layoutIdOf(packed: Buffer): number {
  if (packed.length < 4) throw corrupt(`${packed.length} bytes are no state`)
  return packed.readUInt32LE(0)
}

/**
 * Reads a state of the given shape.
 * @param into state whose tracks are those of `shape`, in its order; an older layout passes the places of the new one
 * @returns the bytes that the state takes; others may follow
 * @throws when the bytes are corrupt
 */
export function decodeState(shape: StateShape, packed: Buffer, into: State, tracks: readonly TrackState[]): number {
  reader.start(packed)
  reader.u32()
  const token = reader.varint()
  if (token === 0) return reader.leave()
  const time = token % 2 === 1 ? (token - 1) / 2 : -token / 2
  into.time = time
  const step = Math.floor(time / shape.ringStep)
  const size = reader.count(RING_MAX)
  if (size > 0) {
    into.ringHashes = numbers(size)
    into.ringSteps = numbers(size)
  }
  for (let i = 0; i < size; i++) {
    into.ringHashes[i] = reader.u48()
    into.ringSteps[i] = step - reader.varint()
  }
  for (let i = 0; i < shape.tracks.length; i++) decodeTrack(shape.tracks[i]!, tracks[i]!, reader, time)
  return reader.leave()
}
