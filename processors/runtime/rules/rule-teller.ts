import type { Shard } from '../../engine/ports.ts'
import type { ShardContext } from '../context.ts'
import { controlRecord } from '../stages/control-records.ts'
import { PSEUDONYM_BYTES } from '../stages/profile-state.ts'
import type { RuleBook } from './rule-book.ts'
import { RULES_KEY, unpackShardRules } from './shard-rules.ts'

/** A shard that has not taken its rules over by then is told again. */
const AGAIN_MS = 30_000
/** A store may have forgotten it, or a reshard have left it behind. */
const LOOK_AGAIN_MS = 60_000

/**
 * Tells shards that changed rules hold from here: by a record in each one's own input, so that the change has a position
 * among the events, and every replay meets it there.
 */
export class RuleTeller {
  readonly #context: Pick<ShardContext, 'log' | 'store' | 'clock'>
  readonly #rules: Pick<RuleBook, 'revision' | 'overlay'>
  readonly #told = new Map<number, { readonly revision: number; readonly at: number }>()
  readonly #known = new Map<number, { readonly revision: number; readonly at: number }>()

  constructor(context: Pick<ShardContext, 'log' | 'store' | 'clock'>, rules: Pick<RuleBook, 'revision' | 'overlay'>) {
    this.#context = context
    this.#rules = rules
  }

  /** @throws RtmlError LOG_DOWN, STORE_DOWN */
  async tell(shard: Shard): Promise<void> {
    const { revision, overlay } = this.#rules
    const { partition, topic } = shard
    if (revision === 0) return
    const { log, store, clock } = this.#context
    const now = clock.now()
    const before = this.#known.get(partition)
    if (before && before.revision >= revision && now - before.at < LOOK_AGAIN_MS) return
    const [packed] = await store.load(shard, [RULES_KEY])
    const known = packed ? unpackShardRules(packed, PSEUDONYM_BYTES).revision : 0
    this.#known.set(partition, { revision: known, at: now })
    const told = this.#told.get(partition)
    if (known >= revision || (told?.revision === revision && now - told.at < AGAIN_MS)) return
    const data = { revision, segments: overlay.segments }
    await log.append([controlRecord({ topic, partition, kind: 'rules', data })])
    this.#told.set(partition, { revision, at: now })
  }
}
