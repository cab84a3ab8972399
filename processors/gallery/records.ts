/**
 * Records of the compacted topic `models`: versions of models, who serves, and how they do. One partition, so that all
 * readers see the same order. Every key is used once (a version, a change of routing), so compaction keeps the history.
 *
 *   version/<model>/<version>          manifest and where the ONNX bytes are; written last, when its chunks are there
 *   chunk/<sha256>/<number>            a piece of a large ONNX file, raw bytes
 *   routing/<service>/<revision>/<id>  who serves a service from here on; the first record of a revision counts
 *   metrics/<model>/<version>          how a version does on live labels; the newest counts
 */
import { createHash } from 'node:crypto'
import { z } from 'zod'
import { RtmlError } from '../app/errors.ts'
import { type ModelManifest, modelManifestSchema } from '../app/schema.ts'

/** Files up to this size stand in the version record itself (as base64: a third more), larger ones in chunks of this size. */
export const INLINE_BYTES = 700_000
/** Larger files are named by address: `uri` and `sha256`. */
export const MAX_CHUNKED_BYTES = 64 * 1_048_576
/** Of the lists and texts of a record. */
const MAX_ROLES = 64
const MAX_TEXT = 1_000
const MAX_EVIDENCE_BYTES = 65_536

const id = z
  .string()
  .regex(/^[a-zA-Z_][a-zA-Z0-9_-]{0,63}$/, 'a name is 1–64 letters, digits, _ or -, not starting with a digit')
const version = z.string().min(1).max(64)
const sha256 = z.string().regex(/^[0-9a-f]{64}$/, 'a SHA-256 is 64 lower-case hex digits')
const instant = z.iso.datetime()
const share = z.number().min(0).max(1)
const text = z.string().max(MAX_TEXT)
/** Free numbers and texts, bounded in size: what was measured, where a model comes from. */
const facts = z
  .record(z.string().max(100), z.unknown())
  .refine((value) => JSON.stringify(value).length <= MAX_EVIDENCE_BYTES, 'at most 64 KiB of JSON')

const versionRecord = z.strictObject({
  kind: z.literal('version'),
  model: id,
  version,
  service: id,
  /** How it came to be. */
  origin: z.enum(['file', 'push', 'learner', 'bundle']),
  manifest: modelManifestSchema,
  /** Of the ONNX file. */
  sha256,
  sizeBytes: z.int().min(0),
  onnx: z.discriminatedUnion('at', [
    z.strictObject({ at: z.literal('inline'), base64: z.string() }),
    z.strictObject({ at: z.literal('chunks'), count: z.int().min(1).max(1_000) }),
    z.strictObject({ at: z.literal('uri'), uri: z.string().max(4_096) }),
    /** The file is no longer kept: the version is history. */
    z.strictObject({ at: z.literal('dropped') }),
  ]),
  metrics: facts.default({}),
  provenance: facts.default({}),
  at: instant,
  by: text,
  why: text.default(''),
})

const roleSchema = z.strictObject({
  model: id,
  version,
  role: z.enum(['champion', 'arm', 'shadow']),
  /** Of an arm. The champion takes what arms leave. */
  share: share.default(0),
  /** Of an arm: the parts [from, to) of the profiles' hash in [0, 1) that are its own, so that growth keeps them. */
  ranges: z
    .array(z.tuple([share, share]))
    .max(MAX_ROLES)
    .readonly()
    .optional(),
  /** Of champion and arms: scores the others' profiles as well, as a shadow, so that they are judged by the same events. */
  watch: z.boolean().optional(),
})

/** `file`: as the application file was when it was first changed. */
export const ROUTING_ACTIONS = ['file', 'push', 'promote', 'rollback', 'disable', 'enable', 'retire', 'route'] as const

const routingRecord = z.strictObject({
  kind: z.literal('routing'),
  service: id,
  /** 1, 2, …: a change is one more than what its writer saw. */
  revision: z.int().min(1),
  /** Unique: tells the writer whether its change is the one that counts. */
  id: z.string().min(1).max(64),
  action: z.enum(ROUTING_ACTIONS),
  roles: z.array(roleSchema).max(MAX_ROLES).readonly(),
  /** True: nobody serves until it is enabled. */
  disabled: z.boolean().default(false),
  /** `model@version` that may not get a role again until somebody unblocks it. */
  blocked: z.array(z.string().max(130)).max(1_000).readonly().default([]),
  at: instant,
  by: text,
  why: text.default(''),
  /** The figures that justified it. */
  evidence: facts.default({}),
})

const metricsRecord = z.strictObject({
  kind: z.literal('metrics'),
  model: id,
  version,
  service: id,
  at: instant,
  /** By name, such as labels, logLoss, auc, calibrationError; a `window` says over what. */
  metrics: facts,
})

/** What a version may be called when it is pushed. */
export const VERSION_NAME = /^[a-zA-Z0-9][a-zA-Z0-9._+-]{0,63}$/

export type VersionRecord = z.output<typeof versionRecord>
export type RoutingRecord = z.output<typeof routingRecord>
export type MetricsRecord = z.output<typeof metricsRecord>
export type Role = z.output<typeof roleSchema>
export type RoutingAction = (typeof ROUTING_ACTIONS)[number]
export type Facts = z.output<typeof facts>

/** A record as it was read. */
export type GalleryRecord = VersionRecord | RoutingRecord | MetricsRecord | ChunkRecord

export interface ChunkRecord {
  readonly kind: 'chunk'
  readonly sha256: string
  readonly index: number
  readonly bytes: Buffer
}

