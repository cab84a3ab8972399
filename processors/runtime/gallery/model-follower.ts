import { RtmlError } from '../../app/errors.ts'
import { ms } from '../../app/units.ts'
import {
  currentOf,
  type GalleryService,
  type GalleryVersion,
  type Role,
  type Routing,
  versionName,
} from '../../gallery/index.ts'
import { ModelRefused, type ModelScorer, type ScorerModel } from '../../scorer/index.ts'
import { type RetryContext, retry, Stopped } from '../retry.ts'
import type { ModelRegistry } from './model-registry.ts'
import { type Compiler, modelOf } from './scorer-models.ts'

/** Who scores in this process: the stream, HTTP, or both. */
export type DeployTarget = 'hub' | 'edge'

export interface FollowerOptions {
  readonly registry: ModelRegistry
  readonly scorer: ModelScorer
  readonly expressions: Compiler
  readonly targets: ReadonlySet<DeployTarget>
  /** Models of the application file. Scores come in their order, then the others. */
  readonly fileModels: readonly ScorerModel[]
  readonly context: RetryContext
}

/** What a process serves of a service, beside what it is asked to. */
export interface ServingService {
  readonly service: string
  /** Revision that is asked for. */
  readonly wanted: number
  /** Revision that serves: an earlier one when a version of the newest is refused. Undefined: none does. */
  readonly serving: number | undefined
  readonly disabled: boolean
}

export interface RefusedVersion {
  readonly model: string
  readonly version: string
  readonly service: string
  readonly reason: string
}

/** A version at an address that didn't answer is tried again so often. */
const RETRY_MS = 30_000
/** Versions whose series stay in the metrics after they no longer serve. */
const KEPT_SERIES = 50
const MAX_REFUSED = 200
const ROLES = ['champion', 'arm', 'shadow']

interface Refused extends RefusedVersion {
  readonly cause: unknown
  /** Epoch ms from which it is tried again; Infinity: it never will be, its bytes don't change. */
  readonly retryAt: number
}

/**
 * Keeps a scorer at what the gallery says. A change is loaded and checked beside what serves, then takes over between two
 * batches. A revision with a version that can't be loaded or doesn't fit never serves: the one before it goes on.
 */
export class ModelFollower implements AsyncDisposable {
  readonly #options: FollowerOptions
  readonly #stop = new AbortController()
  readonly #refused = new Map<string, Refused>()
  /** Versions that served and no longer do, oldest first. */
  readonly #retired = new Map<string, Role>()
  #serving = new Map<string, number>()
  #live: readonly ScorerModel[] = []
  #wake = Promise.withResolvers<void>()
  #running: Promise<unknown> = Promise.resolve()
  #applying: Promise<void> = Promise.resolve()

  private constructor(options: FollowerOptions) {
    this.#options = options
  }

  /**
   * Loads what serves now, and follows from there.
   * @throws RtmlError MODEL_LOAD, MODEL_INPUT, CONFIG when a service of the application file has nothing that can serve
   */
  static async start(options: FollowerOptions): Promise<ModelFollower> {
    const follower = new ModelFollower(options)
    for (const version of options.registry.gallery.overruled()) {
      options.context.logger.warn(
        { version },
        'the application file has another model under this version; the one in the log serves. Give the new one a version of its own',
      )
    }
    await follower.#apply()
    follower.#refuseEmptyServices()
    follower.#running = Promise.all([follower.#follow(), follower.#keepUp()])
    return follower
  }

