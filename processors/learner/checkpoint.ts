import { type Offset, offset } from '../app/units.ts'
import { StateReader, StateWriter } from './bytes.ts'
import { decodeLearner } from './create.ts'
import type { Learner } from './types.ts'

const KIND = 'learner-checkpoint'

/** How far a learner had read when it was written: next offset by `topic[partition]`. */
export type Positions = Readonly<Record<string, Offset>>

export interface Checkpoint {
  readonly learner: Learner
  readonly positions: Positions
}

/** Learner and positions in one value: written apart, a crash between the two would learn examples twice or never. */
export function encodeCheckpoint({ learner, positions }: Checkpoint): Uint8Array {
  const places = Object.entries(positions).sort(([a], [b]) => (a < b ? -1 : 1))
  const writer = new StateWriter(KIND).u32(places.length)
  for (const [place, position] of places) writer.text(place).f64(position)
  return writer.bytes(learner.encode()).done()
}

/** @throws Error when the bytes are damaged */
export function decodeCheckpoint(bytes: Uint8Array): Checkpoint {
  const reader = new StateReader(bytes, KIND)
  const positions: Record<string, Offset> = {}
  for (let n = reader.u32(); n > 0; n--) positions[reader.text()] = offset(reader.f64())
  const learner = decodeLearner(reader.bytes())
  reader.end()
  return { learner, positions }
}
