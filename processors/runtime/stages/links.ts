/** Identities that events carry beside the one that they are keyed by: by any of them a profile can be found. */
import type { XdmEvent } from '../../app/event.ts'
import type { NewRecord } from '../../engine/ports.ts'
import { murmur3 } from '../../features/hash.ts'

/** A person with more identities is a shared device, or nobody. */
export const LINKED_MAX = 64
/** Longer ids are nobody's that asks for a profile: the edge's limit. */
const KEY_BYTES_MAX = 600

/** What a batch did to links, in log order. */
export interface LinkChange {
  readonly identity: string
  /** Key of the profile; null: the person was forgotten. */
  readonly profile: string | null
}

/** Hashes of the identities that a profile is linked by already, so that each link is one record. Ascending. */
export type KnownLinks = readonly number[]

/** All identities of an event, `<NAMESPACE>:<id>`. */
export const identitiesOf = ({ xdm }: Pick<XdmEvent, 'xdm'>): string[] =>
  Object.entries(xdm.identityMap ?? {}).flatMap(([namespace, list]) => list.map(({ id }) => `${namespace}:${id}`))

/**
 * The links that an event adds to what its profile's state knows. A function of the state, so a batch that is computed again
 * gives the same records. Beyond `LINKED_MAX` no more are kept.
 * @returns `known` itself when there is nothing new
 */
export function linksOf(event: XdmEvent, known: KnownLinks, changes: LinkChange[]): KnownLinks {
  let all = known
  for (const identity of identitiesOf(event)) {
    if (identity === event.key || all.length >= LINKED_MAX || identity.length > KEY_BYTES_MAX) continue
    const hash = murmur3(identity)
    if (all.includes(hash)) continue
    all = [...all, hash].sort((a, b) => a - b)
    changes.push({ identity, profile: event.key })
  }
  return all
}

/** Key: the identity. Value: `{"profile": "<NAMESPACE>:<id>"}`. */
export const linkRecord = (topic: string, { identity, profile }: LinkChange): NewRecord => ({
  topic,
  key: Buffer.from(identity),
  value: profile === null ? null : Buffer.from(JSON.stringify({ profile })),
})

/** @returns undefined for what is no link */
export function parseLink(value: Buffer): string | undefined {
  try {
    const { profile } = JSON.parse(value.toString()) as { profile?: unknown }
    return typeof profile === 'string' && profile.includes(':') ? profile : undefined
  } catch {
    return undefined
  }
}

/** Begins a section of a packed profile, after the consent's; those of segments begin with another byte. */
const MARK = 0xc1

/** Mark, count (1 byte), hashes (4 bytes each). */
export function encodeLinks(links: KnownLinks): Buffer {
  const bytes = Buffer.alloc(2 + 4 * links.length)
  bytes[0] = MARK
  bytes[1] = links.length
  for (const [index, hash] of links.entries()) bytes.writeUInt32LE(hash, 2 + 4 * index)
  return bytes
}

/** @returns the links at the beginning of the bytes, if some are there, and what comes after them */
export function decodeLinks(bytes: Buffer): { readonly links: KnownLinks | undefined; readonly rest: Buffer } {
  const count = bytes[1] ?? 0
  const end = 2 + 4 * count
  if (bytes[0] !== MARK || bytes.length < end) return { links: undefined, rest: bytes }
  const links = Array.from({ length: count }, (_, index) => bytes.readUInt32LE(2 + 4 * index))
  return { links, rest: bytes.subarray(end) }
}
