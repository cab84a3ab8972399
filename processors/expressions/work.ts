import { refuse } from './errors.ts'
import { MAX_WORK } from './limits.ts'

/**
 * Work left to the evaluation under way. One variable for the whole module is enough because an evaluation is synchronous and never
 * starts another; it is set before, so nothing is carried from one evaluation to the next.
 */
let left = MAX_WORK

export function startWork(): void {
  left = MAX_WORK
}

/** @throws ExpressionError `limit` when the evaluation has used up its work */
export function spend(units: number): void {
  left -= units
  if (left < 0) refuse('limit', 'The evaluation takes too much work. Loop over fewer elements, or shorten the texts.')
}
