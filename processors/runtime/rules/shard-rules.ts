import type { RuleCompiler, Rules, SegmentDefinition } from '../../decisions/rules.ts'
import { onTop } from './rule-record.ts'

/** Which changed segments hold in a shard. Lies among its states, so that every replay has the rules of that position. */
export interface ShardRules {
  readonly revision: number
  readonly segments: Readonly<Record<string, SegmentDefinition>>
}

export const INITIAL: ShardRules = { revision: 0, segments: {} }

/** No key of an event begins with this character. */
export const RULES_KEY = '\u0000rules'

/** Whether a state is a shard's own and no profile's. */
export const isShardKey = (key: string): boolean => key.charCodeAt(0) === 0

const LAYOUT_BYTES = 4

/** Looks like a packed state as far as the layout id, which whoever copies states may read. */
export function packShardRules(rules: ShardRules, layoutId: number, skipBytes: number): Buffer {
  const head = Buffer.alloc(skipBytes + LAYOUT_BYTES)
  head.writeUInt32LE(layoutId, skipBytes)
  return Buffer.concat([head, Buffer.from(JSON.stringify(rules))])
}

export const unpackShardRules = (packed: Buffer, skipBytes: number): ShardRules =>
  JSON.parse(packed.subarray(skipBytes + LAYOUT_BYTES).toString()) as ShardRules

/** @returns undefined for what is none */
export function parseShardRules(data: unknown): ShardRules | undefined {
  const { revision, segments } = (data ?? {}) as Partial<ShardRules>
  if (typeof revision !== 'number' || typeof segments !== 'object' || segments === null) return undefined
  return { revision, segments }
}

const COMPILED_MAX = 8

/** Compiled rules by what holds in a shard: shards stand at different positions, and so at different revisions. */
export class CompiledRules {
  readonly #compiler: RuleCompiler
  readonly #initial: Rules
  readonly #compiled = new Map<string, Rules>()

  constructor(compiler: RuleCompiler, initial: Rules) {
    this.#compiler = compiler
    this.#initial = initial
  }

  of({ revision, segments }: ShardRules): Rules {
    if (revision === 0) return this.#initial
    const key = `${revision} ${JSON.stringify(segments)}`
    const known = this.#compiled.get(key)
    if (known) return known
    const rules = this.#compile(revision, segments)
    if (this.#compiled.size >= COMPILED_MAX) this.#compiled.delete(this.#compiled.keys().next().value!)
    this.#compiled.set(key, rules)
    return rules
  }

  /** Those that this application file can't evaluate leave it with its own. */
  #compile(revision: number, segments: ShardRules['segments']): Rules {
    const { definitions } = this.#initial
    try {
      return this.#compiler.compile(onTop({ ...definitions, decisions: {} }, { segments, decisions: {} }), revision)
    } catch {
      return { ...this.#initial, revision }
    }
  }
}
