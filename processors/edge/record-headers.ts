import type { IncomingHttpHeaders } from 'node:http'
import type { Headers } from '../engine/ports.ts'

/** Request headers that say something about the event: what mappings read, and the trace. Never credentials or cookies. */
const KEPT =
  /^(?:content-type|traceparent|ce-[a-z0-9]{1,32}|x-shopify-(?!hmac)[a-z0-9-]{1,40}|x-github-event|user-agent)$/
const MAX_HEADERS = 40
const MAX_BYTES = 1_024

/** Headers of the record that a request becomes. */
export function recordHeaders(headers: IncomingHttpHeaders): Headers {
  const kept: Record<string, Buffer> = {}
  let count = 0
  for (const [name, value] of Object.entries(headers)) {
    if (typeof value !== 'string' || value.length > MAX_BYTES || !KEPT.test(name) || count >= MAX_HEADERS) continue
    kept[name] = Buffer.from(value)
    count++
  }
  return kept
}
