import { RtmlError } from '../app/errors.ts'
import { didYouMean } from '../app/suggest.ts'
import type { Dtype, Schema } from './frame.ts'

/** Where in a graph something is wrong. */
export interface Where {
  readonly node: string
  readonly port?: string | undefined
}

/** @throws RtmlError GRAPH naming node and port */
export function refuse({ node, port }: Where, text: string): never {
  throw new RtmlError('GRAPH', text, { place: `node ${node}${port === undefined ? '' : `, port ${port}`}` })
}

/** The type of a column that a node reads. @throws RtmlError GRAPH */
export function wanted(schema: Schema, name: string, where: Where): Dtype {
  const dtype = schema.get(name)
  if (dtype === undefined) {
    refuse(
      where,
      `column ${JSON.stringify(name)} is missing.${didYouMean(name, schema.keys()) || ' There are no columns.'}`,
    )
  }
  return dtype
}

/** @throws RtmlError GRAPH when the column is missing or of another type */
export function wantedAs(schema: Schema, name: string, allowed: readonly Dtype[], where: Where, remedy: string): Dtype {
  const dtype = wanted(schema, name, where)
  if (!allowed.includes(dtype)) {
    refuse(where, `column ${JSON.stringify(name)} is ${dtype}, wanted ${allowed.join(' or ')}. ${remedy}`)
  }
  return dtype
}
