import type { Rejection } from '../../app/errors.ts'
import type { Application } from '../../app/schema.ts'

export type Limits = Application['limits']

/** What a decoder gives for one record: its elements in order, each an object or the reason why it is none. */
export type Element =
  | { readonly ok: true; readonly value: Record<string, unknown> }
  | { readonly ok: false; readonly rejection: Rejection }

export type Decoded =
  /** `batch`: the elements were wrapped in a list, so an element's index belongs in messages and in generated ids. */
  | { readonly ok: true; readonly batch: boolean; readonly elements: readonly Element[] }
  | { readonly ok: false; readonly rejection: Rejection }

/** One value, before anybody looked whether it is a list. */
export type Parsed =
  | { readonly ok: true; readonly value: unknown }
  | { readonly ok: false; readonly rejection: Rejection }

export const refuse = (
  code: Rejection['code'],
  path: string,
  message: string,
): { readonly ok: false; readonly rejection: Rejection } => ({ ok: false, rejection: { code, path, message } })

const single = (value: Record<string, unknown>): Decoded => ({
  ok: true,
  batch: false,
  elements: [{ ok: true, value }],
})

export const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value) && !Buffer.isBuffer(value)

/** An object is one element, a list is a batch of them; a bad element doesn't sink the others. */
export function elementsOf(value: unknown, limits: Limits): Decoded {
  if (isObject(value)) return single(value)
  if (!Array.isArray(value))
    return refuse('DECODE', '', `expected an object or a list of objects, got ${nameOf(value)}`)
  if (value.length > limits.eventsPerRecord)
    return refuse(
      'LIMIT',
      '',
      `${value.length} events in one record; limits.eventsPerRecord is ${limits.eventsPerRecord}`,
    )
  const elements = value.map(
    (item, index): Element =>
      isObject(item)
        ? { ok: true, value: item }
        : refuse('DECODE', `[${index}]`, `expected an object, got ${nameOf(item)}`),
  )
  return { ok: true, batch: true, elements }
}

/** A value's kind, in the words of messages. */
export function nameOf(value: unknown): string {
  if (value === null || value === undefined) return 'nothing'
  if (Array.isArray(value)) return 'a list'
  if (Buffer.isBuffer(value)) return 'bytes'
  if (typeof value === 'object') return 'an object'
  if (typeof value === 'string') return quote(value)
  return String(value)
}

/** A text in quotes, cut at 40 characters: messages travel in headers and logs. */
export function quote(text: string): string {
  return JSON.stringify(text.length > 40 ? `${text.slice(0, 40)}…` : text)
}
