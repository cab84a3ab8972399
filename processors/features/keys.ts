import type { XdmEvent } from '../app/event.ts'
import type { EntityDefinition } from '../app/schema.ts'
import type { Compiler } from './evaluator.ts'
import { textOf } from './input.ts'

/** Keys of one entity that an event touches, without repeats, in the order of the event. */
export type KeyReader = (event: XdmEvent) => string[]

/** Most keys that one event touches in an entity; more are left out, from the end. */
const KEYS_MAX = 100

/** The profile's key is the event's. */
export const profileKeys: KeyReader = (event) => [event.key]

/**
 * A key expression reads the event's fields, and the profile's key as `profile`. One expression: a text, or a list of
 * texts (fan-out). Several: each a part; a list fans out, and every combination is a key. A missing part: no key.
 * @throws when an expression is not one
 */
export function keyReader(key: EntityDefinition['key'], compiler: Compiler): KeyReader {
  const parts = (Array.isArray(key) ? key : [key]).map((it) => compiler.compile(it, { variables: ['profile'] }))
  const isCrossed = Array.isArray(key) && key.length > 1
  return (event) => {
    const variables = { profile: event.key }
    let keys: string[] | undefined
    for (const part of parts) {
      let value: unknown
      try {
        value = part.evaluate(event.xdm, variables)
      } catch {
        return []
      }
      const texts = textsOf(value)
      keys = isCrossed ? crossed(keys, texts) : texts
      if (keys.length === 0) return []
    }
    return [...new Set(keys)].slice(0, KEYS_MAX)
  }
}

function textsOf(value: unknown): string[] {
  const list: unknown[] = Array.isArray(value) ? value.slice(0, KEYS_MAX) : [value]
  return list.map(textOf).filter((it) => it !== undefined && it !== '') as string[]
}

function crossed(heads: readonly string[] | undefined, tails: readonly string[]): string[] {
  if (heads === undefined) return tails.map(escapePart)
  return heads.flatMap((head) => tails.map((tail) => `${head}|${escapePart(tail)}`)).slice(0, KEYS_MAX)
}

/** `|` joins parts, so one inside a part is escaped: (`a|b`, `c`) and (`a`, `b|c`) are two keys. */
function escapePart(part: string): string {
  return part.replace(/[\\|]/g, '\\$&')
}
