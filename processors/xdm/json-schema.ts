import { Ajv, type ErrorObject } from 'ajv'
import type { Rejection } from '../app/errors.ts'
import type { Xdm } from '../app/event.ts'
import { FORMATS } from './formats.ts'
import { parseDate, parseRfc3339, show } from './time.ts'
import { MAX_WHOLE, MIN_WHOLE, type RecordType, type XdmType } from './types.ts'

/** The schema as JSON Schema draft-07; records of one name are one definition. Unknown fields are allowed, as in XDM. */
export function toJsonSchema(root: RecordType): object {
  const definitions: Record<string, object> = {}
  const body = recordSchema(root, definitions)
  return { $schema: 'http://json-schema.org/draft-07/schema#', title: 'XDM ExperienceEvent', ...body, definitions }
}

function recordSchema(type: RecordType, definitions: Record<string, object>): object {
  const properties: Record<string, object> = {}
  const required: string[] = []
  for (const [name, field] of type.fields) {
    const schema = typeSchema(field.type, definitions)
    properties[name] = field.description ? { allOf: [schema], description: field.description } : schema
    if (field.required) required.push(name)
  }
  return { type: 'object', properties, ...(required.length > 0 ? { required } : {}) }
}

function typeSchema(type: XdmType, definitions: Record<string, object>): object {
  switch (type.kind) {
    case 'record':
      if (!(type.name in definitions)) {
        definitions[type.name] = {}
        definitions[type.name] = recordSchema(type, definitions)
      }
      return { $ref: `#/definitions/${type.name}` }
    case 'array': {
      const { kind: _, items, ...limits } = type
      return { type: 'array', items: typeSchema(items, definitions), ...limits }
    }
    case 'map':
      return { type: 'object', additionalProperties: typeSchema(type.values, definitions) }
    case 'date-time':
    case 'date':
      return { type: 'string', format: type.kind }
    case 'integer':
      return {
        type: 'integer',
        minimum: type.minimum ?? MIN_WHOLE,
        maximum: type.maximum ?? MAX_WHOLE,
      }
    default: {
      const { kind, ...limits } = type
      return { type: kind, ...limits }
    }
  }
}

/**
 * Full validation by JSON Schema, independent of the one-pass `conform`: for tests and the command line. It compiles on
 * first use (0.3 s) and neither repairs nor reports unknown fields.
 */
export function compileValidate(root: RecordType): (xdm: Xdm) => Rejection[] {
  let compiled: ReturnType<Ajv['compile']> | undefined
  return (xdm) => {
    compiled ??= newAjv().compile(toJsonSchema(root))
    const found = compiled(xdm) ? [] : (compiled.errors ?? []).map(toRejection)
    const primaries = primaryCount(xdm)
    if (primaries <= 1) return found
    const message = `${primaries} identities are marked primary; at most one may be`
    return [...found, { code: 'IDENTITY', path: 'identityMap', message }]
  }
}

function newAjv(): Ajv {
  const ajv = new Ajv({ allErrors: true, verbose: true, strict: true, allowUnionTypes: false })
  for (const [name, validate] of Object.entries(FORMATS)) ajv.addFormat(name, validate)
  ajv.addFormat('date-time', (text: string) => !Number.isNaN(parseRfc3339(text)))
  ajv.addFormat('date', (text: string) => !Number.isNaN(parseDate(text)))
  return ajv
}

function toRejection(error: ErrorObject): Rejection {
  const path = toDots(error.instancePath)
  if (error.keyword === 'required') {
    const name = String(error.params.missingProperty)
    return { code: 'MAP_REQUIRED', path: path === '' ? name : `${path}.${name}`, message: 'the field is required' }
  }
  const code = error.keyword === 'type' ? 'MAP_TYPE' : 'XDM_INVALID'
  return { code, path, message: `${error.message ?? error.keyword}, got ${show(error.data)}` }
}

function toDots(pointer: string): string {
  let path = ''
  for (const part of pointer.split('/').slice(1)) {
    const name = part.replaceAll('~1', '/').replaceAll('~0', '~')
    path += /^\d+$/.test(name) ? `[${name}]` : `${path === '' ? '' : '.'}${name.replace(/[.[\]\\]/g, '\\$&')}`
  }
  return path
}

function primaryCount(xdm: Xdm): number {
  if (typeof xdm.identityMap !== 'object' || xdm.identityMap === null) return 0
  const identities: unknown[] = Object.values(xdm.identityMap).flat()
  return identities.filter((it) => (it as { primary?: unknown } | null)?.primary === true).length
}
