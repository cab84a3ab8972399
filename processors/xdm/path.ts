import type { RecordType, XdmField, XdmPath, XdmType } from './types.ts'
import { describeType, titleOf } from './types.ts'

/**
 * Splits an XDM path: `productListItems[0].SKU` → `productListItems`, `[]`, `SKU`. `[]`, `[*]` and `[n]` all become `[]`;
 * a dot that belongs to a name is written `\.`.
 * @returns undefined when the text isn't a path
 */
export function parsePath(path: string): string[] | undefined {
  const segments: string[] = []
  for (const part of path.split(/(?<!\\)\./)) {
    const match = /^((?:\\.|[^[\]\\])+)((?:\[(?:\*|\d*)\])*)$/.exec(part)
    if (!match) return undefined
    segments.push(match[1]!.replace(/\\(.)/g, '$1'))
    for (let i = match[2]!.split(']').length - 1; i > 0; i--) segments.push('[]')
  }
  return segments
}

/** The field at a path; inside arrays and maps the element counts as a field that isn't required. */
export function fieldAt(root: RecordType, path: string): XdmField | undefined {
  const segments = parsePath(path)
  if (!segments) return undefined
  let field: XdmField | undefined = { type: root, required: true }
  for (const segment of segments) {
    if (field === undefined) return undefined
    field = step(field.type, segment)
  }
  return field
}

function step(type: XdmType, segment: string): XdmField | undefined {
  if (type.kind === 'array') return segment === '[]' ? { type: type.items, required: false } : undefined
  if (segment === '[]') return undefined
  if (type.kind === 'map') return { type: type.values, required: false }
  return type.kind === 'record' ? type.fields.get(segment) : undefined
}

/** All leaves, depth first in schema order. Arrays and maps of plain values are leaves themselves. */
export function leaves(root: RecordType): XdmPath[] {
  const found: XdmPath[] = []
  const visit = (field: XdmField, name: string, path: string): void => {
    const type = innermost(field.type)
    if (type.type.kind === 'record') {
      for (const [key, child] of type.type.fields) visit(child, key, `${path}${type.suffix}.${key}`)
      return
    }
    found.push({
      path,
      type: describeType(field.type),
      title: titleOf(name),
      ...(field.description ? { description: field.description } : {}),
      required: field.required,
    })
  }
  for (const [key, field] of root.fields) visit(field, key, key)
  return found
}

function innermost(type: XdmType): { type: XdmType; suffix: string } {
  let suffix = ''
  let inner = type
  for (;;) {
    if (inner.kind === 'array') {
      suffix += '[]'
      inner = inner.items
    } else if (inner.kind === 'map') {
      suffix += '.*'
      inner = inner.values
    } else return { type: inner, suffix }
  }
}

/**
 * The candidate with the least edit distance, case-insensitive; a candidate that ends in the wanted last segment is
 * preferred, so that a right name in a wrong place is found. @returns undefined when nothing is near
 */
export function nearestOf(wanted: string, candidates: Iterable<string>): string | undefined {
  const text = wanted.toLowerCase()
  const last = text.slice(text.lastIndexOf('.') + 1)
  let best: string | undefined
  let bestCost = Math.max(2, Math.floor(text.length * 0.4)) + 0.5
  for (const candidate of candidates) {
    const lower = candidate.toLowerCase()
    const bonus = lower === last || lower.endsWith(`.${last}`) ? 3 : 0
    if (Math.abs(lower.length - text.length) - bonus >= bestCost) continue
    const cost = editDistance(text, lower) - bonus
    if (cost < bestCost) {
      best = candidate
      bestCost = cost
    }
  }
  return best
}

/** Levenshtein distance: insertions, deletions and substitutions. */
function editDistance(a: string, b: string): number {
  let previous = Array.from({ length: b.length + 1 }, (_, i) => i)
  for (let i = 1; i <= a.length; i++) {
    const current = [i]
    for (let j = 1; j <= b.length; j++) {
      const substitution = previous[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1)
      current.push(Math.min(substitution, previous[j]! + 1, current[j - 1]! + 1))
    }
    previous = current
  }
  return previous[b.length]!
}
