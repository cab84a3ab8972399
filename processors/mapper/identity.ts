/**
 * The identities of an event, in the form that joins them: one spelling an identity, one primary an event.
 * Namespaces and their forms: design facts of XDM's identityMap; phone numbers as E.164 (ITU-T).
 */
import type { Identity } from '../app/event.ts'
import type { Application } from '../app/schema.ts'
import { isObject } from './decode/types.ts'

export type IdentityPolicy = Application['identity']

export type Identified =
  | {
      readonly ok: true
      readonly identityMap: Record<string, Identity[]>
      /** `<NAMESPACE>:<id>` of the primary. */
      readonly primary: { readonly namespace: string; readonly index: number }
      /** Namespaces of identities that were left out: not allowed, or no id in their form. */
      readonly lost: readonly string[]
    }
  | { readonly ok: false; readonly path: string; readonly message: string }

/** Standard namespaces are written in one way, whatever a source writes. */
const STANDARD = new Map(
  ['ECID', 'Email', 'Email_LC_SHA256', 'Phone', 'Phone_SHA256', 'GAID', 'IDFA', 'CRMID', 'AAID', 'TNTID', 'IDFV'].map(
    (code) => [code.toLowerCase(), code],
  ),
)

/** Ids that trackers send for "nobody". They would join all of those visitors into one profile. */
const NOBODY = /^(?:|null|undefined|none|nan|unknown|anonymous|\(not set\)|\(none\)|\[object object\]|0+(?:-0+)*)$/i

/** The id in its namespace's form, or undefined when it has none. */
function normalizeId(namespace: string, value: unknown): string | undefined {
  const text = typeof value === 'number' ? String(value) : value
  if (typeof text !== 'string') return undefined
  const id = text.trim()
  if (NOBODY.test(id)) return undefined
  switch (namespace) {
    case 'Email':
      return /^[^\s@]+@[^\s@]+$/.test(id) ? id.toLowerCase() : undefined
    case 'Phone':
      return phoneOf(id)
    case 'Email_LC_SHA256':
    case 'Phone_SHA256':
      return /^[0-9a-f]{64}$/i.test(id) ? id.toLowerCase() : undefined
    default:
      return id
  }
}

/** E.164: + and 7 to 15 digits; 00 stands for +. A number without country code has no such form. */
function phoneOf(text: string): string | undefined {
  const digits = text
    .replace(/^tel:/i, '')
    .replace(/[\s().\-/]/g, '')
    .replace(/^00/, '+')
  return /^\+[1-9]\d{6,14}$/.test(digits) ? digits : undefined
}

/**
 * @param mapped `identityMap` as mapped: lists of `{id}` by namespace
 * The primary is the first of `priority` that the event has; else the one marked; else the first.
 */
export function identify(mapped: unknown, policy: IdentityPolicy): Identified {
  if (!isObject(mapped)) return { ok: false, path: 'identityMap', message: 'the event has no identity' }
  const identityMap: Record<string, Identity[]> = {}
  const lost: string[] = []
  const marked: { namespace: string; index: number }[] = []
  let count = 0
  for (const [name, list] of Object.entries(mapped)) {
    const namespace = STANDARD.get(name.toLowerCase()) ?? name
    if (policy.allowed && !policy.allowed.includes(namespace)) {
      lost.push(namespace)
      continue
    }
    if (!Array.isArray(list)) {
      lost.push(namespace)
      continue
    }
    for (const entry of list as unknown[]) {
      // trackers write "" for a visitor who isn't known: nothing is lost with it
      if (isObject(entry) && (entry.id === '' || entry.id == null)) continue
      const id = isObject(entry) ? normalizeId(namespace, entry.id) : undefined
      if (id === undefined) {
        lost.push(namespace)
        continue
      }
      // a namespace may be called like something that every object inherits
      if (!Object.hasOwn(identityMap, namespace)) identityMap[namespace] = []
      const known = identityMap[namespace] as Identity[]
      const at = known.findIndex((identity) => identity.id === id)
      const { primary, authenticatedState } = entry as Record<string, unknown>
      const index = at >= 0 ? at : known.length
      if (at < 0) {
        if (++count > policy.max)
          return { ok: false, path: 'identityMap', message: `more than ${policy.max} identities; see identity.max` }
        known.push(isState(authenticatedState) ? { id, authenticatedState } : { id })
      }
      // the edge protocol's own examples send it as a text
      if (primary === true || primary === 'true') {
        if (!marked.some((it) => it.namespace === namespace && it.index === index)) marked.push({ namespace, index })
      }
    }
  }
  const primary = choose(identityMap, marked, policy)
  if (!primary) return { ok: false, path: 'identityMap', message: noneMessage(lost) }
  if (primary === 'several')
    return {
      ok: false,
      path: 'identityMap',
      message: `${marked.length} identities are marked primary; mark one, or set identity.priority`,
    }
  const chosen = (identityMap[primary.namespace] as Identity[])[primary.index] as Identity
  chosen.primary = true
  return { ok: true, identityMap, primary, lost }
}

function choose(
  identityMap: Record<string, Identity[]>,
  marked: readonly { namespace: string; index: number }[],
  policy: IdentityPolicy,
): { namespace: string; index: number } | 'several' | undefined {
  for (const namespace of policy.priority) {
    if (!Object.hasOwn(identityMap, namespace)) continue
    return marked.find((it) => it.namespace === namespace) ?? { namespace, index: 0 }
  }
  if (marked.length > 1) return 'several'
  if (marked[0]) return marked[0]
  for (const namespace in identityMap) return { namespace, index: 0 }
  return undefined
}

function noneMessage(lost: readonly string[]): string {
  return lost.length === 0
    ? 'the event has no identity'
    : `no usable identity: those of ${[...new Set(lost)].slice(0, 5).join(', ')} are empty, not in the form of their namespace, or not allowed`
}

const isState = (value: unknown): value is NonNullable<Identity['authenticatedState']> =>
  value === 'ambiguous' || value === 'authenticated' || value === 'loggedOut'
