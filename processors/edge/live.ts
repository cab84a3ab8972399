/**
 * Figures that change, once a second, for everybody who looks. One sampler whatever the number of viewers, none when
 * nobody looks.
 */
import type { z } from 'zod'
import { type Clock, offset } from '../app/units.ts'
import { scoresReader } from '../outputs/index.ts'
import { quantileOf } from '../runtime/quantile.ts'
import type { MetricName } from '../runtime/telemetry.ts'
import type { Edge } from './edge.ts'
import type { Overview } from './overview.ts'
import type { liveFrame } from './schemas-operations.ts'
import { type Topology, topologyOf } from './topology-view.ts'

export type LiveFrame = z.output<typeof liveFrame>

/** Figures of this process that the frames are made of. */
export interface Figures {
  /** Counts of a histogram's buckets since the start; `bounds` are their upper ends, the last bucket has none. */
  buckets(
    name: MetricName,
    labels: readonly string[],
  ): { readonly bounds: readonly number[]; readonly counts: number[] }
  total(name: MetricName, labels?: readonly string[]): number
}

export interface LiveOptions {
  readonly edge: () => Edge | undefined
  readonly overview: () => Overview
  readonly figures: Figures
  readonly health: () => { readonly reasons: readonly string[] }
  readonly clock: Clock
}

/** Latencies are those of the last so many frames. */
const WINDOW = 10
const HTTP_ROUTES = ['/ee/v2/interact', '/ee/v1/interact', '/v1/predict/:service'] as const

interface Sample {
  readonly at: number
  readonly topology: Topology
  readonly applied: ReadonlyMap<string, number>
  readonly latencies: ReadonlyMap<string, readonly number[]>
  readonly requests: number
  readonly http: readonly number[]
}

/** Turns one moment after another into frames with rates. */
export class Live {
  readonly #options: LiveOptions
  #samples: Sample[] = []

  constructor(options: LiveOptions) {
    this.#options = options
  }

  /** Forgets what came before: nobody looked for a while. */
  reset(): void {
    this.#samples = []
  }

  /** @throws RtmlError LOG_DOWN */
  async frame(): Promise<LiveFrame> {
    const { edge, overview, figures, health, clock } = this.#options
    const running = edge()
    const { reasons } = health()
    const { app, engine, counts } = overview()
    const scores = running ? await newestScores(running) : []
    const about = {
      at: new Date(clock.now()).toISOString(),
      app,
      engine,
      reasons: [...reasons],
      counts,
      scores,
    }
    if (!running) return { ...about, stages: [], topics: [], edges: [], down: [], http: NO_HTTP }
    const topology = await topologyOf(running)
    const now = this.#sample(topology, running.intake.waitingBytes)
    const last = this.#samples.at(-1)
    const oldest = this.#samples[0]
    this.#samples = [...this.#samples.slice(1 - WINDOW), now.sample]
    const seconds = last ? Math.max(0.001, (now.sample.at - last.at) / 1_000) : undefined
    const rate = (value: number, before: number | undefined) =>
      seconds === undefined || before === undefined ? null : Math.max(0, (value - before) / seconds)
    const { bounds } = figures.buckets('rtml_event_latency_seconds', ['profile'])
    const quantiles = (counts: readonly number[], before: readonly number[] | undefined) => {
      const since = counts.map((count, index) => count - (before?.[index] ?? 0))
      return { p50: quantileMs(since, bounds, 0.5), p99: quantileMs(since, bounds, 0.99) }
    }
    const appendedBefore = new Map(last?.topology.topics.map(({ name, appended }) => [name, appended]))
    return {
      ...about,
      stages: topology.stages.map(({ name, topic, state, shards }) => ({
        name,
        topic,
        state,
        shards: shards.length,
        lagEvents: shards.every(({ lagEvents }) => lagEvents === null)
          ? null
          : shards.reduce((sum, { lagEvents }) => sum + (lagEvents ?? 0), 0),
        rateHz: rate(now.sample.applied.get(name) ?? 0, last?.applied.get(name)),
        latencyMs: quantiles(now.sample.latencies.get(name) ?? [], oldest?.latencies.get(name)),
      })),
      topics: topology.topics.map((topic) => ({
        ...topic,
        rateHz: rate(topic.appended, appendedBefore.get(topic.name)),
      })),
      edges: topology.edges,
      down: topology.down,
      http: {
        rateHz: rate(now.sample.requests, last?.requests),
        latencyMs: quantiles(now.sample.http, oldest?.http),
        waitingBytes: now.waitingBytes,
      },
    }
  }

  #sample(topology: Topology, waitingBytes: number): { sample: Sample; waitingBytes: number } {
    const { figures, clock } = this.#options
    const names = topology.stages.map(({ name }) => name)
    const http = HTTP_ROUTES.map((route) => figures.buckets('rtml_http_seconds', [route]).counts)
    const sample: Sample = {
      at: clock.now(),
      topology,
      applied: new Map(names.map((name) => [name, figures.total('rtml_events_total', [name])])),
      latencies: new Map(
        names.map((name) => [name, [...figures.buckets('rtml_event_latency_seconds', [name]).counts]]),
      ),
      requests: figures.total('rtml_http_requests_total'),
      http: sumOf(http),
    }
    return { sample, waitingBytes }
  }
}

/** Profiles that a frame names, and the records of each partition that are looked at for them. */
const MAX_PROFILES = 12
const SCORES_BACK = 12

/** The newest score of each of the profiles that were scored last, whoever scored them; newest first. */
async function newestScores({ engine, plan }: Edge): Promise<LiveFrame['scores']> {
  const read = scoresReader((id) => engine.registry.schema(id))
  const found = new Map<string, LiveFrame['scores'][number]>()
  for (const bounds of await engine.log.bounds(plan.topics.scores)) {
    const from = offset(Math.max(bounds.start, bounds.end - SCORES_BACK))
    if (from >= bounds.end) continue
    for await (const { records } of engine.log.read(bounds, from, { until: bounds.end })) {
      for (const { value } of records) {
        if (value === null) continue
        const { profile, scores, processedAt } = await read(value)
        const served = scores.find(({ role }) => role !== 'shadow') ?? scores[0]
        if (!served) continue
        const key = `${profile.namespace}:${profile.id}`
        found.set(key, { profile: key, model: served.model, score: served.score, at: processedAt })
      }
    }
  }
  return [...found.values()].sort((a, b) => b.at - a.at).slice(0, MAX_PROFILES)
}

const NO_HTTP: LiveFrame['http'] = { rateHz: null, latencyMs: { p50: null, p99: null }, waitingBytes: 0 }

function sumOf(lists: readonly (readonly number[])[]): number[] {
  const length = Math.max(0, ...lists.map((list) => list.length))
  return Array.from({ length }, (_, index) => lists.reduce((sum, list) => sum + (list[index] ?? 0), 0))
}

/**
 * Quantile by linear interpolation inside its bucket, milliseconds.
 * @returns null without observations
 */
export function quantileMs(counts: readonly number[], bounds: readonly number[], q: number): number | null {
  const seconds = quantileOf(counts, bounds, q)
  return Number.isNaN(seconds) ? null : 1_000 * seconds
}
