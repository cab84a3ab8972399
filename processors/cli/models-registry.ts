/** `rtml models list|show|compare|push|promote|rollback|disable|enable`: the registry of models in the application's log. */
import { readFileSync } from 'node:fs'
import { Command, Option } from 'commander'
import { parse as parseYaml } from 'yaml'
import type { ModelManifest } from '../app/schema.ts'
import { systemClock } from '../app/system-clock.ts'
import type { Engine } from '../engine/ports.ts'
import {
  championOf,
  currentOf,
  type GalleryService,
  type GalleryVersion,
  type Role,
  type Routing,
  shareOf,
  versionName,
} from '../gallery/index.ts'
import { isBundle } from '../graph/bundle.ts'
import type { AuditAction } from '../outputs/index.ts'
import { deployBundle } from '../runtime/gallery/bundles.ts'
import type { ModelRegistry } from '../runtime/gallery/model-registry.ts'
import {
  disableModel,
  enableModel,
  type Operations,
  type Pushed,
  type PushRequest,
  promoteModel,
  pushModel,
  rollbackModel,
  serviceNamed,
} from '../runtime/gallery/operations.ts'
import { createModelPool, createScorer } from '../scorer/index.ts'
import { openRegistry, type Plan, planApplication, topicSpecs } from '../topology.ts'
import { actorOf, auditedCommand } from './audit.ts'
import { BadUsage, printJson, printLine, printTable } from './output.ts'
import { type EngineOptions, examples, withEngine, withOpenEngine } from './shared.ts'

interface ReadOptions extends EngineOptions {
  readonly json?: true
}

interface ChangeOptions extends ReadOptions {
  readonly by?: string
  readonly why?: string
  readonly revision?: number
}

interface PushOptions extends ChangeOptions {
  readonly for?: string
  readonly deploy?: 'hub' | 'edge' | 'both'
  readonly version?: string
  readonly role?: 'none' | 'shadow' | 'challenger' | 'champion'
  readonly inputs?: string
  readonly manifest?: string
  readonly service?: string
  readonly uri?: string
}

