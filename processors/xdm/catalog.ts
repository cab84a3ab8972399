/**
 * Reads the notation of schemas/xdm/*.json into types. A field is either an object (its own fields) or one line:
 *
 *     base [':' range] suffixes ['!'] [' ' description]       number:-90..90 · string:..20 · Geo[]:4.. · Identity[]{} · nonEmpty!
 *
 * base: string, integer, number, boolean, date-time, date, uri, uri-reference, ipv4, ipv6, `enum:a,b`, a scalar or a record
 * of datatypes.json; `[]` makes an array, `{}` a map; `!` = required.
 */
import datatypes from '../../schemas/xdm/datatypes.json' with { type: 'json' }
import fieldgroups from '../../schemas/xdm/fieldgroups.json' with { type: 'json' }
import { type RecordType, upperFirst, type XdmField, type XdmType } from './types.ts'

type Declaration = string | { readonly [field: string]: Declaration }
type Declarations = { readonly [name: string]: { readonly [field: string]: Declaration } }

const SCALARS = datatypes.scalars as Readonly<Record<string, Record<string, unknown>>>
const RECORDS = datatypes.records as Declarations
const GROUPS = fieldgroups.groups as Declarations

/** Names of all field groups, in the order of fieldgroups.json. */
export const FIELD_GROUPS: readonly string[] = Object.keys(GROUPS)

/** The standard values of `eventType`, sorted; advisory, other values are allowed. */
export const EVENT_TYPES: readonly string[] = fieldgroups.eventTypes

const LINE = /^([A-Za-z][A-Za-z\d-]*)(!?)(?::([^\s[\]{}!]+))?((?:\[\](?::\d*\.\.\d*)?|\{\})*)(!?)(?: (.*))?$/

/** Fields of the ExperienceEvent class and of the named groups. Every name must be in `FIELD_GROUPS`. */
export function eventFields(groups: readonly string[]): Map<string, XdmField> {
  const records = new Map<string, RecordType>()
  const fields = readFields(fieldgroups.class, 'Event', records)
  for (const group of groups) {
    for (const [name, field] of readFields(GROUPS[group]!, 'Event', records)) {
      if (!fields.has(name)) fields.set(name, field)
    }
  }
  return fields
}

function readFields(
  declared: { readonly [field: string]: Declaration },
  owner: string,
  records: Map<string, RecordType>,
): Map<string, XdmField> {
  return new Map(Object.entries(declared).map(([name, line]) => [name, readField(line, owner, name, records)]))
}

function readField(line: Declaration, owner: string, name: string, records: Map<string, RecordType>): XdmField {
  if (typeof line !== 'string') {
    return { type: readRecord(inlineName(owner, name), line, records), required: false }
  }
  const match = LINE.exec(line)
  if (!match) throw new Error(`schemas/xdm ${owner}.${name}: cannot read "${line}"`)
  const [, base, early, range, suffixes, late, description] = match
  const type = withSuffixes(readBase(base!, range, `${owner}.${name}`, records), suffixes!)
  const about = description ?? (SCALARS[base!]?.description as string | undefined)
  return { type, required: early === '!' || late === '!', ...(about ? { description: about } : {}) }
}

/** Records of one name are the same object, so that Avro and TypeScript define them once. */
function readRecord(
  name: string,
  declared: { readonly [field: string]: Declaration },
  records: Map<string, RecordType>,
): RecordType {
  const known = records.get(name)
  if (known) return known
  const record: RecordType = { kind: 'record', name, fields: readFields(declared, name, records) }
  records.set(name, record)
  return record
}

/** Avro allows [A-Za-z0-9_]; field names here are that already, apart from the case of the first letter. */
export const inlineName = (owner: string, field: string): string => `${owner}${upperFirst(field.replace(/^_/, ''))}`

function readBase(base: string, range: string | undefined, place: string, records: Map<string, RecordType>): XdmType {
  switch (base) {
    case 'enum':
      return { kind: 'string', enum: range!.split(',') }
    case 'string': {
      const [min, max] = readRange(range)
      return { kind: 'string', ...named('minLength', min), ...named('maxLength', max) }
    }
    case 'integer':
    case 'number': {
      const [min, max] = readRange(range)
      return { kind: base, ...named('minimum', min), ...named('maximum', max) }
    }
    case 'boolean':
    case 'date-time':
    case 'date':
      return { kind: base }
    case 'uri':
    case 'uri-reference':
    case 'ipv4':
    case 'ipv6':
      return { kind: 'string', format: base }
  }
  const scalar = SCALARS[base]
  if (scalar) {
    const { type, description: _, ...limits } = scalar
    return { kind: type, ...limits } as XdmType
  }
  const declared = RECORDS[base]
  if (!declared) throw new Error(`schemas/xdm ${place}: there is no type "${base}"`)
  return readRecord(base, declared, records)
}

function withSuffixes(base: XdmType, suffixes: string): XdmType {
  let type = base
  for (const [, isMap, range] of suffixes.matchAll(/(\{\})|\[\](?::(\d*\.\.\d*))?/g)) {
    const [min, max] = readRange(range)
    type = isMap
      ? { kind: 'map', values: type }
      : { kind: 'array', items: type, ...named('minItems', min), ...named('maxItems', max) }
  }
  return type
}

function readRange(range: string | undefined): [number | undefined, number | undefined] {
  const [min, max] = range?.split('..') ?? []
  return [min ? Number(min) : undefined, max ? Number(max) : undefined]
}

const named = <K extends string>(key: K, value: number | undefined): Partial<Record<K, number>> =>
  value === undefined ? {} : ({ [key]: value } as Record<K, number>)