  /** By service: what is asked for, and what serves here. */
  services(): ServingService[] {
    return this.#options.registry.gallery.services().map((service) => {
      const { revision, disabled } = currentOf(service)
      return { service: service.name, wanted: revision, serving: this.#serving.get(service.name), disabled }
    })
  }

  /** Versions that a role was given to and that can't serve in this process. */
  refused(): RefusedVersion[] {
    return [...this.#refused.values()].map(({ model, version, service, reason }) => ({
      model,
      version,
      service,
      reason,
    }))
  }

  /** For health: what is asked for and doesn't serve, in a line each. */
  problems(): string[] {
    return this.services().flatMap(({ service, wanted, serving }) => {
      if (serving === wanted) return []
      const reasons = this.refused().filter((it) => it.service === service)
      // Still loading.
      if (reasons.length === 0) return []
      const why = reasons.map((it) => `${versionName(it)}: ${it.reason}`).join('; ')
      const instead = serving === undefined ? 'nothing serves' : `revision ${serving} serves`
      return [`models of ${service}: ${instead}, not revision ${wanted} (${why})`.slice(0, 1_000)]
    })
  }

  /** Resolves when this process serves what the gallery says as far as it has read it. */
  async settled(): Promise<void> {
    await this.#applying
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort()
    this.#wake.resolve()
    await this.#running
  }

  async #follow(): Promise<void> {
    const { registry, context } = this.#options
    const { signal } = this.#stop
    try {
      await retry(context, signal, () => registry.follow(signal, () => this.#wake.resolve()))
    } catch (error) {
      if (!(error instanceof Stopped)) context.logger.error({ error: String(error) }, 'models are no longer followed')
    }
  }

  async #keepUp(): Promise<void> {
    const { signal } = this.#stop
    const { logger } = this.#options.context
    while (!signal.aborted) {
      await this.#nextWake()
      if (signal.aborted) return
      this.#wake = Promise.withResolvers()
      this.#applying = this.#apply().catch((error: unknown) => {
        if (!(error instanceof Stopped)) logger.error({ error: String(error) }, 'models could not be changed')
      })
      await this.#applying
    }
  }

  /** The next change, or the time to try a version again. */
  async #nextWake(): Promise<void> {
    const { clock } = this.#options.context
    const dueAt = Math.min(...[...this.#refused.values()].map(({ retryAt }) => retryAt))
    if (!Number.isFinite(dueAt)) return this.#wake.promise
    const cancel = new AbortController()
    const timer = clock.sleep(ms(Math.max(0, dueAt - clock.now())), AbortSignal.any([cancel.signal, this.#stop.signal]))
    await Promise.race([this.#wake.promise, timer])
    cancel.abort()
  }

  async #apply(): Promise<void> {
    const { context, registry } = this.#options
    const now = context.clock.now()
    for (const [name, { retryAt }] of this.#refused) if (retryAt <= now) this.#refused.delete(name)
    // Each round either serves or refuses one more version.
    for (let round = 0; round <= MAX_REFUSED; round++) {
      const chosen = registry.gallery.services().map((service) => ({ service, routing: this.#choose(service) }))
      const isServing = await this.#serve(chosen)
      if (isServing) return
    }
  }

  /** The newest revision without a refused version. */
  #choose({ name, revisions }: GalleryService): Routing | undefined {
    const isGood = (it: Routing) =>
      !this.#refused.has(revisionName(name, it.revision)) &&
      it.roles.every((role) => !this.#refused.has(versionName(role)))
    return revisions.findLast((it) => it.disabled || isGood(it))
  }

  #refuseRevision(service: string, revision: number, cause: RtmlError): void {
    this.#refuse({ name: service, version: `revision ${revision}` }, service, cause, Number.POSITIVE_INFINITY)
  }

  async #serve(chosen: readonly { service: GalleryService; routing: Routing | undefined }[]): Promise<boolean> {
    const { scorer, context } = this.#options
    const models: ScorerModel[] = []
    for (const { routing } of chosen) {
      for (const role of routing === undefined || routing.disabled ? [] : routing.roles) {
        const model = await this.#model(role)
        if (model === 'elsewhere') continue
        if (model === 'refused') return false
        models.push(model)
      }
    }
    models.sort((a, b) => this.#orderOf(a) - this.#orderOf(b))
    const before = new Map(this.#serving)
    if (!isSamePlan(models, this.#live)) {
      try {
        await scorer.swap({ models })
      } catch (error) {
        if (error instanceof ModelRefused) {
          this.#refuse(error.model, error.model.service, error.cause, Number.POSITIVE_INFINITY)
          return false
        }
        if (!(error instanceof RtmlError)) throw error
        // Each model is good, and together they are not: whatever has changed is not served.
        const changed = chosen.filter(
          ({ service, routing }) => routing && this.#serving.get(service.name) !== routing.revision,
        )
        for (const { service, routing } of changed) this.#refuseRevision(service.name, routing!.revision, error)
        if (changed.length === 0) throw error
        return false
      }
      this.#report(models)
      this.#live = models
    }
    this.#serving = new Map(
      chosen.flatMap(({ service, routing }) => (routing ? [[service.name, routing.revision]] : [])),
    )
    for (const { service, routing } of chosen) {
      if (!routing || before.get(service.name) === routing.revision) continue
      const afterMs = routing.revision === 0 ? 0 : context.clock.now() - Date.parse(routing.at)
      const roles = routing.roles.map((it) => `${versionName(it)} ${it.role}${it.role === 'arm' ? ` ${it.share}` : ''}`)
      const { action, by, disabled } = routing
      context.logger.info(
        { service: service.name, revision: routing.revision, action, by, disabled, roles, afterMs },
        'models serve',
      )
      if (routing.revision > 0 && before.size > 0) {
        context.metrics.observe('rtml_model_swap_seconds', [service.name], Math.max(0, afterMs) / 1_000)
      }
    }
    return true
  }

  async #model(role: Role): Promise<ScorerModel | 'elsewhere' | 'refused'> {
    const { registry, context, expressions, targets, fileModels } = this.#options
    const version = registry.gallery.version(role.model, role.version)
    try {
      if (!version)
        throw new RtmlError('MODEL_LOAD', 'there is no record of this version.', { place: versionName(role) })
      const { deploy } = version.manifest
      if (deploy !== 'both' && !targets.has(deploy)) return 'elsewhere'
      const own = version.onnx.at === 'file' ? fileModels.find((it) => isVersion(it, role)) : undefined
      if (own) return { ...own, role: role.role, share: role.share, ranges: role.ranges, watch: role.watch }
      const loaded = this.#live.find((it) => isVersion(it, role))
      const bytes =
        loaded?.sha256 === version.sha256
          ? loaded.bytes
          : await retry(context, this.#stop.signal, () => registry.bytes(version))
      return modelOf(version, role, bytes, expressions)
    } catch (error) {
      if (error instanceof Stopped) throw error
      const isRemote = version?.onnx.at === 'uri'
      const retryAt = isRemote ? context.clock.now() + RETRY_MS : Number.POSITIVE_INFINITY
      this.#refuse({ name: role.model, version: role.version }, serviceOf(version, role), error, retryAt)
      return 'refused'
    }
  }

  #refuse(
    { name: model, version }: { name: string; version: string },
    service: string,
    cause: unknown,
    retryAt: number,
  ): void {
    const { logger, metrics } = this.#options.context
    const reason = cause instanceof Error ? cause.message : String(cause)
    const name = versionName({ model, version })
    if (this.#refused.size >= MAX_REFUSED) this.#refused.delete(this.#refused.keys().next().value as string)
    this.#refused.set(name, { model, version, service, reason, cause, retryAt })
    metrics.count('rtml_model_refused_total', [service])
    logger.error({ model, version, service, reason }, 'model refused: it does not serve')
  }

  /** An application whose own models don't fit doesn't start: nobody would look at a log of an application that seems to run. */
  #refuseEmptyServices(): void {
    for (const { name, revisions } of this.#options.registry.gallery.services()) {
      if (this.#serving.has(name) || revisions[0]?.revision !== 0) continue
      const first = [...this.#refused.values()].find(({ service }) => service === name)
      throw first?.cause ?? new RtmlError('MODEL_LOAD', 'no version can serve.', { place: name })
    }
  }

  #orderOf({ name }: ScorerModel): number {
    const { fileModels } = this.#options
    const at = fileModels.findIndex((it) => it.name === name)
    return at === -1 ? fileModels.length : at
  }

  /** One series a version and role; a learner's versions come and go, so the oldest ones are forgotten. */
  #report(models: readonly ScorerModel[]): void {
    const { metrics } = this.#options.context
    const now = new Set(models.map(({ name, version, role }) => `${name}\0${version}\0${role}`))
    for (const { name, version, role } of this.#live) {
      if (now.has(`${name}\0${version}\0${role}`)) continue
      metrics.gauge('rtml_model_info', [name, version, role], 0)
      this.#retired.set(versionName({ model: name, version }), { model: name, version, role, share: 0 })
    }
    for (const { name, version, role } of models) {
      metrics.gauge('rtml_model_info', [name, version, role], 1)
      this.#retired.delete(versionName({ model: name, version }))
    }
    while (this.#retired.size > KEPT_SERIES) {
      const [name, { model, version }] = this.#retired.entries().next().value as [string, Role]
      this.#retired.delete(name)
      for (const role of ROLES) metrics.forget?.('rtml_model_info', [model, version, role])
      metrics.forget?.('rtml_scores_total', [model, version])
    }
  }
}

const serviceOf = (version: GalleryVersion | undefined, { model }: Role): string => version?.service ?? model

/** Stands among refused versions for a revision whose models don't go together. */
const revisionName = (service: string, revision: number): string =>
  versionName({ model: service, version: `revision ${revision}` })

const isVersion = ({ name, version }: ScorerModel, role: Role): boolean =>
  name === role.model && version === role.version

/** Whether both score the same: then nothing is swapped. */
function isSamePlan(a: readonly ScorerModel[], b: readonly ScorerModel[]): boolean {
  return a.length === b.length && a.every((it, index) => planText(it) === planText(b[index]!))
}

const planText = ({ name, version, sha256, role, share, ranges, watch }: ScorerModel): string =>
  JSON.stringify([name, version, sha256, role, share, ranges, watch])