/** Adds them to `rtml models`. */
export function addRegistryCommands(command: Command): void {
  command.addCommand(
    withEngine(new Command('list'))
      .description('services, who serves them, and with which share')
      .option('--json', 'print JSON')
      .addHelpText('after', examples('rtml models list', 'rtml models list --json'))
      .action((options: ReadOptions) =>
        withRegistry(options, ({ registry }) => {
          const services = registry.gallery.services()
          if (options.json) return printJson({ services: services.map((it) => summaryOf(registry, it)) })
          if (services.length === 0) return printLine('no models')
          printTable(
            ['service', 'revision', 'champion', 'challengers', 'state'],
            services.map((it) => {
              const current = currentOf(it)
              const champion = championOf(current)
              const others = current.roles.filter(({ role }) => role !== 'champion')
              const state = current.disabled ? 'disabled' : 'on'
              return [
                it.name,
                current.revision,
                champion ? versionName(champion) : '-',
                rolesText(others) || '-',
                state,
              ]
            }),
          )
        }),
      ),
  )
  command.addCommand(
    withEngine(new Command('show'))
      .description('versions of a service, and every change with who, when and why')
      .argument('<name>', 'service or model')
      .option('--json', 'print JSON')
      .addHelpText('after', examples('rtml models show propensity'))
      .action((name: string, options: ReadOptions) =>
        withRegistry(options, ({ registry }) => {
          const service = serviceNamed(registry, name)
          const versions = registry.gallery.versions(service.name)
          if (options.json) return printJson({ ...summaryOf(registry, service), history: service.revisions })
          printLine(`${service.name}, revision ${currentOf(service).revision}`)
          printLine()
          printTable(
            ['version', 'share', 'from', 'at', 'by', 'sha256'],
            versions.map((it) => [
              versionName(it),
              percent(shareOf(currentOf(service), it)),
              it.onnx.at === 'dropped' ? `${it.origin} (file dropped)` : it.origin,
              it.at,
              it.by,
              it.sha256.slice(0, 12),
            ]),
          )
          printLine()
          printTable(
            ['revision', 'action', 'roles', 'at', 'by', 'why'],
            service.revisions.map((it) => [
              it.revision,
              it.action,
              it.disabled ? 'disabled' : rolesText(it.roles),
              it.at,
              it.by,
              it.why,
            ]),
          )
        }),
      ),
  )
  command.addCommand(
    withEngine(new Command('compare'))
      .description('figures of versions side by side: on live labels, and as they were when they were pushed')
      .argument('<name>', 'service or model')
      .argument('[version...]', 'versions; default: those that have a role')
      .option('--json', 'print JSON')
      .addHelpText('after', examples('rtml models compare propensity', 'rtml models compare propensity 5 6 --json'))
      .action((name: string, versions: string[], options: ReadOptions) =>
        withRegistry(options, ({ registry }) => compare(registry, serviceNamed(registry, name), versions, options)),
      ),
  )
  command.addCommand(
    changing('push')
      .description('check an ONNX file or bundle against the features, and publish it as a version')
      .argument('<file>', 'ONNX file, or bundle (.zip)')
      .option(
        '--for <name>',
        "model or service that it is for; a new name begins a service; default for a bundle: its graph's name",
      )
      .addOption(
        new Option('--deploy <target>', 'of a bundle: the stream, HTTP, or both (default)').choices([
          'hub',
          'edge',
          'both',
        ]),
      )
      .option('--version <version>', 'default: the next whole number')
      .addOption(
        new Option(
          '--role <role>',
          'default: shadow; champion for a bundle or a new service; challenger: 5 % of the profiles',
        ).choices(['none', 'shadow', 'challenger', 'champion']),
      )
      .option('--inputs <features>', "features of the model's only input, separated by commas")
      .option(
        '--manifest <file>',
        'YAML or JSON with inputs, output, fallback… as under models in the application file',
      )
      .option('--service <name>', 'service of a model that is new; default: its name')
      .option('--uri <address>', 'where all processes can read the same file; default: the file is kept in the log')
      .addHelpText(
        'after',
        examples(
          'rtml models push new.onnx --for propensity --why "trained on May"',
          'rtml models push new.onnx --for propensity --version 6 --role challenger',
          'rtml models push first.onnx --for churn --inputs views_1h,amount_1h',
          'rtml models push churn.rtml.zip --deploy edge',
        ),
      )
      .action((file: string, options: PushOptions) => push(file, options)),
  )
  const stepping = (name: string) =>
    changing(name).argument('<name>', 'service or model, or model@version').argument('[version]', 'version of it')
  command.addCommand(
    stepping('promote')
      .description('give a challenger more profiles: the next step (shadow, 5 %, 50 %, all), a share, or all')
      .option('--share <share>', 'share of the profiles, above 0 and up to 1', shareOption)
      .option('--all', 'all profiles: it becomes the champion')
      .addHelpText(
        'after',
        examples('rtml models promote propensity', 'rtml models promote propensity@6 --share 0.2 --why "AUC +0.02"'),
      )
      .action((name: string, version: string | undefined, options: ChangeOptions & { share?: number; all?: true }) => {
        if (options.all && options.share !== undefined) throw new BadUsage('give --share or --all, not both.')
        const share = options.all ? 1 : options.share
        return change('service.promote', name, version, options, (operations, request) =>
          promoteModel(operations, { ...request, share }),
        )
      }),
  )
  command.addCommand(
    stepping('rollback')
      .description('go back in one step: from challengers to the champion, else to the champion before it')
      .addHelpText(
        'after',
        examples('rtml models rollback propensity --why "conversion fell"', 'rtml models rollback propensity 4'),
      )
      .action((name: string, version: string | undefined, options: ChangeOptions) =>
        change('service.rollback', name, version, options, rollbackModel),
      ),
  )
  for (const [verb, action, work, text] of [
    ['disable', 'service.disable', disableModel, 'switch a whole service off, or take a version out of it'],
    ['enable', 'service.enable', enableModel, 'switch a service on again, or let a version have a role again'],
  ] as const) {
    command.addCommand(
      stepping(verb)
        .description(text)
        .addHelpText('after', examples(`rtml models ${verb} propensity`, `rtml models ${verb} propensity@6`))
        .action((name: string, version: string | undefined, options: ChangeOptions) =>
          change(action, name, version, options, work),
        ),
    )
  }
}

