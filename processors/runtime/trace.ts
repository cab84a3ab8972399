import { ROOT_CONTEXT, type SpanContext, trace } from '@opentelemetry/api'
import type { Headers } from '../engine/ports.ts'

/**
 * W3C trace context in record headers: one trace from the raw event to its score.
 * Source: W3C Trace Context, `traceparent: 00-<32 hex trace id>-<16 hex parent id>-<2 hex flags>`.
 */
const TRACEPARENT = /^00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})$/
const TRACEPARENT_BYTES = 55

/**
 * Notes that a record was processed in its trace, and gives the header for what comes out of it. With an OpenTelemetry
 * SDK registered in the process a span is recorded and becomes the parent; without one the context is passed on.
 * @returns undefined when the record carries no valid trace context
 */
export function traced(name: string, headers: Headers): Headers | undefined {
  const parent = contextOf(headers)
  if (!parent) return undefined
  const span = trace.getTracer('rtml').startSpan(name, {}, trace.setSpanContext(ROOT_CONTEXT, parent))
  span.end()
  const { traceId, spanId, traceFlags } = span.spanContext()
  return { traceparent: Buffer.from(`00-${traceId}-${spanId}-${traceFlags.toString(16).padStart(2, '0')}`) }
}

function contextOf(headers: Headers): SpanContext | undefined {
  const header = headers.traceparent
  if (header === undefined || header.length !== TRACEPARENT_BYTES) return undefined
  const [, traceId, spanId, flags] = TRACEPARENT.exec(header.toString('latin1')) ?? []
  if (!traceId || !spanId || !flags || /^0+$/.test(traceId) || /^0+$/.test(spanId)) return undefined
  return { traceId, spanId, traceFlags: Number.parseInt(flags, 16), isRemote: true }
}
