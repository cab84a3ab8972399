/**
 * CloudEvents 1.0 (and 0.3) → `{specversion, id, source, type, time, subject, …extensions, data}`.
 * Modes: binary (Kafka headers `ce_*`, HTTP headers `ce-*`), structured JSON, JSON batch.
 * Source: cloudevents/spec: cloudevents/{spec,formats/json-format,bindings/kafka-protocol-binding}.md
 */
import { isUtf8 } from 'node:buffer'
import type { SchemaCache } from './confluent.ts'
import { isFramed } from './confluent.ts'
import { parseJson, parseJsonText } from './json.ts'
import { type Decoded, type Element, elementsOf, type Limits, nameOf, type Parsed, refuse } from './types.ts'

/** Header names in lower case → text. */
export type TextHeaders = Readonly<Record<string, string>>

const REQUIRED = ['id', 'source', 'specversion', 'type'] as const

export function decodeCloudEvents(
  value: Buffer | null,
  headers: TextHeaders,
  schemas: SchemaCache,
  limits: Limits,
): Decoded {
  if (isBinaryMode(headers)) {
    const element = fromHeaders(value, headers, schemas, limits)
    return element.ok ? { ok: true, batch: false, elements: [element] } : element
  }
  if (value === null) return refuse('DECODE', '', 'no ce_ headers and no value: not a CloudEvent')
  const parsed = parseJson(value, limits)
  if (!parsed.ok) return parsed
  const decoded = elementsOf(parsed.value, limits)
  if (!decoded.ok) return decoded
  const elements = decoded.elements.map((element, index): Element => {
    if (!element.ok) return element
    const checked = structured(element.value, limits)
    if (checked.ok || !decoded.batch) return checked
    return refuse(checked.rejection.code, `[${index}].${checked.rejection.path}`, checked.rejection.message)
  })
  return { ...decoded, elements }
}

const isBinaryMode = (headers: TextHeaders): boolean =>
  headers.ce_specversion !== undefined ||
  headers['ce-specversion'] !== undefined ||
  headers.ce_id !== undefined ||
  headers['ce-id'] !== undefined

function fromHeaders(value: Buffer | null, headers: TextHeaders, schemas: SchemaCache, limits: Limits): Element {
  const event: Record<string, unknown> = {}
  for (const [name, text] of Object.entries(headers)) {
    if (name.startsWith('ce_')) event[name.slice(3)] = text
    else if (name.startsWith('ce-')) event[name.slice(3)] = percentDecoded(text)
  }
  const contentType = headers['content-type'] ?? headers.datacontenttype
  if (contentType !== undefined) event.datacontenttype = contentType
  const refused = checkAttributes(event)
  if (refused) return refused
  if (value === null || value.length === 0) return { ok: true, value: event }
  const data = dataOf(value, contentType, schemas, limits)
  if (!data.ok) return refuse(data.rejection.code, 'data', data.rejection.message)
  event.data = data.value
  return { ok: true, value: event }
}

function dataOf(value: Buffer, contentType: string | undefined, schemas: SchemaCache, limits: Limits): Parsed {
  if (isJson(contentType)) return parseJson(value, limits)
  if (isFramed(value) && (contentType === undefined || /avro/i.test(contentType))) return schemas.decode(value)
  if (contentType === undefined) {
    const parsed = parseJson(value, limits)
    if (parsed.ok) return parsed
  }
  return { ok: true, value: isUtf8(value) ? value.toString('utf8') : value }
}

function structured(event: Record<string, unknown>, limits: Limits): Element {
  const refused = checkAttributes(event)
  if (refused) return refused
  const contentType = typeof event.datacontenttype === 'string' ? event.datacontenttype : 'application/json'
  const encoded = event.data_base64
  const { data } = event
  if (typeof encoded === 'string') {
    delete event.data_base64
    return withData(event, fromBase64(encoded, contentType, limits))
  }
  // 0.3 had no data_base64 but an attribute that says so
  if (event.datacontentencoding === 'base64' && typeof data === 'string') {
    delete event.datacontentencoding
    return withData(event, fromBase64(data, contentType, limits))
  }
  // 0.3 allowed JSON data as a text of JSON
  if (event.specversion === '0.3' && typeof data === 'string' && isJson(contentType)) {
    const parsed = parseJsonText(data, limits)
    if (parsed.ok) event.data = parsed.value
  }
  return { ok: true, value: event }
}

function withData(event: Record<string, unknown>, data: Parsed): Element {
  if (!data.ok) return refuse(data.rejection.code, 'data', data.rejection.message)
  event.data = data.value
  return { ok: true, value: event }
}

function fromBase64(text: string, contentType: string, limits: Limits): Parsed {
  if (!/^[A-Za-z0-9+/\s_-]*={0,2}$/.test(text)) return refuse('DECODE', 'data', 'the data is not Base64')
  const bytes = Buffer.from(text, 'base64')
  if (isJson(contentType)) return parseJson(bytes, limits)
  return { ok: true, value: isUtf8(bytes) ? bytes.toString('utf8') : bytes }
}

function checkAttributes(event: Record<string, unknown>): ReturnType<typeof refuse> | undefined {
  for (const name of REQUIRED) {
    const value = event[name]
    if (typeof value !== 'string' || value === '')
      return refuse('DECODE', name, `a CloudEvent needs ${name} as a text, got ${nameOf(value)}`)
  }
  const version = event.specversion
  if (version !== '1.0' && version !== '0.3')
    return refuse('DECODE', 'specversion', `CloudEvents 1.0 and 0.3 are understood, got ${nameOf(version)}`)
  return undefined
}

/** No content type means JSON in structured mode; a parameter such as charset may follow. */
const isJson = (contentType: string | undefined): boolean =>
  contentType !== undefined && /^[^;]*[/+]json\s*(;|$)/i.test(contentType)

function percentDecoded(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}