const changing = (name: string): Command =>
  withEngine(new Command(name))
    .option('--by <who>', 'who does it; default: cli:<user>')
    .option('--why <text>', 'why; kept in the history and in the audit log')
    .option(
      '--revision <n>',
      'revision that the change is made from; refused when it is another one by now',
      revisionOption,
    )
    .option('--json', 'print JSON')

function revisionOption(text: string): number {
  if (/^\d{1,9}$/.test(text)) return Number(text)
  throw new BadUsage(`--revision ${JSON.stringify(text)}: not a whole number ≥ 0.`)
}

function shareOption(text: string): number {
  const value = text.endsWith('%') ? Number(text.slice(0, -1)) / 100 : Number(text)
  if (value > 0 && value <= 1) return value
  throw new BadUsage(`--share ${JSON.stringify(text)}: not above 0 and up to 1 (or 100%).`)
}

interface Opened {
  readonly plan: Plan
  readonly engine: Engine
  readonly registry: ModelRegistry
}

/** @param open `create`: make the embedded engine's directory when there is none */
async function withRegistry(
  options: EngineOptions,
  work: (opened: Opened) => void | Promise<void>,
  open?: { create: boolean },
): Promise<void> {
  await withOpenEngine(
    options,
    async (opened, engine) => {
      const plan = await planApplication({ ...opened.planOptions, schemaById: (id) => engine.registry.schema(id) })
      // An application that ran before there was a registry has no such topic.
      await engine.log.ensureTopics(topicSpecs(plan.app).filter(({ topic }) => topic === plan.topics.models))
      await work({ plan, engine, registry: await openRegistry(plan, { engine, clock: systemClock }) })
    },
    open,
  )
}

interface Request {
  readonly name: string
  readonly version: string | undefined
  readonly by: string
  readonly why: string | undefined
  readonly revision: number | undefined
}

async function change(
  action: AuditAction,
  name: string,
  version: string | undefined,
  options: ChangeOptions,
  work: (operations: Pick<Operations, 'registry'>, request: Request) => Promise<Routing>,
): Promise<void> {
  const [model, after] = name.split('@')
  if (after !== undefined && version !== undefined) throw new BadUsage(`give the version once: ${name} or ${version}.`)
  const { by = actorOf(), why, revision } = options
  const request: Request = { name: model!, version: version ?? after, by, why, revision }
  await withRegistry(options, async ({ plan, engine, registry }) => {
    const about = { action, subject: name, reason: why, detail: { by, ...(version === undefined ? {} : { version }) } }
    const routing = await auditedCommand(engine, plan.app, about, () => work({ registry }, request))
    printRouting(routing, options)
  })
}

async function push(file: string, options: PushOptions): Promise<void> {
  const bytes = readFile(file)
  const manifest = manifestOf(options)
  const { by = actorOf(), why, revision, version, role, service, uri } = options
  await withRegistry(
    options,
    async ({ plan, engine, registry }) => {
      const { featureSet, expressions } = plan
      await using pool = await createModelPool({})
      await using scorer = await createScorer({ plan: { models: [] }, featureSet, pool, clock: systemClock })
      const operations: Operations = {
        registry,
        expressions,
        check: (model) => scorer.check(model),
        now: () => new Date(systemClock.now()).toISOString(),
      }
      const sha256 = uri === undefined ? undefined : await registry.sha256(bytes)
      const origin = file.endsWith('.zip') ? 'bundle' : 'push'
      const subject = options.for ?? file
      const about = { action: 'model.push', subject, reason: why, detail: { by, file } } as const
      const pushed = await auditedCommand(engine, plan.app, about, () =>
        publish(operations, options, {
          name: options.for ?? '',
          version,
          manifest,
          service,
          bytes,
          uri,
          sha256,
          role,
          origin,
          by,
          why,
          revision,
        }),
      )
      const { model, version: name, sizeBytes, sha256: hash } = pushed.version
      if (options.json) {
        return printJson({
          model,
          version: name,
          service: pushed.version.service,
          sha256: hash,
          sizeBytes,
          routing: pushed.routing ?? null,
        })
      }
      printLine(`${model}@${name}: ${sizeBytes} bytes, sha256 ${hash.slice(0, 12)}…`)
      if (pushed.routing) printRouting(pushed.routing, options)
      else printLine(`it has no role yet: rtml models promote ${model}@${name}`)
    },
    { create: true },
  )
}

