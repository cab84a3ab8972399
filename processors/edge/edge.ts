/** The edge of a running application: what the routes work with. */
import type { Application } from '../app/schema.ts'
import type { Clock } from '../app/units.ts'
import type { Engine } from '../engine/ports.ts'
import { identityKey, xdmMapper } from '../host/identity-key.ts'
import type { Mapper } from '../mapper/index.ts'
import type { RuleBook } from '../runtime/rules/rule-book.ts'
import type { ModelScorer, ServingModel } from '../scorer/index.ts'
import type { Plan, RunningApplication } from '../topology.ts'
import { Arms, followArms } from './arms.ts'
import { Datastreams } from './datastreams.ts'
import { Evaluator } from './evaluator.ts'
import { followErasures } from './forgetting.ts'
import { INTAKE_LIMITS, Intake, type IntakeLimits } from './intake.ts'
import { followLinks, Links } from './links.ts'
import { Overlay } from './overlay.ts'
import { ProfileReader, profileTopic } from './profile-reader.ts'
import { RuleDecisions } from './rule-decisions.ts'
import type { Decisions } from './types.ts'

export interface EdgeOptions {
  readonly running: Pick<
    RunningApplication,
    'plan' | 'engine' | 'scorer' | 'models' | 'registry' | 'entities' | 'lookups' | 'service' | 'context' | 'rules'
  >
  readonly env: Readonly<Record<string, string | undefined>>
  /** Default: those of the application. */
  readonly decisions?: Decisions
  /** Name of the region that answers carry as location hint. */
  readonly region?: string | undefined
  readonly intake?: IntakeLimits
}

const OVERLAY = { maxProfiles: 50_000, maxEventsPerProfile: 16, maxAgeMs: 30_000 }

export class Edge implements AsyncDisposable {
  readonly plan: Plan
  readonly engine: Engine
  readonly scorer: ModelScorer
  /** What the topic `models` says, and what this process makes of it. */
  readonly models: RunningApplication['models']
  readonly registry: RunningApplication['registry']
  readonly service: RunningApplication['service']
  readonly clock: Clock
  readonly reader: ProfileReader
  readonly overlay: Overlay
  /** Which profile an identity without one of its own belongs to; empty without `identity.link`. */
  readonly links = new Links()
  /** What bandits have learned; empty without decisions. */
  readonly arms = new Arms()
  readonly evaluator: Evaluator
  readonly intake: Intake
  readonly datastreams: Datastreams
  /** XDM that a caller gives, as it would stand in `xdm.events`: identities, consent and privacy as in every mapping. */
  readonly xdm: Mapper
  readonly decisions: Decisions | undefined
  /** Segments and decisions of the application; undefined: it has none. */
  readonly rules: RuleDecisions | undefined
  /** Where they are changed. */
  readonly book: RuleBook | undefined
  readonly region: string | undefined
  readonly env: EdgeOptions['env']
  readonly #stop = new AbortController()
  readonly #following: Promise<unknown>

  private constructor(options: EdgeOptions, partitions: number) {
    const { plan, engine, scorer, models, registry, entities, lookups, service, context } = options.running
    const { clock } = context
    this.plan = plan
    this.engine = engine
    this.scorer = scorer
    this.models = models
    this.registry = registry
    this.service = service
    this.clock = clock
    this.env = options.env
    this.book = options.running.rules
    const rules =
      this.book && new RuleDecisions(plan, this.book, (decision, offers) => this.arms.shares(decision, offers))
    this.rules = rules
    this.decisions = options.decisions ?? this.rules
    this.region = options.region
    const { ids } = plan.app.events.dedup
    this.overlay = new Overlay({ ...OVERLAY, maxEventsPerProfile: Math.min(OVERLAY.maxEventsPerProfile, ids) })
    this.reader = new ProfileReader({ plan, store: engine.store, overlay: this.overlay, clock, partitions })
    this.evaluator = new Evaluator({
      featureSet: plan.featureSet,
      reader: this.reader,
      entities,
      lookups,
      scorer,
      clock,
      segments: rules && ((question) => rules.beforeScores(question)),
    })
    this.intake = new Intake(engine.log, clock, options.intake ?? INTAKE_LIMITS)
    this.datastreams = new Datastreams(plan, clock)
    this.xdm = xdmMapper(plan, (name) => options.env[name])
    const { signal } = this.#stop
    this.#following = Promise.all([
      followErasures(this, (name) => options.env[name], signal),
      followLinks(this, this.links, signal),
      followArms(this, this.arms, signal),
    ])
  }

  /** @throws RtmlError LOG_DOWN; CONFIG for a datastream whose source can't take XDM */
  static async open(options: EdgeOptions): Promise<Edge> {
    const { plan, engine } = options.running
    const partitions = (await engine.log.bounds(profileTopic(plan))).length
    return new Edge(options, partitions)
  }

  get app(): Application {
    return this.plan.app
  }

  /** Models that answer over HTTP now, in the order of the application file, then those that came later. */
  serving(): ServingModel[] {
    return this.scorer.serving().filter(({ definition }) => definition.deploy !== 'hub')
  }

  /**
   * The key that events of an identity get: written, allowed and hashed as in every mapping.
   * @returns undefined when no profile can be kept under it
   */
  keyOf({ namespace, id }: { readonly namespace: string; readonly id: string }): string | undefined {
    return identityKey(this.xdm, { namespace, id }, this.clock.now())
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort()
    await this.#following
    await this.intake[Symbol.asyncDispose]()
  }
}