/** Key and value of a record of `models`. */
export interface Encoded {
  readonly key: Buffer
  readonly value: Buffer
}

/** What a new version is, before it has a place for its bytes. */
export interface NewVersion {
  readonly model: string
  readonly version: string
  readonly service: string
  readonly origin: VersionRecord['origin']
  /** In the words of the application file: inputs by feature name, output choice, fallback… */
  readonly manifest: ModelManifest
  readonly metrics?: Facts
  readonly provenance?: Facts
  /** ISO 8601. */
  readonly at: string
  readonly by: string
  readonly why?: string
}

/** The ONNX file itself, or where it is. */
export type NewOnnx =
  | { readonly bytes: Uint8Array }
  | { readonly uri: string; readonly sha256: string; readonly sizeBytes: number }

/** `model@version`, as people write it. */
export const versionName = ({ model, version }: { model: string; version: string }): string => `${model}@${version}`

/**
 * Records of a new version, to be appended in this order: chunks first, so that whoever sees the version finds its bytes.
 * @throws RtmlError MODEL_ROUTING for a version that isn't well-formed, or a file that is too large to be kept in the log
 */
export function versionRecords(version: NewVersion, onnx: NewOnnx): Encoded[] {
  if (!('bytes' in onnx))
    return [encodeRecord({ ...base(version, onnx.sha256, onnx.sizeBytes), onnx: { at: 'uri', uri: onnx.uri } })]
  const { bytes } = onnx
  if (bytes.length > MAX_CHUNKED_BYTES) {
    throw new RtmlError(
      'MODEL_ROUTING',
      `the ONNX file has ${bytes.length} bytes; up to ${MAX_CHUNKED_BYTES} are kept in the log. Put it where every process can read it, and push its address: --uri.`,
      { place: versionName(version) },
    )
  }
  const hash = createHash('sha256').update(bytes).digest('hex')
  const head = base(version, hash, bytes.length)
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length)
  if (bytes.length <= INLINE_BYTES)
    return [encodeRecord({ ...head, onnx: { at: 'inline', base64: buffer.toString('base64') } })]
  const count = Math.ceil(bytes.length / INLINE_BYTES)
  const chunks = Array.from(
    { length: count },
    (_, index): Encoded => ({
      key: Buffer.from(`chunk/${hash}/${index}`),
      value: buffer.subarray(index * INLINE_BYTES, (index + 1) * INLINE_BYTES),
    }),
  )
  return [...chunks, encodeRecord({ ...head, onnx: { at: 'chunks', count } })]
}

function base(version: NewVersion, hash: string, sizeBytes: number): Omit<z.input<typeof versionRecord>, 'onnx'> {
  return { kind: 'version', ...version, sha256: hash, sizeBytes }
}

/**
 * Key and value of one record. The value is what was given, so that a manifest stays in the words of the application file.
 * @throws RtmlError MODEL_ROUTING naming what isn't well-formed
 */
export function encodeRecord(
  record: z.input<typeof versionRecord> | z.input<typeof routingRecord> | z.input<typeof metricsRecord>,
): Encoded {
  const checked = schemas[record.kind].safeParse(record)
  if (!checked.success) {
    const [issue] = checked.error.issues
    throw new RtmlError('MODEL_ROUTING', `${issue?.path.join('.')}: ${issue?.message}`, { place: keyOf(record) })
  }
  return { key: Buffer.from(keyOf(record)), value: Buffer.from(JSON.stringify(record)) }
}

const schemas = { version: versionRecord, routing: routingRecord, metrics: metricsRecord }

type Keyed =
  | { readonly kind: 'version' | 'metrics'; readonly model: string; readonly version: string }
  | { readonly kind: 'routing'; readonly service: string; readonly revision: number; readonly id: string }

/** Key of a record, as text. */
export function keyOf(record: Keyed): string {
  if (record.kind === 'routing') return `routing/${record.service}/${record.revision}/${encodeURIComponent(record.id)}`
  return `${record.kind}/${record.model}/${encodeURIComponent(record.version)}`
}

const CHUNK_KEY = /^chunk\/([0-9a-f]{64})\/(\d{1,3})$/

/**
 * Reads a record of `models`.
 * @returns undefined for a tombstone
 * @throws RtmlError DECODE for anything that no version of this program wrote
 */
export function decodeRecord(key: Buffer | null, value: Buffer | null): GalleryRecord | undefined {
  if (value === null) return undefined
  const name = key?.toString() ?? ''
  const [, hash, index] = CHUNK_KEY.exec(name) ?? []
  if (hash !== undefined) return { kind: 'chunk', sha256: hash, index: Number(index), bytes: value }
  const record = parse(value, name)
  if (keyOf(record) === name) return record
  throw new RtmlError('DECODE', `the record is of ${keyOf(record)}`, { place: name.slice(0, 300) })
}

function parse(value: Buffer, name: string): VersionRecord | RoutingRecord | MetricsRecord {
  const place = name.slice(0, 300)
  let json: unknown
  try {
    json = JSON.parse(value.toString())
  } catch {
    throw new RtmlError('DECODE', 'not JSON', { place })
  }
  const read = z.discriminatedUnion('kind', [versionRecord, routingRecord, metricsRecord]).safeParse(json)
  if (read.success) return read.data
  const [issue] = read.error.issues
  throw new RtmlError('DECODE', `${issue?.path.join('.')}: ${issue?.message}`, { place })
}
