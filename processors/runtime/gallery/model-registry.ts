import { createHash } from 'node:crypto'
import { RtmlError } from '../../app/errors.ts'
import { type Clock, ms, type Offset, offset } from '../../app/units.ts'
import type { Log, NewRecord, RecordRun } from '../../engine/ports.ts'
import {
  type Change,
  decodeRecord,
  type Encoded,
  encodeRecord,
  type Facts,
  Gallery,
  type GalleryService,
  type GalleryVersion,
  keyOf,
  type ModelVersion,
  type NewOnnx,
  type NewVersion,
  type Role,
  type Routing,
  type RoutingAction,
  VERSION_NAME,
  versionName,
  versionRecords,
  withRanges,
} from '../../gallery/index.ts'
import { type FileModel, manifestText } from './file-models.ts'

export interface RegistryOptions {
  readonly log: Log
  /** `topicNames(app).models` */
  readonly topic: string
  readonly clock: Clock
  /** Models of the application file: where services begin. */
  readonly initial?: readonly FileModel[]
  /** Bytes of a version that stands at an address. Absent: such versions can't be loaded. */
  readonly fetchUri?: (uri: string, sha256: string) => Promise<Uint8Array>
  /** Unique texts: which of two writers of one revision was first. */
  readonly newId: () => string
  /** A record that nothing here wrote; it is passed over. */
  readonly onRefused?: (error: Error, at: Offset) => void
}

/** Who changes what, and why. */
export interface Author {
  readonly by: string
  readonly why?: string | undefined
  /** The figures that justified it. */
  readonly evidence?: Facts | undefined
}

export interface ChangeRequest extends Author {
  readonly service: string
  readonly action: RoutingAction
  /** Computes the change from what the service is now. Pure; called once. */
  readonly change: (service: GalleryService) => Change
  /** The revision that the caller has seen. Another one now: MODEL_CONFLICT. Absent: whatever it is. */
  readonly revision?: number | undefined
}

/** Versions of a model whose ONNX files are kept besides those that the last routings name; older ones are history. */
const KEPT_FILES = 20
const KEPT_ROUTINGS = 20
/** Of a learner that publishes every few seconds: versions without a file, and steps from one to the next, that are kept. */
const KEPT_LEARNED = 200
/** How long an append may take to become readable. */
const READABLE_MS = 5_000
const HASH_BYTES = 1_048_576

/**
 * The topic `models` as one process sees it: reads it, adds it up, appends to it. Changes of one service are numbered; of
 * two that were made from the same revision the first in the log counts, and the other's writer is told.
 */
export class ModelRegistry {
  readonly gallery: Gallery
  readonly #options: RegistryOptions
  readonly #fileModels: ReadonlyMap<string, FileModel>
  #position = offset(0)

  private constructor(options: RegistryOptions) {
    const initial = options.initial ?? []
    this.#options = options
    this.#fileModels = new Map(initial.map((it) => [versionName(it.version), it]))
    this.gallery = new Gallery(initial)
  }

  /** Reads the topic to its end. @throws RtmlError LOG_DOWN, TOPIC_SETTING when there is no such topic */
  static async open(options: RegistryOptions): Promise<ModelRegistry> {
    const registry = new ModelRegistry(options)
    await registry.catchUp()
    return registry
  }

  /** Position after the last record that was read. */
  get position(): Offset {
    return this.#position
  }

