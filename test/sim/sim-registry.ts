import { RtmlError } from '../../processors/app/errors.ts'
import type { Registry } from '../../processors/engine/ports.ts'
import type { Network } from './network.ts'
import type { SimProcess } from './scheduler.ts'

/** The registry as one service: the same schema under the same subject has one id. */
export class SimRegistry {
  readonly #ids = new Map<string, number>()
  readonly #schemas = new Map<number, object>()

  register(subject: string, schema: object): number {
    const known = this.#ids.get(subject)
    if (known !== undefined) return known
    const id = this.#ids.size + 1
    this.#ids.set(subject, id)
    this.#schemas.set(id, schema)
    return id
  }

  schema(id: number): object {
    const schema = this.#schemas.get(id)
    if (schema) return schema
    throw new RtmlError('SCHEMA_ID', `the registry has no schema ${id}`)
  }
}

export function registryPort(registry: SimRegistry, network: Network, process: SimProcess): Registry {
  return {
    register: (subject, schema) =>
      network.call(process, 'registry', `register ${subject}`, () => registry.register(subject, schema)),
    schema: (id) => network.call(process, 'registry', `schema ${id}`, () => registry.schema(id)),
  }
}
