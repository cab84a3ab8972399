/** Bytes of a raw record → its elements, by the source's format. Pure and bounded; never throws. */
import type { MappingDefinition } from '../../app/schema.ts'
import type { RawRecord } from '../types.ts'
import { decodeCloudEvents, type TextHeaders } from './cloudevents.ts'
import { type SchemaCache, unframeJson } from './confluent.ts'
import { decodeCsv } from './csv.ts'
import { parseJson } from './json.ts'
import { decodeSnowplow } from './snowplow.ts'
import { type Decoded, elementsOf, type Limits, refuse } from './types.ts'

export type Format = MappingDefinition['format']
export type Decode = (record: RawRecord) => Decoded

export function createDecoder(
  format: Format,
  mapping: Pick<MappingDefinition, 'columns' | 'separator'>,
  schemas: SchemaCache,
  limits: Limits,
): Decode {
  const decodeValue = byFormat(format, mapping, schemas, limits)
  return (record) => {
    const { value } = record
    if (value !== null && value.length > limits.recordBytes)
      return refuse('LIMIT', '', `a record of ${value.length} bytes; limits.recordBytes is ${limits.recordBytes}`)
    if (format === 'cloudevents') return decodeCloudEvents(value, textHeaders(record), schemas, limits)
    if (value === null || value.length === 0) return refuse('DECODE', '', 'the record has no value')
    return decodeValue(value)
  }
}

function byFormat(
  format: Format,
  mapping: Pick<MappingDefinition, 'columns' | 'separator'>,
  schemas: SchemaCache,
  limits: Limits,
): (value: Buffer) => Decoded {
  switch (format) {
    case 'avro':
      return (value) => {
        const parsed = schemas.decode(value)
        return parsed.ok ? elementsOf(parsed.value, limits) : parsed
      }
    case 'csv':
    case 'tsv':
      return (value) => decodeCsv(value, { format, columns: mapping.columns, separator: mapping.separator }, limits)
    case 'snowplow-tsv':
      return (value) => decodeSnowplow(value, limits)
    default:
      return (value) => {
        const parsed = parseJson(unframeJson(value), limits)
        return parsed.ok ? elementsOf(parsed.value, limits) : parsed
      }
  }
}

/** Headers as text, names in lower case: `X-Shopify-Topic` and `x-shopify-topic` are one. */
export function textHeaders(record: RawRecord): TextHeaders {
  const headers: Record<string, string> = Object.create(null)
  for (const [name, value] of Object.entries(record.headers)) headers[name.toLowerCase()] = value.toString('utf8')
  return headers
}
