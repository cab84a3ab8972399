/** What operators, learners and gates do with models: the same few steps for command line, HTTP and programs. */
import { RtmlError } from '../../app/errors.ts'
import { type ModelManifest, modelManifestSchema } from '../../app/schema.ts'
import { didYouMean } from '../../app/suggest.ts'
import {
  addShadow,
  block,
  championOf,
  currentOf,
  type Facts,
  type GalleryService,
  type GalleryVersion,
  type ModelVersion,
  type NewOnnx,
  type NewVersion,
  nextShare,
  promote,
  type Routing,
  rollback,
  STEPS,
  setDisabled,
  shareOf,
  unblock,
  versionName,
} from '../../gallery/index.ts'
import { isBundle, type ScorerModel } from '../../scorer/index.ts'
import { manifestText } from './file-models.ts'
import type { Author, ModelRegistry } from './model-registry.ts'
import { type Compiler, modelOf } from './scorer-models.ts'

/** Loads a model and holds it against the feature set. @throws RtmlError MODEL_LOAD, MODEL_INPUT */
export type CheckModel = (model: ScorerModel) => Promise<unknown>

export interface Operations {
  readonly registry: ModelRegistry
  readonly expressions: Compiler
  readonly check: CheckModel
  /** ISO 8601. */
  readonly now: () => string
}

/** What a change was made from, when it matters that nobody else has changed it: see `ModelRegistry.change`. */
export interface Seen {
  readonly revision?: number | undefined
}

export interface PushRequest extends Author, Seen {
  /** A model, or a service: then the model that is its champion. An unknown name begins a model and service of that name. */
  readonly name: string
  /** Absent: one more than the greatest whole number among the model's versions. */
  readonly version?: string | undefined
  /** Absent: as the model's newest version. */
  readonly manifest?: ModelManifest | undefined
  /** The service of a model that is new. Default: its name. */
  readonly service?: string | undefined
  readonly bytes: Uint8Array
  /** Where the bytes stand, when the log shall only keep their address. */
  readonly uri?: string | undefined
  readonly sha256?: string | undefined
  /** `challenger`: an arm with the first step's share; `none`: published only. Default: `shadow`, `champion` for a new service. */
  readonly role?: 'none' | 'shadow' | 'challenger' | 'champion' | undefined
  readonly origin: NewVersion['origin']
  readonly metrics?: Facts | undefined
  readonly provenance?: Facts | undefined
}

export interface Pushed {
  readonly version: GalleryVersion
  /** Absent: it has no role. */
  readonly routing: Routing | undefined
}

/**
 * Checks an ONNX file against the features, publishes it as a version, and gives it a role.
 * @throws RtmlError MODEL_LOAD, MODEL_INPUT, MODEL_ROUTING, MODEL_CONFLICT, CONFIG, LOG_DOWN
 */
export async function pushModel(
  { registry, expressions, check, now }: Operations,
  request: PushRequest,
): Promise<Pushed> {
  await registry.catchUp()
  const { gallery } = registry
  const model = modelNamed(registry, request.name)
  const service = gallery.serviceOf(model) ?? request.service ?? model
  const before = gallery.versions(service).findLast((it) => it.model === model)
  const manifest = request.manifest ?? inherited(before, request.bytes)
  if (!manifest) {
    throw new RtmlError(
      'MODEL_ROUTING',
      `there is no model or service of this name, so nothing says what it is fed with.${didYouMean(request.name, namesOf(registry))} Give its inputs, in a manifest or alone.`,
      { place: request.name },
    )
  }
  const { bytes, uri, sha256, origin, by, why = '', metrics = {}, provenance = {} } = request
  const version: NewVersion = {
    model,
    version: request.version ?? nextVersion(gallery.versions(service), model),
    service,
    origin,
    manifest: checkedManifest(manifest, model),
    metrics,
    provenance,
    at: now(),
    by,
    why,
  }
  const draft: GalleryVersion = {
    ...version,
    manifest: modelManifestSchema.parse(manifest),
    metrics,
    provenance,
    why,
    sha256: sha256 ?? (await registry.sha256(bytes)),
    sizeBytes: bytes.length,
    onnx: { at: 'dropped' },
  }
  const { version: name } = version
  await check(modelOf(draft, { model, version: name, role: 'shadow', share: 0 }, bytes, expressions))
  const onnx: NewOnnx = uri === undefined || sha256 === undefined ? { bytes } : { uri, sha256, sizeBytes: bytes.length }
  const published = await registry.publish(version, onnx)
  const isNew = gallery.service(service) === undefined
  const role = request.role ?? (isNew ? 'champion' : 'shadow')
  if (role === 'none') return { version: published, routing: undefined }
  const target = { model, version: name }
  const routing = await registry.change({
    ...authorOf(request),
    service,
    action: 'push',
    change: (it) => {
      if (role === 'shadow') return addShadow(it, target)
      return promote(it, target, role === 'champion' || !championOf(currentOf(it)) ? 1 : STEPS[0])
    },
  })
  return { version: published, routing }
}

