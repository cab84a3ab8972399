/** Live figures by server-sent events, read with fetch: an EventSource can't send a key. */
import { signal } from '@preact/signals'
import { authorization, chunks } from './api.ts'
import type { Frame } from './types.ts'

/** Newest frame. */
export const frame = signal<Frame | undefined>(undefined)
export type Link = 'connecting' | 'live' | 'lost'
export const link = signal<Link>('connecting')

/** Points of the charts: five minutes at one a second. */
const HISTORY = 300
export interface Point {
  readonly at: number
  readonly applied: number | null
  readonly p50: number | null
  readonly p99: number | null
  readonly lag: number | null
  readonly httpP50: number | null
  readonly httpP99: number | null
}
export const history = signal<readonly Point[]>([])

const RETRY_MS = 2_000

/** Follows the stream until `stop` aborts; comes back by itself after a cut. */
export async function follow(stop: AbortSignal): Promise<void> {
  while (!stop.aborted) {
    try {
      await read(stop)
    } catch {
      // Shown by the state of the link; tried again below.
    }
    if (stop.aborted) return
    link.value = 'lost'
    await new Promise((resolve) => setTimeout(resolve, RETRY_MS))
  }
}

async function read(stop: AbortSignal): Promise<void> {
  const answer = await fetch('v1/live', { headers: authorization(), credentials: 'omit', signal: stop })
  if (!answer.ok || !answer.body) throw new Error(`${answer.status}`)
  let rest = ''
  for await (const text of chunks(answer.body.pipeThrough(new TextDecoderStream()))) {
    const events = (rest + text).split('\n\n')
    rest = events.pop() ?? ''
    for (const event of events) {
      const data = event.split('\n').find((line) => line.startsWith('data: '))
      if (data) take(JSON.parse(data.slice(6)) as Frame)
    }
  }
}

function take(next: Frame): void {
  frame.value = next
  link.value = 'live'
  const profile = next.stages.find(({ name }) => name === 'profile')
  const point: Point = {
    at: Date.parse(next.at) / 1_000,
    applied: profile?.rateHz ?? null,
    p50: profile?.latencyMs.p50 ?? null,
    p99: profile?.latencyMs.p99 ?? null,
    lag: lagOf(next),
    httpP50: next.http.latencyMs.p50,
    httpP99: next.http.latencyMs.p99,
  }
  history.value = [...history.value.slice(1 - HISTORY), point]
}

/** Events on their way to a score. Labels wait for their window on purpose, so they don't count. */
export function lagOf({ stages }: Frame): number | null {
  const lags = stages
    .filter(({ name }) => /^(map\.|profile$|entity\.)/.test(name))
    .flatMap(({ lagEvents }) => (lagEvents === null ? [] : [lagEvents]))
  return lags.length === 0 ? null : lags.reduce((sum, lag) => sum + lag, 0)
}
