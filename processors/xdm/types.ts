/** Text that must have a form. `uri-reference` is kept as text of any form: events in the wild carry ids there. */
export type TextFormat = 'uri' | 'uri-reference' | 'ipv4' | 'ipv6'

/** The type of an XDM value: a tree without cycles. */
export type XdmType =
  | {
      readonly kind: 'string'
      readonly format?: TextFormat
      readonly enum?: readonly string[]
      /** Regular expression, unanchored as in JSON Schema. */
      readonly pattern?: string
      readonly minLength?: number
      readonly maxLength?: number
    }
  | { readonly kind: 'integer'; readonly minimum?: number; readonly maximum?: number }
  | {
      readonly kind: 'number'
      readonly minimum?: number
      readonly maximum?: number
      readonly exclusiveMinimum?: number
    }
  | { readonly kind: 'boolean' }
  /** RFC 3339 text; kept as UTC with milliseconds. */
  | { readonly kind: 'date-time' }
  /** `YYYY-MM-DD`. */
  | { readonly kind: 'date' }
  | { readonly kind: 'array'; readonly items: XdmType; readonly minItems?: number; readonly maxItems?: number }
  | { readonly kind: 'map'; readonly values: XdmType }
  | RecordType

export interface RecordType {
  readonly kind: 'record'
  /** Unique in the schema; a legal Avro and TypeScript name. Records of one name are one object. */
  readonly name: string
  readonly fields: ReadonlyMap<string, XdmField>
}

export interface XdmField {
  readonly type: XdmType
  /** The enclosing record is invalid without it. */
  readonly required: boolean
  readonly description?: string
}

/** One leaf of the schema, for docs and completion. */
export interface XdmPath {
  /** `commerce.order.priceTotal`, `productListItems[].SKU`, `identityMap.*[].id` (`*` = any key of a map). */
  readonly path: string
  /** `string`, `date-time`, `string[]`, `map<number>`… */
  readonly type: string
  readonly title: string
  readonly description?: string
  readonly required: boolean
}

/** Bounds of an integer: what avsc, and so most readers in JavaScript, keep exactly. Beyond 2^53 − 2 it refuses, below −2^52 it loses the sign. */
export const MAX_WHOLE = 9_007_199_254_740_990
export const MIN_WHOLE = -4_503_599_627_370_496

/** How a type reads in messages and docs: `integer`, `string[]`, `map<Identity[]>`, `Commerce`. */
export function describeType(type: XdmType): string {
  switch (type.kind) {
    case 'array':
      return `${describeType(type.items)}[]`
    case 'map':
      return `map<${describeType(type.values)}>`
    case 'record':
      return 'object'
    case 'string':
      return type.format ?? (type.enum ? type.enum.join(' | ') : 'string')
    default:
      return type.kind
  }
}

/** `priceTotal` → `Price total`, `SKU` → `SKU`, `_id` → `Id`. */
export function titleOf(name: string): string {
  const words = name
    .replace(/^_/, '')
    .replace(/([a-z\d])([A-Z])/g, '$1 $2')
    .split(' ')
  return words
    .map((word, index) => (/^[A-Z]{2,}/.test(word) ? word : index === 0 ? upperFirst(word) : word.toLowerCase()))
    .join(' ')
}

export const upperFirst = (text: string): string => text.charAt(0).toUpperCase() + text.slice(1)
