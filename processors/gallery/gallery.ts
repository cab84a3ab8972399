/**
 * What the records of `models` add up to: versions, and for each service its revisions in order. The application file is
 * where a service begins (revision 0); records win from revision 1 on.
 */
import type { Offset } from '../app/units.ts'
import {
  type ChunkRecord,
  type Facts,
  type GalleryRecord,
  type MetricsRecord,
  type Role,
  type RoutingRecord,
  type VersionRecord,
  versionName,
} from './records.ts'

/** Revisions of a service that are kept in memory; the topic has all. */
const MAX_REVISIONS = 1_000
/** Versions of a model that are kept in memory besides those that the kept revisions name. */
const MAX_VERSIONS = 200
const MAX_REFUSED = 100

/** A version without its bytes: they are read again where they stand. */
export interface GalleryVersion extends Omit<VersionRecord, 'kind' | 'onnx'> {
  readonly onnx:
    | { readonly at: 'file' }
    | { readonly at: 'inline'; readonly offset: Offset }
    | { readonly at: 'chunks'; readonly offsets: readonly Offset[] }
    | { readonly at: 'uri'; readonly uri: string }
    | { readonly at: 'dropped' }
}

/** Who serves a service: what the application file says (revision 0), or a record. */
export type Routing = Omit<RoutingRecord, 'kind'>

export interface GalleryService {
  readonly name: string
  /** Oldest first; never empty. The last one is what is asked for. */
  readonly revisions: readonly Routing[]
  /** Changes that came too late: somebody else's record had the revision. The newest ones. */
  readonly overtaken: readonly RoutingRecord[]
}

/** Models of an application file, as the first versions and revisions. */
export interface InitialModel {
  readonly version: GalleryVersion
  readonly role: Role
}

/** Adds up records in the order of the log. Single-threaded, no I/O. */
export class Gallery {
  readonly #versions = new Map<string, GalleryVersion>()
  readonly #services = new Map<string, { revisions: Routing[]; overtaken: RoutingRecord[] }>()
  readonly #metrics = new Map<string, MetricsRecord>()
  /** Places of chunks whose version is still to come. */
  readonly #chunks = new Map<string, Offset[]>()
  /** Versions that only the application file has. */
  readonly #initial = new Set<string>()
  readonly #overruled = new Set<string>()

  constructor(initial: readonly InitialModel[] = []) {
    for (const { version, role } of initial) {
      this.#versions.set(versionName(version), version)
      this.#initial.add(versionName(version))
      const service = this.#services.get(version.service)
      if (service) service.revisions[0] = { ...service.revisions[0]!, roles: [...service.revisions[0]!.roles, role] }
      else this.#services.set(version.service, { revisions: [fileRouting(version, role)], overtaken: [] })
    }
  }

  /** @returns true when the record changed who should serve */
  add(record: GalleryRecord, offset: Offset): boolean {
    switch (record.kind) {
      case 'chunk':
        this.#addChunk(record, offset)
        return false
      case 'version':
        this.#addVersion(record, offset)
        return false
      case 'metrics':
        this.#metrics.set(versionName(record), record)
        return false
      case 'routing':
        return this.#addRouting(record)
    }
  }