  /** Reads what was appended meanwhile. @returns true when it changed who should serve @throws RtmlError LOG_DOWN */
  async catchUp(): Promise<boolean> {
    const { log, topic } = this.#options
    const [bounds] = await log.bounds(topic)
    if (!bounds) {
      throw new RtmlError('TOPIC_SETTING', 'the topic does not exist: the application has not run yet.', {
        place: topic,
      })
    }
    const from = offset(Math.max(bounds.start, this.#position))
    let isChanged = false
    if (from >= bounds.end) return false
    for await (const run of log.read({ topic, partition: 0 }, from, { until: bounds.end })) {
      if (this.#take(run)) isChanged = true
    }
    return isChanged
  }

  /** Follows the topic until `signal` aborts. `changed` is called when who should serve has changed. @throws RtmlError LOG_DOWN */
  async follow(signal: AbortSignal, changed: () => void): Promise<void> {
    const { log, topic } = this.#options
    for await (const run of log.read({ topic, partition: 0 }, this.#position, { signal })) {
      if (this.#take(run)) changed()
    }
  }

  /**
   * Publishes a version. It serves nobody before it has a role: see `change`. The same version with the same bytes is
   * published once.
   * @throws RtmlError MODEL_ROUTING when it isn't well-formed, or the version stands for other bytes already; LOG_DOWN
   */
  async publish(version: NewVersion, onnx: NewOnnx): Promise<GalleryVersion> {
    if (!VERSION_NAME.test(version.version)) {
      const text = 'a version is 1–64 letters, digits, . _ + -, starting with a letter or digit.'
      throw new RtmlError('MODEL_ROUTING', text, { place: versionName(version) })
    }
    const sha256 = 'bytes' in onnx ? await this.sha256(onnx.bytes) : onnx.sha256
    await this.catchUp()
    const known = this.gallery.version(version.model, version.version)
    if (known && known.sha256 !== sha256) {
      throw new RtmlError(
        'MODEL_ROUTING',
        `this version stands for another ONNX file (${known.sha256.slice(0, 12)}…). Give the new one a version of its own.`,
        { place: versionName(version) },
      )
    }
    const service = this.gallery.serviceOf(version.model)
    if (service !== undefined && service !== version.service) {
      throw new RtmlError('MODEL_ROUTING', `the model belongs to the service ${service}, not ${version.service}.`, {
        place: versionName(version),
      })
    }
    if (known && known.onnx.at !== 'dropped' && !this.gallery.isOnlyInFile(version)) return known
    for (const record of versionRecords(version, onnx)) await this.#append([record])
    await this.#until(() => {
      const read = this.gallery.version(version.model, version.version)
      return read !== undefined && read.onnx.at !== 'file' && read.onnx.at !== 'dropped'
    })
    await this.#dropOldFiles(version.model, version.service)
    return this.gallery.version(version.model, version.version)!
  }

  /**
   * Changes who serves.
   * @throws RtmlError MODEL_CONFLICT when somebody else's change came first, MODEL_ROUTING when it makes no sense; LOG_DOWN
   */
  async change(request: ChangeRequest): Promise<Routing> {
    await this.catchUp()
    const { service, revision } = request
    const seen = this.#currentOf(service)
    if (revision !== undefined && revision !== seen.revision) throw conflict(seen, revision)
    const known = this.gallery.service(service) ?? { name: service, revisions: [seen], overtaken: [] }
    const { disabled, blocked, roles } = request.change(known)
    this.#check(service, roles)
    if (seen.revision === 0 && seen.roles.length > 0) await this.#adoptFile(seen)
    const current = this.#currentOf(service)
    await this.#publishFileVersions(roles)
    const { action, by, why = '', evidence = {} } = request
    const placed = withRanges(current.roles, roles, service)
    const made = await this.#write(
      { service, action, roles: placed, disabled, blocked, by, why, evidence },
      current.revision,
    )
    if (action === 'route') await this.#takeBackSteps(service)
    return made
  }

  /** Promotions and roll-backs stay for ever; a learner's steps from one version to the next don't. */
  async #takeBackSteps(service: string): Promise<void> {
    const steps = this.gallery.service(service)?.revisions.filter(({ action }) => action === 'route') ?? []
    await this.#takeBack(steps.slice(0, -KEPT_LEARNED).map((it) => keyOf({ kind: 'routing', ...it })))
  }

  async #takeBack(keys: readonly string[]): Promise<void> {
    const { log, topic } = this.#options
    if (keys.length > 0) await log.append(keys.map((key) => ({ topic, key: Buffer.from(key), value: null })))
  }

