import type { FastifyReply, FastifyRequest } from 'fastify'
import { Live } from '../live.ts'
import { Problem } from '../problem.ts'
import type { ServerSources } from '../server.ts'
import { answers, type RouteContext } from './route.ts'

const TICK_MS = 1_000
/** Viewers at once. */
const MAX_VIEWERS = 32
/** Bytes that may wait for a slow viewer: it misses frames rather than let them pile up here. */
const MAX_WAITING_BYTES = 256 * 1024
/** A viewer that takes nothing for so long is gone. */
const STALLED_MS = 30_000
/** Comments that keep proxies from closing a stream on which no frame could be made. */
const HEARTBEAT = ': still here\n\n'
/** A stream ends by itself, so that whoever looks shows valid credentials again. */
const MAX_STREAM_MS = 15 * 60_000

interface Viewer {
  readonly reply: FastifyReply
  readonly since: number
  waitingSince: number | undefined
}

/** Server-sent events: one frame a second for everybody who looks, made once. */
export function liveRoutes({ server }: RouteContext, sources: ServerSources): void {
  const viewers = new Set<Viewer>()
  const live = new Live({
    edge: () => sources.edge?.(),
    overview: () => sources.overview(),
    figures: sources.figures,
    health: () => sources.health(),
    clock: sources.clock,
  })
  let timer: NodeJS.Timeout | undefined
  let underWay = false

  const leave = (viewer: Viewer): void => {
    viewers.delete(viewer)
    viewer.reply.raw.end()
    if (viewers.size > 0) return
    clearInterval(timer)
    timer = undefined
    live.reset()
  }
  const tick = async (): Promise<void> => {
    if (underWay) return
    underWay = true
    // What couldn't be made now (the log is away) is made a second later; the viewers hear that somebody is there.
    const text = await live.frame().then(
      (frame) => `data: ${JSON.stringify(frame)}\n\n`,
      () => HEARTBEAT,
    )
    underWay = false
    for (const viewer of viewers) send(viewer, text, sources.clock.now(), leave)
  }
  server.addHook('preClose', async () => {
    for (const viewer of viewers) leave(viewer)
  })
  server.route({
    method: 'GET',
    url: '/v1/live',
    config: { scope: 'topology:read' },
    schema: {
      tags: ['operations'],
      summary: 'Rates, lag and latencies as server-sent events, one frame a second',
      response: {
        ...answers({}),
        200: { description: 'Frames', content: { 'text/event-stream': { schema: { type: 'string' } } } },
      },
    },
    handler: (request: FastifyRequest, reply) => {
      if (viewers.size >= MAX_VIEWERS) {
        throw new Problem('unavailable', `${MAX_VIEWERS} viewers look already.`, { retryAfterS: 10 })
      }
      const viewer: Viewer = { reply, since: sources.clock.now(), waitingSince: undefined }
      viewers.add(viewer)
      reply.hijack()
      const headers = reply.getHeaders() as Record<string, string>
      reply.raw.writeHead(200, { ...headers, 'content-type': 'text/event-stream', 'x-accel-buffering': 'no' })
      reply.raw.write('retry: 2000\n\n')
      request.raw.on('close', () => leave(viewer))
      timer ??= setInterval(() => void tick(), TICK_MS)
      void tick()
    },
  })
}

function send(viewer: Viewer, text: string, now: number, leave: (viewer: Viewer) => void): void {
  const { raw } = viewer.reply
  if (now - viewer.since > MAX_STREAM_MS) return leave(viewer)
  if (raw.writableLength > MAX_WAITING_BYTES) {
    viewer.waitingSince ??= now
    if (now - viewer.waitingSince > STALLED_MS) {
      raw.destroy()
      leave(viewer)
    }
    return
  }
  viewer.waitingSince = undefined
  raw.write(text)
}
