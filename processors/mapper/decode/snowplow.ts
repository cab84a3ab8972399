/**
 * Snowplow enriched events: tab-separated lines, or the JSON that the analytics SDKs make of them. Lines come out in the
 * SDKs' JSON shape (`contexts_<vendor>_<name>_<model>`, `unstruct_event_<vendor>_<name>_<model>`), so one mapping serves both.
 */
import { parseJson, parseJsonText } from './json.ts'
import { SNOWPLOW_FIELDS } from './snowplow-fields.ts'
import { textOf } from './text.ts'
import { type Decoded, type Element, elementsOf, isObject, type Limits, refuse } from './types.ts'

export function decodeSnowplow(bytes: Buffer, limits: Limits): Decoded {
  if (startsJson(bytes)) {
    const parsed = parseJson(bytes, limits)
    return parsed.ok ? elementsOf(parsed.value, limits) : parsed
  }
  const decoded = textOf(bytes)
  if (!decoded.ok) return decoded
  const lines = decoded.text.split(/\r?\n/).filter((line) => line !== '')
  if (lines.length === 0) return refuse('DECODE', '', 'the record is empty')
  if (lines.length > limits.eventsPerRecord)
    return refuse(
      'LIMIT',
      '',
      `${lines.length} events in one record; limits.eventsPerRecord is ${limits.eventsPerRecord}`,
    )
  const elements = lines.map((line) => decodeLine(line, limits))
  return { ok: true, batch: lines.length > 1, elements }
}

/** Blanks before it are allowed, but no tab: a line may start with one, when its first field is empty. */
function startsJson(bytes: Buffer): boolean {
  let at = bytes[0] === 0xef ? 3 : 0
  while (bytes[at] === 0x20 || bytes[at] === 0x0a || bytes[at] === 0x0d) at++
  return bytes[at] === 0x7b || bytes[at] === 0x5b
}

function decodeLine(line: string, limits: Limits): Element {
  const cells = line.split('\t')
  if (cells.length !== SNOWPLOW_FIELDS.length)
    return refuse(
      'DECODE',
      '',
      `an enriched event has ${SNOWPLOW_FIELDS.length} tab-separated fields, got ${cells.length}`,
    )
  const event: Record<string, unknown> = {}
  for (let i = 0; i < cells.length; i++) {
    const cell = cells[i] as string
    if (cell === '') continue
    const { name, kind } = SNOWPLOW_FIELDS[i] as (typeof SNOWPLOW_FIELDS)[number]
    switch (kind) {
      case 'text':
        if (cell.length > limits.stringLength)
          return refuse(
            'LIMIT',
            name,
            `a text of ${cell.length} characters; limits.stringLength is ${limits.stringLength}`,
          )
        event[name] = cell
        break
      case 'time':
        event[name] = `${cell.replace(' ', 'T')}Z`
        break
      case 'number':
        event[name] = numberOr(cell)
        break
      case 'boolean':
        event[name] = cell === '1' ? true : cell === '0' ? false : cell
        break
      default: {
        const parsed = parseJsonText(cell, limits)
        if (!parsed.ok) return refuse(parsed.rejection.code, name, parsed.rejection.message)
        const problem = kind === 'contexts' ? addContexts(event, parsed.value) : addUnstruct(event, parsed.value)
        if (problem) return refuse('DECODE', name, problem)
      }
    }
  }
  return { ok: true, value: event }
}

/** A number where the text is one; else the text, and the mapping's own type check decides. */
function numberOr(cell: string): number | string {
  return /^-?\d+(\.\d+)?([eE][-+]?\d+)?$/.test(cell) && Number.isFinite(Number(cell)) ? Number(cell) : cell
}

function addContexts(event: Record<string, unknown>, envelope: unknown): string | undefined {
  const list = isObject(envelope) ? envelope.data : undefined
  if (!Array.isArray(list)) return 'contexts without a data list'
  for (const entry of list) {
    if (!isObject(entry)) return 'a context that is no object'
    const key = keyOf(entry.schema)
    if (!key) return 'a context without an iglu schema'
    const name = `contexts_${key}`
    const known = event[name]
    if (Array.isArray(known)) known.push(entry.data)
    else event[name] = [entry.data]
  }
  return undefined
}

function addUnstruct(event: Record<string, unknown>, envelope: unknown): string | undefined {
  const inner = isObject(envelope) ? envelope.data : undefined
  if (!isObject(inner)) return 'a self-describing event without data'
  const key = keyOf(inner.schema)
  if (!key) return 'a self-describing event without an iglu schema'
  event[`unstruct_event_${key}`] = inner.data
  return undefined
}

/** Schema URIs repeat with nearly every event; bounded, since anybody can send any URI. */
const keys = new Map<string, string | undefined>()
const MAX_KEYS = 1_000

/** iglu:com.acme/someThing/jsonschema/1-0-2 → com_acme_some_thing_1, as the analytics SDKs name it. */
function keyOf(schema: unknown): string | undefined {
  if (typeof schema !== 'string') return undefined
  if (keys.has(schema)) return keys.get(schema)
  const match = /^iglu:([a-zA-Z0-9-_.]+)\/([a-zA-Z0-9-_]+)\/[a-zA-Z0-9-_]+\/(\d+)-\d+-\d+$/.exec(schema)
  const [, vendor, name, model] = match ?? []
  const key = match
    ? `${String(vendor).replace(/[.-]/g, '_').toLowerCase()}_${snakeOf(String(name))}_${model}`
    : undefined
  if (keys.size >= MAX_KEYS) keys.clear()
  keys.set(schema, key)
  return key
}

const snakeOf = (name: string): string =>
  name
    .replace(/([^A-Z_])([A-Z])/g, '$1_$2')
    .replace(/-/g, '_')
    .toLowerCase()
