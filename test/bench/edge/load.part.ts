/** Requests at a steady rate whatever the answers do: an open loop, measured from when each request was due. */
import { Agent, request } from 'node:http'
import { setTimeout as pause } from 'node:timers/promises'
import { part } from '../j1/children.ts'
import { generate } from '../j1/generate.ts'
import { JOB, type RawClick } from '../j1/job.ts'
import { type EdgePartOptions, REQUEST_DELAY_MS } from './options.ts'

export interface Load {
  readonly requests: number
  readonly p50Ms: number
  readonly p99Ms: number
  readonly p999Ms: number
  readonly maxMs: number
  /** Answers other than 200, and requests without an answer. */
  readonly errors: number
}

export interface Loads {
  readonly floor: Load
  readonly predict: Load
  readonly interact: Load
}

interface Call {
  readonly port: number
  readonly path: string
  readonly body: string | undefined
}

const TICK_MS = 1
const WARM_UP_SECONDS = 2

await part<Loads>(async (given) => {
  const options = given as EdgePartOptions
  const clicks: RawClick[] = []
  for (const { json } of generate({ events: 20_000, seed: options.seed + 1 })) clicks.push(JSON.parse(json) as RawClick)
  const at = new Date(JOB.startMs + JOB.spanMs + REQUEST_DELAY_MS).toISOString()
  const visitorOf = (index: number) => clicks[index % clicks.length]!
  const run = (call: (index: number) => Call) => measure(options, call)
  return {
    floor: await run((index) => ({
      port: options.floorPort,
      path: `/${encodeURIComponent(`ECID:${visitorOf(index).visitor}`)}`,
      body: undefined,
    })),
    predict: await run((index) => ({
      port: options.port,
      path: '/v1/predict/trees',
      body: JSON.stringify({ identity: { namespace: 'ECID', id: visitorOf(index).visitor }, at }),
    })),
    interact: await run((index) => {
      const { visitor, type, sku, amount, url } = visitorOf(index)
      const xdm = {
        timestamp: at,
        eventType: type,
        identityMap: { ECID: [{ id: visitor, primary: true }] },
        web: { webPageDetails: { URL: url } },
        ...(sku === undefined ? {} : { productListItems: [{ SKU: sku, priceTotal: amount }] }),
      }
      const query = { personalization: { decisionScopes: ['__view__'] } }
      return {
        port: options.port,
        path: '/ee/v2/interact?dataStreamId=web',
        body: JSON.stringify({ event: { xdm }, query }),
      }
    }),
  }
})

async function measure({ requestsPerSecond, seconds }: EdgePartOptions, call: (index: number) => Call): Promise<Load> {
  const agent = new Agent({ keepAlive: true, maxSockets: 256 })
  const warmUp = requestsPerSecond * WARM_UP_SECONDS
  const total = warmUp + requestsPerSecond * seconds
  const latencies: number[] = []
  const pending: Promise<void>[] = []
  let errors = 0
  const startedAt = performance.now()
  for (let next = 0; next < total; ) {
    const due = Math.min(total, Math.ceil(((performance.now() - startedAt) / 1_000) * requestsPerSecond))
    for (; next < due; next++) {
      const index = next
      const dueAt = startedAt + (index / requestsPerSecond) * 1_000
      const done = send(agent, call(index)).then((status) => {
        if (index < warmUp) return
        latencies.push(performance.now() - dueAt)
        if (status !== 200) errors++
      })
      pending.push(done)
    }
    await pause(TICK_MS)
  }
  await Promise.all(pending)
  agent.destroy()
  latencies.sort((a, b) => a - b)
  const quantile = (q: number) =>
    latencies[Math.min(latencies.length - 1, Math.floor(q * latencies.length))] ?? Number.NaN
  return {
    requests: latencies.length,
    p50Ms: quantile(0.5),
    p99Ms: quantile(0.99),
    p999Ms: quantile(0.999),
    maxMs: quantile(1),
    errors,
  }
}

function send(agent: Agent, { port, path, body }: Call): Promise<number> {
  return new Promise((resolve) => {
    const sent = request(
      {
        agent,
        host: '127.0.0.1',
        port,
        path,
        method: body === undefined ? 'GET' : 'POST',
        headers:
          body === undefined ? {} : { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) },
      },
      (response) => {
        response.resume()
        response.on('end', () => resolve(response.statusCode ?? 0))
      },
    )
    sent.on('error', () => resolve(0))
    sent.end(body)
  })
}
