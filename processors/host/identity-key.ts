import { type Application, mappingSchema } from '../app/schema.ts'
import { type EpochMs, ms } from '../app/units.ts'
import { createMapper, type Mapper } from '../mapper/index.ts'
import type { Plan } from '../topology.ts'

const AS_IT_IS = mappingSchema.parse({ mapping: 'edge', fields: { '*': 'record', timestamp: 'record.timestamp' } })

/** Takes XDM as it would stand in `xdm.events`: identities, consent and privacy as in every mapping. */
export function xdmMapper(
  plan: Pick<Plan, 'app' | 'schema' | 'expressions'> & { readonly app: Application },
  secrets: (name: string) => string | undefined,
): Mapper {
  return createMapper({
    name: 'edge',
    source: { mapping: AS_IT_IS, keyedBy: 'source', maxFutureSkew: ms(600_000) },
    mapping: AS_IT_IS,
    app: plan.app,
    schema: plan.schema,
    expressions: plan.expressions,
    secrets,
  })
}

/**
 * The key that events of an identity get: written, allowed and hashed as in every mapping.
 * @returns undefined when no profile can be kept under it
 */
export function identityKey(
  mapper: Mapper,
  { namespace, id }: { readonly namespace: string; readonly id: string },
  timestamp: EpochMs,
): string | undefined {
  const xdm = {
    _id: 'key',
    timestamp: new Date(timestamp).toISOString(),
    identityMap: { [namespace]: [{ id, primary: true }] },
    consents: { collect: { val: 'y' } },
  }
  const value = Buffer.from(JSON.stringify(xdm))
  return mapper.map({ key: null, value, headers: {}, timestamp, place: 'edge' }).events[0]?.key
}