/** A bundle becomes the champion of its service: it has proved itself. An ONNX file begins as a shadow. */
async function publish(
  operations: Operations,
  { for: name, deploy }: PushOptions,
  request: PushRequest,
): Promise<Pushed> {
  if (!isBundle(request.bytes) || request.uri !== undefined || request.version !== undefined) {
    if (name === undefined) throw new BadUsage('--for: name the model or service that the file is for.')
    if (deploy !== undefined)
      throw new BadUsage('--deploy is of bundles kept in the log; else deploy stands in the manifest.')
    return pushModel(operations, request)
  }
  const { bytes, by, why, revision, role, manifest } = request
  return deployBundle(operations, { bytes, service: name, deploy, by, why, revision, role, manifest })
}

function manifestOf({ manifest, inputs }: PushOptions): ModelManifest | undefined {
  if (manifest === undefined)
    return inputs === undefined ? undefined : { inputs: inputs.split(',').map((it) => it.trim()) }
  if (inputs !== undefined) throw new BadUsage('give --manifest or --inputs, not both.')
  try {
    return parseYaml(readFile(manifest).toString('utf8')) as ModelManifest
  } catch (error) {
    if (error instanceof BadUsage) throw error
    throw new BadUsage(`--manifest ${manifest}: ${(error as Error).message}`)
  }
}

function readFile(file: string): Buffer {
  try {
    return readFileSync(file)
  } catch (error) {
    throw new BadUsage(`${file} can't be read (${(error as NodeJS.ErrnoException).code}).`)
  }
}

function printRouting(routing: Routing, { json }: ReadOptions): void {
  if (json) return printJson(routing)
  const { service, revision, roles, disabled } = routing
  printLine(`${service}, revision ${revision}: ${disabled ? 'disabled' : rolesText(roles) || 'nobody serves'}`)
}

function compare(
  registry: ModelRegistry,
  service: GalleryService,
  wanted: readonly string[],
  options: ReadOptions,
): void {
  const current = currentOf(service)
  const isWanted = (it: GalleryVersion) =>
    wanted.length > 0
      ? wanted.includes(it.version) || wanted.includes(versionName(it))
      : current.roles.some(({ model, version }) => model === it.model && version === it.version)
  const versions = registry.gallery.versions(service.name).filter(isWanted)
  const rows = versions.map((it) => ({
    model: it.model,
    version: it.version,
    role: current.roles.find((role) => role.model === it.model && role.version === it.version)?.role ?? null,
    share: shareOf(current, it),
    live: registry.gallery.metrics(it.model, it.version)?.metrics ?? null,
    pushed: it.metrics,
  }))
  if (options.json) return printJson({ service: service.name, versions: rows })
  const numbersOf = (facts: Readonly<Record<string, unknown>>) =>
    Object.entries(facts).filter((entry): entry is [string, number] => typeof entry[1] === 'number')
  const names = [...new Set(rows.flatMap(({ live, pushed }) => numbersOf(live ?? pushed).map(([name]) => name)))]
  if (names.length === 0) printLine('no figures yet: learners publish them with labels, push keeps those of a bundle')
  printTable(
    ['version', 'role', 'share', ...names],
    rows.map(({ model, version, role, share, live, pushed }) => {
      const figures = new Map(numbersOf(live ?? pushed))
      return [
        `${model}@${version}`,
        role ?? '-',
        percent(share),
        ...names.map((name) => figures.get(name)?.toPrecision(4) ?? '-'),
      ]
    }),
  )
}

function summaryOf(registry: ModelRegistry, service: GalleryService): object {
  const current = currentOf(service)
  return {
    service: service.name,
    revision: current.revision,
    disabled: current.disabled,
    roles: current.roles,
    blocked: current.blocked,
    versions: registry.gallery.versions(service.name).map(({ onnx, ...it }) => ({
      ...it,
      kept: onnx.at !== 'dropped',
      share: shareOf(current, it),
      live: registry.gallery.metrics(it.model, it.version)?.metrics ?? null,
    })),
  }
}

const percent = (share: number): string => `${Number((share * 100).toFixed(2))} %`

const rolesText = (roles: readonly Role[]): string =>
  roles.map((it) => `${versionName(it)} ${it.role}${it.role === 'arm' ? ` ${percent(it.share)}` : ''}`).join(', ')
