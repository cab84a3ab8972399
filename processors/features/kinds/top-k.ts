import { Frequencies } from '../aggregates/frequencies.ts'
import type { ValueSlot } from '../encoding.ts'
import { NEVER } from '../track-view.ts'
import type { Vector } from '../types.ts'
import { type Kind, typeOf } from './kind.ts'

/**
 * The k most frequent values inside the window, most frequent in `[0]`; of equals the one that sorts first. Each element
 * of a list is a value. Exact up to `capacity` different values a pane, approximate beyond. Places without one: the default.
 */
export const topK: Kind<'topK'> = {
  kind: 'topK',
  compile(feature) {
    const { definition } = feature
    const type = typeOf(definition)
    const track = feature.track({ reading: { as: 'texts' }, value: definition.value, window: feature.window() })
    const frequencies = new Frequencies(definition.capacity, 1)
    const weights = track.use(frequencies)
    const slots: ValueSlot[] = []
    for (let i = 0; i < definition.k; i++) {
      slots.push(feature.slot({ suffix: `[${i}]`, type, encode: definition.encode, missing: definition.default }))
    }
    const best = new Best(definition.k)
    return {
      write(row, into) {
        track.locate(row)
        best.select(frequencies.fold(weights.column, track.from, track.to))
        for (let i = 0; i < slots.length; i++) {
          if (i >= best.size) slots[i]!.putMissing(into)
          else putValue(slots[i]!, type, best.texts[i]!, into)
        }
      },
      newest(row) {
        track.locate(row)
        return frequencies.fold(weights.column, track.from, track.to).size > 0 ? track.state.newest : NEVER
      },
    }
  },
}

/** Numbers are counted by their text, which has all their digits. */
function putValue(slot: ValueSlot, type: 'number' | 'text', text: string, into: Vector): void {
  if (type === 'text') return slot.putText(text, into)
  const value = Number(text)
  if (text === '' || Number.isNaN(value)) slot.putMissing(into)
  else slot.putNumber(value, into)
}

/** The k heaviest texts of a map, kept sorted in reused arrays. */
class Best {
  readonly texts: string[] = []
  readonly #weights: number[] = []
  readonly #k: number
  size = 0
  constructor(k: number) {
    this.#k = k
  }
  select(weights: ReadonlyMap<string, number>): void {
    this.size = 0
    for (const [text, weight] of weights) {
      let at = this.size
      while (at > 0 && isHeavier(weight, text, this.#weights[at - 1]!, this.texts[at - 1]!)) at--
      if (at >= this.#k) continue
      if (this.size < this.#k) this.size++
      for (let i = this.size - 1; i > at; i--) {
        this.texts[i] = this.texts[i - 1]!
        this.#weights[i] = this.#weights[i - 1]!
      }
      this.texts[at] = text
      this.#weights[at] = weight
    }
  }
}

function isHeavier(weight: number, text: string, than: number, other: string): boolean {
  return weight > than || (weight === than && text < other)
}
