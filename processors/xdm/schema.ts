import type { Rejection } from '../app/errors.ts'
import { RtmlError } from '../app/errors.ts'
import type { Xdm, XdmEvent } from '../app/event.ts'
import type { Application } from '../app/schema.ts'
import { compileCodec } from './avro-codec.ts'
import { toAvroSchema } from './avro-schema.ts'
import { eventFields, FIELD_GROUPS } from './catalog.ts'
import { type Conformed, type ConformLimits, compileConform } from './conform.ts'
import { compileValidate, toJsonSchema } from './json-schema.ts'
import { fieldAt, leaves, nearestOf } from './path.ts'
import { type RecordType, upperFirst, type XdmField, type XdmPath, type XdmType } from './types.ts'
import { toTypeScript } from './typescript.ts'

/** An application's event schema: the ExperienceEvent class, its field groups and the tenant's own fields. */
export interface XdmSchema {
  readonly root: RecordType
  readonly tenant: string
  /** Avro schema of the event; register it as it is. */
  readonly avroSchema: object
  /** JSON Schema (draft-07) of the event, for editors and outsiders. */
  readonly jsonSchema: object
  /** Type at a mapping target: `commerce.order.priceTotal`, `productListItems[].SKU`, `identityMap.ECID[].id`. */
  typeAt(path: string): XdmType | undefined
  /** The schema's path that an unknown one most likely means. */
  nearest(path: string): string | undefined
  /** The record around the path is invalid without it. False for unknown paths. */
  isRequired(path: string): boolean
  /** All leaves, in schema order. */
  paths(): readonly XdmPath[]
  /** One pass over an object from outside. @throws never */
  conform(input: object, limits?: ConformLimits): Conformed
  /** Full validation by JSON Schema, compiled on the first call (0.3 s). Checks only: `conform` also repairs and drops. @returns empty = valid */
  validate(xdm: Xdm): Rejection[]
  /** Avro binary of a conforming event, without framing. The buffer is the caller's. */
  encode(event: XdmEvent): Buffer
  /** The event of bytes that this schema wrote. `key` is '' when it carries no identity. @throws RtmlError DECODE */
  decode(buffer: Buffer): XdmEvent
  /**
   * A decoder for bytes of another version of the schema, by Avro's rules: new fields are absent, deleted ones skipped.
   * Costs about 0.15 s to make and 12 µs an event: keep one a writer schema. @throws RtmlError SCHEMA_ID when the schemas don't resolve
   */
  resolver(writerSchema: object): (buffer: Buffer) => XdmEvent
  /** Source of a TypeScript interface of the event. */
  toTypeScript(name: string): string
}

const TENANT_SEGMENT = /^[A-Za-z_][A-Za-z0-9_]{0,63}$/
const MAX_TENANT_DEPTH = 8

/** @throws RtmlError CONFIG when a field group or a tenant field isn't valid */
export function composeSchema(definition: Application['schema']): XdmSchema {
  const fields = eventFields(checkedGroups(definition.fieldGroups))
  fields.set(definition.tenant, {
    type: tenantRecord(definition),
    required: false,
    description: "The tenant's own fields",
  })
  const root: RecordType = { kind: 'record', name: 'Event', fields }
  const avroSchema = toAvroSchema(root)
  const paths = leaves(root)
  return {
    root,
    tenant: definition.tenant,
    avroSchema,
    jsonSchema: toJsonSchema(root),
    typeAt: (path) => fieldAt(root, path)?.type,
    nearest: (path) =>
      nearestOf(
        path,
        paths.map((it) => it.path),
      ),
    isRequired: (path) => fieldAt(root, path)?.required ?? false,
    paths: () => paths,
    conform: compileConform(root),
    validate: compileValidate(root),
    toTypeScript: (name) => toTypeScript(root, name),
    ...compileCodec(root, avroSchema),
  }
}

function checkedGroups(groups: readonly string[] | undefined): readonly string[] {
  for (const group of groups ?? []) {
    if (FIELD_GROUPS.includes(group)) continue
    const near = nearestOf(group.replace(/^experienceevent-/, ''), FIELD_GROUPS)
    throw new RtmlError(
      'CONFIG',
      `there is no field group "${group}". ${near ? `Did you mean "${near}"?` : `Known: ${FIELD_GROUPS.join(', ')}.`}`,
      { place: 'schema.fieldGroups' },
    )
  }
  return groups ?? FIELD_GROUPS
}

/** Fields that the mapper writes in every application. */
const MAPPER_FIELDS: Record<string, XdmField> = {
  sourceEvent: { type: { kind: 'string' }, required: false, description: "The source's own name of the event" },
  displayed: {
    type: { kind: 'array', items: { kind: 'string' } },
    required: false,
    description: 'Offers that the visitor has seen, <decision>/<offer>: from decisioning.propositionDisplay',
  },
  interacted: {
    type: { kind: 'array', items: { kind: 'string' } },
    required: false,
    description: 'Offers that the visitor has used, <decision>/<offer>: from decisioning.propositionInteract',
  },
  payload: { type: { kind: 'string' }, required: false, description: 'JSON of an event that no mapping knows' },
}

function tenantRecord(definition: Application['schema']): RecordType {
  const root = new Map<string, XdmField>(Object.entries(MAPPER_FIELDS))
  const names = new Set<string>()
  for (const [path, notation] of Object.entries(definition.fields)) {
    const place = `schema.fields.${path}`
    const segments = path.split('.')
    if (segments.length > MAX_TENANT_DEPTH || !segments.every((it) => TENANT_SEGMENT.test(it) && it !== '__proto__')) {
      const message = `a field is 1–${MAX_TENANT_DEPTH} names of letters, digits and _, joined by dots, not starting with a digit`
      throw new RtmlError('CONFIG', message, { place })
    }
    addTenantField(root, segments, tenantType(notation), names, place)
  }
  return { kind: 'record', name: 'Tenant', fields: root }
}

function addTenantField(
  root: Map<string, XdmField>,
  segments: readonly string[],
  type: XdmType,
  names: Set<string>,
  place: string,
): void {
  let fields = root
  segments.forEach((segment, index) => {
    const existing = fields.get(segment)
    const isLast = index === segments.length - 1
    if (existing && (isLast || existing.type.kind !== 'record')) {
      throw new RtmlError(
        'CONFIG',
        `"${segments.slice(0, index + 1).join('.')}" is defined already. Choose another name.`,
        { place },
      )
    }
    if (isLast) {
      fields.set(segment, { type, required: false })
    } else if (existing?.type.kind === 'record') {
      fields = existing.type.fields as Map<string, XdmField>
    } else {
      const inner = new Map<string, XdmField>()
      const name = uniqueName(
        `Tenant${segments
          .slice(0, index + 1)
          .map(upperFirst)
          .join('')}`,
        names,
      )
      fields.set(segment, { type: { kind: 'record', name, fields: inner }, required: false })
      fields = inner
    }
  })
}

function uniqueName(wanted: string, names: Set<string>): string {
  let name = wanted
  for (let n = 2; names.has(name); n++) name = `${wanted}_${n}`
  names.add(name)
  return name
}

type TenantNotation = Application['schema']['fields'][string]

function tenantType(notation: TenantNotation): XdmType {
  switch (notation) {
    case 'string[]':
    case 'number[]':
      return { kind: 'array', items: { kind: notation === 'string[]' ? 'string' : 'number' } }
    case 'map<string>':
    case 'map<number>':
      return { kind: 'map', values: { kind: notation === 'map<string>' ? 'string' : 'number' } }
    default:
      return { kind: notation }
  }
}
