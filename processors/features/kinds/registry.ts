import { buckets } from './buckets.ts'
import { count } from './count.ts'
import { decayedCount } from './decayed-count.ts'
import { decayedSum } from './decayed-sum.ts'
import { distinct } from './distinct.ts'
import { event } from './event.ts'
import { first } from './first.ts'
import type { Kind, KindName } from './kind.ts'
import { last } from './last.ts'
import { lastN } from './last-n.ts'
import { lookup } from './lookup.ts'
import { max } from './max.ts'
import { mean } from './mean.ts'
import { min } from './min.ts'
import { ratio } from './ratio.ts'
import { recency } from './recency.ts'
import { session } from './session.ts'
import { sum } from './sum.ts'
import { topK } from './top-k.ts'
import { variance } from './variance.ts'

/** Every kind of feature by name. The type refuses a kind of the schema that has no line here. */
export const KINDS: { readonly [K in KindName]: Kind<K> } = {
  count,
  sum,
  mean,
  min,
  max,
  variance,
  distinct,
  last,
  first,
  lastN,
  topK,
  ratio,
  decayedCount,
  decayedSum,
  recency,
  session,
  buckets,
  event,
  lookup,
}
