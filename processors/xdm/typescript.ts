import type { RecordType, XdmType } from './types.ts'

/** TypeScript source: an interface `name` for the event and one for each record type, `name` + its own name. */
export function toTypeScript(root: RecordType, name: string): string {
  const sources: string[] = []
  const seen = new Set<string>()
  const typeName = (type: RecordType): string => (type === root ? name : `${name}${type.name}`)

  const visit = (type: RecordType): void => {
    if (seen.has(type.name)) return
    seen.add(type.name)
    const lines: string[] = [`export interface ${typeName(type)} {`]
    const inner: RecordType[] = []
    for (const [field, { type: fieldType, required, description }] of type.fields) {
      if (description) lines.push(`  /** ${description.replaceAll('*/', '*\\/')} */`)
      lines.push(`  ${field}${required ? '' : '?'}: ${source(fieldType, typeName)}`)
      collectRecords(fieldType, inner)
    }
    sources.push([...lines, '}', ''].join('\n'))
    for (const record of inner) visit(record)
  }
  visit(root)
  return sources.join('\n')
}

function source(type: XdmType, typeName: (type: RecordType) => string): string {
  switch (type.kind) {
    case 'string':
      return type.enum ? type.enum.map((it) => `'${it}'`).join(' | ') : 'string'
    case 'date-time':
    case 'date':
      return 'string'
    case 'integer':
    case 'number':
      return 'number'
    case 'boolean':
      return 'boolean'
    case 'array': {
      const items = source(type.items, typeName)
      return items.includes('|') ? `(${items})[]` : `${items}[]`
    }
    case 'map':
      return `Record<string, ${source(type.values, typeName)}>`
    case 'record':
      return typeName(type)
  }
}

function collectRecords(type: XdmType, into: RecordType[]): void {
  if (type.kind === 'record') into.push(type)
  if (type.kind === 'array') collectRecords(type.items, into)
  if (type.kind === 'map') collectRecords(type.values, into)
}
