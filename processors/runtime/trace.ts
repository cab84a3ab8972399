import type { Random } from '../app/units.ts'
import type { Headers } from '../engine/ports.ts'

/**
 * W3C trace context in record headers: one trace from the raw event to its score.
 * Source: W3C Trace Context, `traceparent: 00-<32 hex trace id>-<16 hex parent id>-<2 hex flags>`.
 */
const TRACEPARENT = /^00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})$/

export interface TraceContext {
  readonly traceId: string
  readonly parentId: string
  readonly flags: string
}

/** @returns undefined when there is no valid trace context */
export function traceOf(headers: Headers): TraceContext | undefined {
  const header = headers.traceparent
  if (header === undefined || header.length !== 55) return undefined
  const match = TRACEPARENT.exec(header.toString('latin1'))
  if (!match || /^0+$/.test(match[1]!) || /^0+$/.test(match[2]!)) return undefined
  return { traceId: match[1]!, parentId: match[2]!, flags: match[3]! }
}

/** Header for a record that the holder of `trace` writes: same trace, a new span. */
export function traceHeaders(trace: TraceContext | undefined, random: Random): Headers | undefined {
  if (!trace) return undefined
  return { traceparent: Buffer.from(`00-${trace.traceId}-${spanId(random)}-${trace.flags}`) }
}

function spanId(random: Random): string {
  const half = () =>
    Math.floor(random() * 0xffff_ffff + 1)
      .toString(16)
      .padStart(8, '0')
      .slice(-8)
  return `${half()}${half()}`
}
