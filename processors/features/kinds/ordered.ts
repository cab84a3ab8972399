import { type Entries, Ordered } from '../aggregates/ordered.ts'
import type { ValueSlot } from '../encoding.ts'
import { NEVER } from '../track-view.ts'
import { type FeatureBuilder, type FeatureReader, typeOf } from './kind.ts'

/** What `first`, `last` and `lastN` have in common. An encoded text is kept as its code: one byte instead of the text. */
export function compileOrdered(
  feature: FeatureBuilder<'first'> | FeatureBuilder<'last'> | FeatureBuilder<'lastN'>,
  which: 'first' | 'last',
): FeatureReader {
  const { definition } = feature
  const { encode, value } = definition
  const type = typeOf(definition)
  const n = definition.kind === 'lastN' ? definition.n : 1
  const track = feature.track({
    reading: encode !== undefined ? { as: 'code', encode } : { as: type },
    value,
    window: feature.window(),
  })
  const ordered = new Ordered(which, n, encode !== undefined ? 'number' : type)
  const values = track.use<Entries[], Ordered>(ordered)
  const slots: ValueSlot[] = []
  for (let i = 0; i < n; i++) {
    const suffix = definition.kind === 'lastN' ? { suffix: `[${i}]` } : {}
    slots.push(feature.slot({ ...suffix, type, encode, missing: definition.default }))
  }
  return {
    write(row, into) {
      track.locate(row)
      const entries = ordered.fold(values.column, track.from, track.to).value
      for (let i = 0; i < slots.length; i++) {
        const entry = entries[i]
        if (entry === undefined) slots[i]!.putMissing(into)
        else if (typeof entry === 'number') slots[i]!.putNumber(entry, into)
        else slots[i]!.putText(entry, into)
      }
    },
    newest(row) {
      track.locate(row)
      return ordered.fold(values.column, track.from, track.to).ts[0] ?? NEVER
    },
  }
}