export interface PromoteRequest extends Author, Seen {
  /** Model or service. */
  readonly name: string
  /** Absent: the only challenger. */
  readonly version?: string | undefined
  /** Share of the profiles, (0, 1]; 1 makes it the champion. Absent: the next step. */
  readonly share?: number | undefined
}

/** Gives a version more profiles. @throws RtmlError MODEL_ROUTING, MODEL_CONFLICT, LOG_DOWN */
export async function promoteModel(
  { registry }: Pick<Operations, 'registry'>,
  request: PromoteRequest,
): Promise<Routing> {
  const { share } = request
  if (share !== undefined && !(share > 0 && share <= 1)) {
    throw new RtmlError('MODEL_ROUTING', `the share ${share} is not above 0 and up to 1.`, { place: request.name })
  }
  await registry.catchUp()
  const service = serviceNamed(registry, request.name)
  return registry.change({
    ...authorOf(request),
    service: service.name,
    action: 'promote',
    change: (it) => {
      const version = challengerOf(registry, it, request)
      return promote(it, version, share ?? nextShare(shareOf(currentOf(it), version)))
    },
  })
}

export interface RollbackRequest extends Author, Seen {
  readonly name: string
  /** Version to go back to. Absent: from challengers to the champion, else to the champion before this one. */
  readonly version?: string | undefined
}

/** Goes back in one record. @throws RtmlError MODEL_ROUTING, MODEL_CONFLICT, LOG_DOWN */
export async function rollbackModel(
  { registry }: Pick<Operations, 'registry'>,
  request: RollbackRequest,
): Promise<Routing> {
  await registry.catchUp()
  const service = serviceNamed(registry, request.name)
  return registry.change({
    ...authorOf(request),
    service: service.name,
    action: 'rollback',
    change: (it) =>
      rollback(
        it,
        request.version === undefined ? undefined : versionNamed(registry, it, request.name, request.version),
      ),
  })
}

export interface SwitchRequest extends Author, Seen {
  readonly name: string
  /** Absent: the whole service. */
  readonly version?: string | undefined
}

/** Nobody serves the service, or the version loses its role until it is enabled. @throws RtmlError MODEL_ROUTING, MODEL_CONFLICT, LOG_DOWN */
export const disableModel = (operations: Pick<Operations, 'registry'>, request: SwitchRequest): Promise<Routing> =>
  switchModel(operations, request, 'disable')

/** The service serves again, or the version may get a role again. @throws RtmlError MODEL_ROUTING, MODEL_CONFLICT, LOG_DOWN */
export const enableModel = (operations: Pick<Operations, 'registry'>, request: SwitchRequest): Promise<Routing> =>
  switchModel(operations, request, 'enable')

async function switchModel(
  { registry }: Pick<Operations, 'registry'>,
  request: SwitchRequest,
  action: 'disable' | 'enable',
): Promise<Routing> {
  await registry.catchUp()
  const service = serviceNamed(registry, request.name)
  return registry.change({
    ...authorOf(request),
    service: service.name,
    action,
    change: (it) => {
      if (request.version === undefined) return setDisabled(it, action === 'disable')
      const version = versionNamed(registry, it, request.name, request.version)
      return action === 'disable' ? block(it, version) : unblock(it, version)
    },
  })
}

