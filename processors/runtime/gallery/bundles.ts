/** Deploying a bundle: its own tests run where it will run, then it becomes a version of a service. */
import { createHash } from 'node:crypto'
import { RtmlError } from '../../app/errors.ts'
import type { ModelManifest } from '../../app/schema.ts'
import { championOf, currentOf, type GalleryVersion, promote, type Routing, versionName } from '../../gallery/index.ts'
import { type Bundle, readBundle } from '../../graph/bundle.ts'
import type { Author } from './model-registry.ts'
import { inherited, type Operations, type PushRequest, pushModel } from './operations.ts'

export interface BundleRequest extends Author {
  readonly bytes: Uint8Array
  /** Default: the name of the graph. */
  readonly service?: string | undefined
  readonly deploy?: 'hub' | 'edge' | 'both' | undefined
  /** Default: champion. A bundle has proved itself before. */
  readonly role?: PushRequest['role']
  readonly revision?: number | undefined
  readonly manifest?: ModelManifest | undefined
}

export interface DeployedBundle {
  readonly version: GalleryVersion
  readonly routing: Routing | undefined
  /** Rows of the bundle's tests, all of which were equal. */
  readonly rows: number
}

const NAME = /^[a-zA-Z_][a-zA-Z0-9_-]{0,63}$/

/**
 * Checks a bundle, replays its tests, and makes it the champion of its service. The same bytes again are the same version.
 * @throws RtmlError BUNDLE naming the first row and node that differ; GRAPH, MODEL_LOAD, MODEL_INPUT, MODEL_ROUTING, LOG_DOWN
 */
export async function deployBundle(operations: Operations, request: BundleRequest): Promise<DeployedBundle> {
  const { bytes, deploy } = request
  const bundle = readBundle(bytes)
  const service = nameOf(bundle, request.service)
  const rows = bundle.tests.length
  await operations.registry.catchUp()
  const known = sameVersion(operations, service, bytes, deploy)
  const by = { by: request.by, why: request.why, evidence: request.evidence, revision: request.revision }
  if (known) return { version: known, routing: await serve(operations, known, by), rows }
  const before = operations.registry.gallery.versions(service).findLast((it) => it.model === service)
  const pushed = await pushModel(operations, {
    ...by,
    name: service,
    bytes,
    manifest: {
      ...(request.manifest ?? inherited(before, bytes)),
      deploy: deploy ?? request.manifest?.deploy ?? before?.manifest.deploy ?? 'both',
    },
    role: request.role ?? 'champion',
    origin: 'bundle',
    metrics: bundle.provenance?.metrics ?? {},
    provenance: { graph: bundle.graph.name, tests: bundle.tests.length, ...bundle.provenance },
  })
  return { ...pushed, rows }
}

function nameOf({ graph }: Bundle, service: string = graph.name): string {
  if (NAME.test(service)) return service
  throw new RtmlError(
    'BUNDLE',
    `${JSON.stringify(service)} can't be the name of a service: letters, digits, _ and -, at most 64, no digit first. Give one: service=….`,
    { place: graph.name },
  )
}

/** The version that these bytes are already, deployed as asked. */
function sameVersion(
  { registry }: Operations,
  service: string,
  bytes: Uint8Array,
  deploy: BundleRequest['deploy'],
): GalleryVersion | undefined {
  const sha256 = createHash('sha256').update(bytes).digest('hex')
  return registry.gallery
    .versions(service)
    .findLast(
      (it) =>
        it.sha256 === sha256 && it.onnx.at !== 'dropped' && (deploy === undefined || it.manifest.deploy === deploy),
    )
}

/** Makes a version the champion, unless it is. */
async function serve(
  { registry }: Operations,
  version: GalleryVersion,
  author: Author & { readonly revision?: number | undefined },
): Promise<Routing | undefined> {
  const service = registry.gallery.service(version.service)
  const champion = service && championOf(currentOf(service))
  if (champion && versionName(champion) === versionName(version)) return currentOf(service)
  return registry.change({
    ...author,
    service: version.service,
    action: 'push',
    change: (it) => promote(it, { model: version.model, version: version.version }, 1),
  })
}
