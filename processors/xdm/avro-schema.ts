/**
 * XDM types as Avro: string → string, date-time → timestamp-millis, date → date, integer → int where its bounds fit else
 * long, number → double, record → record, map → map, array → array. Every field that isn't required is a union with null
 * first, so an absent one costs a byte and readers and writers of neighbouring versions resolve.
 */
import type { RecordType, XdmField, XdmType } from './types.ts'

export const AVRO_NAMESPACE = 'rtml.xdm'

type AvroType = string | object

/** @param path of the record, kept as `xdm.path` on each field */
export function toAvroSchema(root: RecordType): object {
  return recordSchema(root, '', new Set())
}

function recordSchema(record: RecordType, path: string, defined: Set<string>): object {
  defined.add(record.name)
  const fields = [...record.fields].map(([name, field]) => fieldSchema(name, field, path, defined))
  const isRoot = path === ''
  return { type: 'record', name: record.name, ...(isRoot ? { namespace: AVRO_NAMESPACE } : {}), fields }
}

function fieldSchema(name: string, field: XdmField, path: string, defined: Set<string>): object {
  const own = path === '' ? name : `${path}.${name}`
  const type = typeSchema(field.type, own, defined)
  return {
    name,
    type: field.required ? type : ['null', type],
    ...(field.required ? {} : { default: null }),
    ...(field.description ? { doc: field.description } : {}),
    'xdm.path': own,
  }
}

function typeSchema(type: XdmType, path: string, defined: Set<string>): AvroType {
  switch (type.kind) {
    case 'string':
    case 'boolean':
      return type.kind
    case 'number':
      return 'double'
    case 'integer':
      return isInt32(type) ? 'int' : 'long'
    case 'date-time':
      return { type: 'long', logicalType: 'timestamp-millis' }
    case 'date':
      return { type: 'int', logicalType: 'date' }
    case 'array':
      return { type: 'array', items: typeSchema(type.items, `${path}[]`, defined) }
    case 'map':
      return { type: 'map', values: typeSchema(type.values, `${path}.*`, defined) }
    case 'record':
      return defined.has(type.name) ? `${AVRO_NAMESPACE}.${type.name}` : recordSchema(type, path, defined)
  }
}

export const isInt32 = (type: { minimum?: number; maximum?: number }): boolean =>
  (type.minimum ?? Number.NEGATIVE_INFINITY) >= -2_147_483_648 &&
  (type.maximum ?? Number.POSITIVE_INFINITY) <= 2_147_483_647
