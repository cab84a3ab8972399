interface AvroField {
  readonly name: string
  readonly type: unknown
  readonly doc?: string
}

/** The fields of an Avro record as a Markdown table. */
export function fieldsMarkdown(top: readonly AvroField[]): string {
  const rows = (fields: readonly AvroField[], prefix: string): string[] =>
    fields.flatMap(({ name, type, doc = '' }) => {
      const [text, below, suffix] = describeType(type)
      return [`| \`${prefix}${name}\` | ${text} | ${doc} |`, ...rows(below, `${prefix}${name}${suffix}.`)]
    })
  return `| field | type | |\n|---|---|---|\n${rows(top, '').join('\n')}\n`
}

/** @returns words for a type, the fields of the record inside it, and what its path gets */
function describeType(type: unknown): [string, readonly AvroField[], string] {
  if (typeof type === 'string') return [type, [], '']
  if (Array.isArray(type)) {
    const [, value] = type
    const [text, below, suffix] = describeType(value)
    return [`${text}, or null`, below, suffix]
  }
  const shape = type as {
    type: string
    logicalType?: string
    fields?: AvroField[]
    items?: unknown
    values?: readonly string[]
    symbols?: string[]
  }
  if (shape.fields) return ['record', shape.fields, '']
  if (shape.symbols) return [`enum: ${shape.symbols.join(', ')}`, [], '']
  if (shape.items !== undefined) {
    const [text, below] = describeType(shape.items)
    return [`array of ${text}`, below, '[]']
  }
  if (shape.values) return [`map of ${shape.values.join(', ')}`, [], '']
  return [shape.logicalType === undefined ? shape.type : `${shape.type}, ${shape.logicalType}`, [], '']
}
