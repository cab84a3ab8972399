/** Carries the planned faults out, and notes when each began and ended. */
import type { Fault, FaultKind, LinkName } from './plan.ts'
import type { ChaosServices } from './services.ts'
import { pause, type Workers } from './workers.ts'

export interface Injected {
  readonly kind: FaultKind
  /** Epoch ms. */
  readonly startedAt: number
  readonly endedAt: number
}

const WORKERS_MIN = 2
const WORKERS_MAX = 4

export interface Site {
  readonly services: ChaosServices
  readonly workers: Workers
}

/** @returns what was done; a join when there are enough workers already, or a leave when there are few, becomes its opposite */
export async function inject(faults: readonly Fault[], site: Site, tell: (text: string) => void): Promise<Injected[]> {
  const origin = performance.now()
  const done: Injected[] = []
  const running: Promise<void>[] = []
  // Links and servers are used by one fault at a time: the second of two waits for the first.
  const queues = new Map<string, Promise<void>>()
  for (const fault of faults) {
    await pause(Math.max(0, origin + fault.atMs - performance.now()))
    const resource = resourceOf(fault.kind)
    const turn = (queues.get(resource) ?? Promise.resolve()).then(async () => {
      const kind = kindFor(fault.kind, site.workers.count)
      const startedAt = Date.now()
      tell(`${kind}${fault.lastsMs > 0 ? ` for ${fault.lastsMs} ms` : ''}`)
      await carryOut({ ...fault, kind }, site)
      done.push({ kind, startedAt, endedAt: Date.now() })
    })
    if (resource !== '') queues.set(resource, turn)
    running.push(turn)
  }
  await Promise.all(running)
  return done.sort((a, b) => a.startedAt - b.startedAt)
}

function resourceOf(kind: FaultKind): string {
  if (kind.startsWith('worker-')) return ''
  return kind === 'broker-restart' || kind === 'broker-kill'
    ? 'kafka'
    : kind === 'redis-failover' || kind === 'redis-kill' || kind === 'redis-flush'
      ? 'redis server'
      : kind.split('-')[0]!
}

function kindFor(kind: FaultKind, workers: number): FaultKind {
  if (kind === 'worker-join' && workers >= WORKERS_MAX) return 'worker-leave'
  if (kind === 'worker-leave' && workers <= WORKERS_MIN) return 'worker-join'
  return kind
}

async function carryOut(fault: Fault, { services, workers }: Site): Promise<void> {
  const { kafka, redis, links } = services
  switch (fault.kind) {
    case 'worker-kill':
      return workers.kill(fault.victim, fault.lastsMs)
    case 'worker-freeze':
      return workers.freeze(fault.victim, fault.lastsMs)
    case 'worker-join':
      return workers.start()
    case 'worker-leave':
      return workers.leave(fault.victim)
    case 'broker-restart':
      return kafka.restart()
    case 'broker-kill':
      await kafka.kill()
      return kafka.start()
    case 'redis-failover':
      return redis.failOver(fault.lagMs)
    case 'redis-kill': {
      const server = redis.primary
      await server.kill()
      await pause(fault.lastsMs)
      return server.start()
    }
    case 'redis-flush':
      return redis.flush()
    default: {
      const [name, what] = fault.kind.split('-') as [LinkName, 'slow' | 'cut' | 'silent']
      const link = links[name]
      if (what === 'slow') link.slow(fault.delayMs)
      else if (what === 'cut') link.cut()
      else link.silent(fault.direction)
      await pause(fault.lastsMs)
      if (what === 'silent' && !fault.isDelivered) link.reset()
      return link.heal()
    }
  }
}