  /** A key whose record was taken back: a version that nobody can go back to, or a step between two of them. */
  remove(key: string): void {
    const [, model, version] = /^version\/([^/]+)\/(.+)$/.exec(key) ?? []
    if (model !== undefined && version !== undefined) {
      const name = versionName({ model, version: decodeURIComponent(version) })
      if (this.#initial.has(name)) return
      this.#versions.delete(name)
      this.#metrics.delete(name)
    }
    const [, service, revision] = /^routing\/([^/]+)\/(\d+)\//.exec(key) ?? []
    const revisions = this.#services.get(service ?? '')?.revisions
    const at = revisions?.findIndex((it) => it.revision === Number(revision)) ?? -1
    // The last one is what serves, whatever is taken back.
    if (revisions && at >= 0 && at < revisions.length - 1) revisions.splice(at, 1)
  }

  services(): GalleryService[] {
    return [...this.#services].map(([name, service]) => ({ name, ...service }))
  }

  service(name: string): GalleryService | undefined {
    const service = this.#services.get(name)
    return service && { name, ...service }
  }

  version(model: string, version: string): GalleryVersion | undefined {
    return this.#versions.get(versionName({ model, version }))
  }

  /** In the order in which they came. */
  versions(service?: string): GalleryVersion[] {
    return [...this.#versions.values()].filter((it) => service === undefined || it.service === service)
  }

  /** Whether the version stands only in the application file: another process, or the next start, may not have it. */
  isOnlyInFile({ model, version }: { model: string; version: string }): boolean {
    return this.#initial.has(versionName({ model, version }))
  }

  /** Versions of the application file whose name stands for other bytes in the log: the log's ones serve. */
  overruled(): string[] {
    return [...this.#overruled]
  }

  /** How a version does on live labels, as it was last published. */
  metrics(model: string, version: string): MetricsRecord | undefined {
    return this.#metrics.get(versionName({ model, version }))
  }

  /** The service that a model belongs to: of its newest version. */
  serviceOf(model: string): string | undefined {
    let service: string | undefined
    for (const version of this.#versions.values()) if (version.model === model) service = version.service
    return service
  }

  #addChunk({ sha256, index }: ChunkRecord, offset: Offset): void {
    const offsets = this.#chunks.get(sha256) ?? []
    offsets[index] = offset
    this.#chunks.set(sha256, offsets)
  }

  #addVersion(record: VersionRecord, offset: Offset): void {
    const { kind: _, onnx, ...rest } = record
    const name = versionName(record)
    const before = this.#versions.get(name)
    // A version is what it was first: the same name with other bytes would make scores lie about who gave them.
    // Only the application file may have changed meanwhile; the log's version is the one that others know.
    if (before && before.sha256 !== record.sha256) {
      if (!this.#initial.has(name)) return
      this.#overruled.add(name)
    }
    this.#initial.delete(name)
    // Published again after its file was dropped: it is as new as any.
    if (before?.onnx.at === 'dropped') this.#versions.delete(name)
    this.#versions.set(name, { ...rest, onnx: this.#placeOf(record, onnx, offset) })
    this.#forgetVersions(record.model)
  }

  #placeOf({ sha256 }: VersionRecord, onnx: VersionRecord['onnx'], offset: Offset): GalleryVersion['onnx'] {
    switch (onnx.at) {
      case 'inline':
        return { at: 'inline', offset }
      case 'chunks': {
        const offsets = this.#chunks.get(sha256) ?? []
        return {
          at: 'chunks',
          offsets: Array.from({ length: onnx.count }, (_, index) => offsets[index] ?? (-1 as Offset)),
        }
      }
      default:
        return onnx
    }
  }

  #addRouting(record: RoutingRecord): boolean {
    const { kind: _, ...routing } = record
    const service = this.#services.get(record.service) ?? { revisions: [], overtaken: [] }
    const last = service.revisions.at(-1)
    if (last && record.revision <= last.revision) {
      // The same record once more is a repeated append, not another change.
      if (service.revisions.some(({ id }) => id === record.id)) return false
      service.overtaken.push(record)
      if (service.overtaken.length > MAX_REFUSED) service.overtaken.shift()
      return false
    }
    service.revisions.push(routing)
    // The first one stays: it is what the application file says.
    if (service.revisions.length > MAX_REVISIONS) service.revisions.splice(1, 1)
    this.#services.set(record.service, service)
    return true
  }

  #forgetVersions(model: string): void {
    const named = new Set<string>()
    for (const { revisions } of this.#services.values()) {
      for (const { roles } of revisions.slice(-MAX_VERSIONS)) for (const role of roles) named.add(versionName(role))
    }
    const ours = [...this.#versions].filter(([, version]) => version.model === model)
    for (const [name] of ours.slice(0, Math.max(0, ours.length - MAX_VERSIONS))) {
      if (named.has(name) || this.#initial.has(name)) continue
      this.#versions.delete(name)
      this.#metrics.delete(name)
    }
  }
}

function fileRouting({ service, at }: GalleryVersion, role: Role): Routing {
  return {
    service,
    revision: 0,
    id: 'file',
    action: 'file',
    roles: [role],
    disabled: false,
    blocked: [],
    at,
    by: 'application file',
    why: '',
    evidence: {} satisfies Facts,
  }
}

/** What is asked for now. */
export const currentOf = ({ revisions }: GalleryService): Routing => revisions.at(-1)!

export const championOf = ({ roles }: Pick<Routing, 'roles'>): Role | undefined =>
  roles.find(({ role }) => role === 'champion')

/**
 * Champions that a rollback goes back to, the serving one last: a rollback takes away what it goes back over, so that the
 * next one goes further back instead of to and fro.
 */
export function championsOf({ revisions }: GalleryService): Role[] {
  const stack: Role[] = []
  for (const routing of revisions) {
    const champion = championOf(routing)
    if (!champion) continue
    const name = versionName(champion)
    if (stack.length > 0 && versionName(stack.at(-1)!) === name) continue
    const known = stack.findIndex((it) => versionName(it) === name)
    if (routing.action === 'rollback' && known >= 0) stack.length = known + 1
    else stack.push(champion)
  }
  return stack
}
