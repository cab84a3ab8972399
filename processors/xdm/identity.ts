import type { Xdm } from '../app/event.ts'

/**
 * The key of an event: `<NAMESPACE>:<id>` of the identity marked primary, else of the first one. The mapper marks the
 * identity that it chooses, so mapper and decoder agree whatever the order of namespaces.
 * @returns undefined when the event carries no identity
 */
export function primaryKey(xdm: Pick<Xdm, 'identityMap'>): string | undefined {
  let first: string | undefined
  for (const namespace in xdm.identityMap) {
    for (const identity of xdm.identityMap[namespace]!) {
      if (identity.primary === true) return `${namespace}:${identity.id}`
      first ??= `${namespace}:${identity.id}`
    }
  }
  return first
}