const authorOf = ({ by, why, evidence, revision }: Author & Seen): Author & Seen => ({ by, why, evidence, revision })

/** What a new version takes from the one before it. A bundle's graph names its own inputs and outputs. */
export function inherited(before: GalleryVersion | undefined, bytes: Uint8Array): ModelManifest | undefined {
  if (!isBundle(bytes)) return before && manifestText(before.manifest)
  if (!before) return {}
  const { inputs: _, output: __, outputs: ___, ...rest } = manifestText(before.manifest)
  return rest
}

/** @throws RtmlError MODEL_ROUTING naming what isn't valid */
function checkedManifest(manifest: ModelManifest, place: string): ModelManifest {
  const read = modelManifestSchema.safeParse(manifest)
  if (read.success) return manifest
  const [issue] = read.error.issues
  throw new RtmlError('MODEL_ROUTING', `manifest.${issue?.path.join('.')}: ${issue?.message}`, { place })
}

function nextVersion(versions: readonly GalleryVersion[], model: string): string {
  const numbers = versions
    .filter((it) => it.model === model && /^\d{1,9}$/.test(it.version))
    .map((it) => Number(it.version))
  return String(Math.max(0, ...numbers) + 1)
}

/** A model of the name, or the champion of a service of the name, or the name itself. */
function modelNamed({ gallery }: ModelRegistry, name: string): string {
  if (gallery.serviceOf(name) !== undefined) return name
  const service = gallery.service(name)
  return (service && championOf(currentOf(service))?.model) ?? name
}

const namesOf = ({ gallery }: ModelRegistry): string[] => [
  ...new Set(gallery.services().map(({ name }) => name)),
  ...new Set(gallery.versions().map(({ model }) => model)),
]

/** A service by its name, or by that of one of its models. @throws RtmlError MODEL_ROUTING */
export function serviceNamed(registry: ModelRegistry, name: string): GalleryService {
  const { gallery } = registry
  const service = gallery.service(name) ?? gallery.service(gallery.serviceOf(name) ?? '')
  if (service) return service
  throw new RtmlError(
    'MODEL_ROUTING',
    `there is no service or model of this name.${didYouMean(name, namesOf(registry))}`,
    {
      place: name,
    },
  )
}

/** A version of a service: of the model that was named, or of the only model that has it. @throws RtmlError MODEL_ROUTING */
function versionNamed(
  { gallery }: ModelRegistry,
  service: GalleryService,
  name: string,
  version: string,
): ModelVersion {
  const all = gallery.versions(service.name).filter((it) => it.version === version)
  const own = all.filter((it) => it.model === name)
  const [found, second] = own.length > 0 ? own : all
  if (!found) {
    const known = gallery.versions(service.name).map(versionName).slice(-10).join(', ')
    throw new RtmlError('MODEL_ROUTING', `there is no version ${JSON.stringify(version)}. There are: ${known}.`, {
      place: name,
    })
  }
  if (second) {
    throw new RtmlError('MODEL_ROUTING', `${versionName(found)} and ${versionName(second)}: name the model.`, {
      place: name,
    })
  }
  return { model: found.model, version: found.version }
}

/** The version that was named, or the service's only challenger. @throws RtmlError MODEL_ROUTING */
function challengerOf(
  registry: ModelRegistry,
  service: GalleryService,
  { name, version }: PromoteRequest,
): ModelVersion {
  if (version !== undefined) return versionNamed(registry, service, name, version)
  const challengers = currentOf(service).roles.filter(
    (it) => it.role !== 'champion' && (it.model === name || name === service.name),
  )
  const arms = challengers.filter(({ role }) => role === 'arm')
  const [only, second] = arms.length > 0 ? arms : challengers
  if (only && !second) return { model: only.model, version: only.version }
  const found = challengers.map(versionName).join(', ')
  throw new RtmlError(
    'MODEL_ROUTING',
    only
      ? `there are several challengers: ${found}. Name one.`
      : 'there is no challenger. Name a version, or push one.',
    { place: name },
  )
}