  /** What the application file says becomes the first revision: the file may change, and one can still go back to it. */
  async #adoptFile({ service, roles, by }: Routing): Promise<void> {
    await this.#publishFileVersions(roles)
    const first = { service, action: 'file', roles, disabled: false, blocked: [], by, why: '', evidence: {} } as const
    await this.#write(first, 0).catch((error: unknown) => {
      // Another operator has just done the same.
      if (this.#currentOf(service).action !== 'file') throw error
    })
  }

  /** @throws RtmlError MODEL_CONFLICT when somebody else's record has the revision */
  async #write(routing: Omit<Routing, 'revision' | 'id' | 'at'>, after: number): Promise<Routing> {
    const id = this.#options.newId()
    const revision = after + 1
    await this.#append([encodeRecord({ ...routing, kind: 'routing', revision, id, at: this.#now() })])
    const written = () => this.gallery.service(routing.service)?.revisions.find((it) => it.revision === revision)
    await this.#until(() => written() !== undefined)
    const winner = written()!
    if (winner.id !== id) throw conflict(winner, after)
    return winner
  }

  #currentOf(service: string): Routing {
    return this.gallery.service(service)?.revisions.at(-1) ?? noRouting(service)
  }

  /** Publishes how a version does on live labels: the newest figures are shown beside it. @throws RtmlError LOG_DOWN */
  async report(version: ModelVersion & { readonly service: string }, metrics: Facts): Promise<void> {
    const { model, service } = version
    await this.#append([
      encodeRecord({ kind: 'metrics', model, version: version.version, service, at: this.#now(), metrics }),
    ])
  }

  /**
   * The ONNX file of a version, checked against its SHA-256.
   * @throws RtmlError MODEL_LOAD when it is no longer kept or not the one that was published; LOG_DOWN
   */
  async bytes(version: GalleryVersion): Promise<Uint8Array> {
    const place = versionName(version)
    const bytes = await this.#read(version, place)
    const sha256 = await this.sha256(bytes)
    if (sha256 === version.sha256) return bytes
    throw new RtmlError('MODEL_LOAD', `its bytes have SHA-256 ${sha256}, its record says ${version.sha256}.`, { place })
  }

  /** Hex; in pieces, with other work let in between. */
  async sha256(bytes: Uint8Array): Promise<string> {
    const hash = createHash('sha256')
    for (let at = 0; at < bytes.length; at += HASH_BYTES) {
      if (at > 0) await this.#options.clock.turn()
      hash.update(bytes.subarray(at, at + HASH_BYTES))
    }
    return hash.digest('hex')
  }

  async #read({ onnx, sha256, sizeBytes }: GalleryVersion, place: string): Promise<Uint8Array> {
    const { fetchUri } = this.#options
    switch (onnx.at) {
      case 'file':
        return this.#fileModels.get(place)!.bytes
      case 'inline': {
        const record = await this.#recordAt(onnx.offset, place)
        if (record.kind === 'version' && record.onnx.at === 'inline') return Buffer.from(record.onnx.base64, 'base64')
        throw gone(place)
      }
      case 'chunks': {
        const pieces: Buffer[] = []
        for (const at of onnx.offsets) {
          const record = at < 0 ? undefined : await this.#recordAt(at, place)
          if (record?.kind !== 'chunk') throw gone(place)
          pieces.push(record.bytes)
        }
        return Buffer.concat(pieces, sizeBytes)
      }
      case 'uri':
        if (!fetchUri) throw new RtmlError('MODEL_LOAD', 'this process does not read models from addresses.', { place })
        return fetchUri(onnx.uri, sha256)
      case 'dropped':
        throw gone(place)
    }
  }

  async #recordAt(at: Offset, place: string): Promise<NonNullable<ReturnType<typeof decodeRecord>>> {
    const { log, topic } = this.#options
    for await (const { records } of log.read({ topic, partition: 0 }, at, { until: offset(at + 1) })) {
      for (const { key, value, offset: found } of records) {
        const record = found === at ? decodeRecord(key, value) : undefined
        if (record) return record
      }
    }
    throw gone(place)
  }

  #take(run: RecordRun): boolean {
    let isChanged = false
    for (const { key, value, offset: at } of run.records) {
      if (at < this.#position) continue
      try {
        const record = decodeRecord(key, value)
        if (value === null) this.gallery.remove(key?.toString() ?? '')
        if (record && this.gallery.add(record, at)) isChanged = true
      } catch (error) {
        this.#options.onRefused?.(error as Error, at)
      }
    }
    this.#position = offset(Math.max(this.#position, run.to))
    return isChanged
  }

  /** @throws RtmlError MODEL_ROUTING */
  #check(service: string, roles: readonly Role[]): void {
    const place = service
    const champions = roles.filter(({ role }) => role === 'champion')
    const arms = roles.filter(({ role }) => role === 'arm')
    if (champions.length > 1) throw new RtmlError('MODEL_ROUTING', 'there can be one champion only.', { place })
    if (champions.length === 0 && arms.length > 0) {
      throw new RtmlError('MODEL_ROUTING', 'arms need a champion that takes the other profiles.', { place })
    }
    const serving = new Set<string>()
    for (const role of roles) {
      const version = this.gallery.version(role.model, role.version)
      const where = { place: versionName(role) }
      if (!version) throw new RtmlError('MODEL_ROUTING', 'there is no such version. Push it first.', where)
      if (version.service !== service) {
        throw new RtmlError('MODEL_ROUTING', `it belongs to the service ${version.service}, not ${service}.`, where)
      }
      if (version.onnx.at === 'dropped') {
        throw new RtmlError('MODEL_ROUTING', 'its ONNX file is no longer kept. Push it again.', where)
      }
      if (role.role === 'arm' && role.share <= 0) {
        throw new RtmlError('MODEL_ROUTING', 'an arm needs a share above 0.', where)
      }
      if (role.role !== 'shadow') serving.add(version.manifest.deploy)
    }
    if (serving.size > 1) {
      const text =
        'champion and arms of a service must have the same deploy target: a profile gets one of them everywhere.'
      throw new RtmlError('MODEL_ROUTING', text, { place })
    }
  }

  /** Versions of the application file get a record before a routing names them: the file may change. */
  async #publishFileVersions(roles: readonly Role[]): Promise<void> {
    for (const role of roles) {
      const model = this.#fileModels.get(versionName(role))
      if (model && this.gallery.isOnlyInFile(role)) {
        for (const record of versionRecords(model.toPublish, model.onnx)) await this.#append([record])
      }
    }
  }

  /** Learners publish a version every few seconds: files that nobody can go back to any more are taken out of the log. */
  async #dropOldFiles(model: string, service: string): Promise<void> {
    const named = new Set<string>()
    for (const { roles } of this.gallery.service(service)?.revisions.slice(-KEPT_ROUTINGS) ?? []) {
      for (const role of roles) named.add(versionName(role))
    }
    const kept = this.gallery
      .versions(service)
      .filter((it) => it.model === model && (it.onnx.at === 'inline' || it.onnx.at === 'chunks'))
    for (const version of kept.slice(0, -KEPT_FILES)) {
      if (!named.has(versionName(version))) await this.#drop(version)
    }
    const learned = this.gallery
      .versions(service)
      .filter((it) => it.model === model && it.origin === 'learner' && it.onnx.at === 'dropped')
    const old = learned.slice(0, -KEPT_LEARNED).filter((it) => !named.has(versionName(it)))
    await this.#takeBack(old.map(({ model, version }) => keyOf({ kind: 'version', model, version })))
  }

  async #drop(version: GalleryVersion): Promise<void> {
    const { log, topic } = this.#options
    const place = versionName(version)
    const { onnx, manifest, ...rest } = version
    const others = this.gallery.versions().filter((it) => it !== version && it.sha256 === version.sha256)
    const tombstones: NewRecord[] =
      onnx.at === 'chunks' && others.length === 0
        ? onnx.offsets.map((_, index) => ({ topic, key: Buffer.from(`chunk/${version.sha256}/${index}`), value: null }))
        : []
    const { key, value } = encodeRecord({
      ...rest,
      kind: 'version',
      manifest: manifestText(manifest),
      onnx: { at: 'dropped' },
    })
    await log.append([{ topic, key, value }, ...tombstones])
    await this.#until(() => this.gallery.version(version.model, version.version)?.onnx.at === 'dropped', place)
  }

  async #append(records: readonly Encoded[]): Promise<void> {
    const { log, topic } = this.#options
    await log.append(records.map(({ key, value }) => ({ topic, key, value })))
  }

  /** Reads until what was appended is read. @throws RtmlError LOG_DOWN */
  async #until(isRead: () => boolean, place = this.#options.topic): Promise<void> {
    const { clock } = this.#options
    const until = clock.now() + READABLE_MS
    for (;;) {
      await this.catchUp()
      if (isRead()) return
      if (clock.now() > until) {
        throw new RtmlError('LOG_DOWN', `what was appended is not readable after ${READABLE_MS} ms.`, { place })
      }
      await clock.sleep(ms(20))
    }
  }

  #now(): string {
    return new Date(this.#options.clock.now()).toISOString()
  }
}

const gone = (place: string): RtmlError =>
  new RtmlError('MODEL_LOAD', 'its ONNX file is no longer kept in the topic. Push it again.', { place })

function conflict({ service, revision, by, at, action }: Routing, seen: number): RtmlError {
  return new RtmlError(
    'MODEL_CONFLICT',
    `it is at revision ${revision} (${action} by ${by} at ${at}), this change was made from revision ${seen}. Look at it again: rtml models show ${service}`,
    { place: service },
  )
}

/** Where a service begins that the application file doesn't have. */
const noRouting = (service: string): Routing => ({
  service,
  revision: 0,
  id: 'none',
  action: 'file',
  roles: [],
  disabled: false,
  blocked: [],
  at: '',
  by: '',
  why: '',
  evidence: {},
})
