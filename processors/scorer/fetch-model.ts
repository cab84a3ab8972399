/** Gets a model's bytes from where its manifest says, bounded in size and time, and proves by SHA-256 that they are the right ones. */
import { createHash } from 'node:crypto'
import { isAbsolute, resolve } from 'node:path'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { RtmlError } from '../app/errors.ts'
import type { EpochMs } from '../app/units.ts'
import { encode, type S3Credentials, signGet } from './sigv4.ts'

export interface ModelSource {
  /** Relative to the base folder. */
  readonly file?: string | undefined
  /** file:, http(s): or s3://bucket/key. */
  readonly uri?: string | undefined
  /** Hex. Required for anything that comes over a network. */
  readonly sha256?: string | undefined
  /** `rtml.yaml:77`, for errors. */
  readonly place?: string | undefined
}

export interface S3Options {
  readonly region: string
  /** Absent: the object is read without a signature (a public bucket). */
  readonly credentials?: S3Credentials | undefined
  /** An S3-compatible store: `https://minio:9000`; path-style addresses. Absent: AWS. */
  readonly endpoint?: string | undefined
  readonly now: () => EpochMs
}

export interface FetchModelOptions {
  /** Folder of the application file. */
  readonly baseDir: string
  readonly fetch: typeof globalThis.fetch
  readonly readFile: (path: string) => Promise<Uint8Array>
  readonly s3?: S3Options | undefined
  /** Default 512 MiB. */
  readonly maxBytes?: number | undefined
  readonly signal?: AbortSignal | undefined
}

export interface FetchedModel {
  readonly bytes: Uint8Array
  /** Hex. */
  readonly sha256: string
}

const DEFAULT_MAX_BYTES = 536_870_912
/** Hashing is done in pieces, with other work let in between: 1 MiB takes about 1 ms, 3 ms without hardware support. */
const HASH_BYTES = 1_048_576

/** @throws RtmlError MODEL_LOAD naming the address, what happened and what to do */
export async function fetchModel(source: ModelSource, options: FetchModelOptions): Promise<FetchedModel> {
  const refuse = refuser(source)
  if (source.file !== undefined && source.uri !== undefined) {
    throw refuse('has both file and uri. Keep one of them.')
  }
  const address = source.uri ?? source.file
  if (address === undefined) throw refuse('has neither file nor uri. Give file: model.onnx, or uri: and sha256:.')
  const bytes = await read(source, address, options, refuse)
  const sha256 = await hashInPieces(bytes)
  if (source.sha256 !== undefined && sha256 !== source.sha256.toLowerCase()) {
    throw refuse(
      `has SHA-256 ${sha256}, the manifest says ${source.sha256}. The file was changed or cut: check it, then correct sha256.`,
    )
  }
  return { bytes, sha256 }
}

type Refuse = (text: string, cause?: unknown) => RtmlError

function refuser(source: ModelSource): Refuse {
  const address = source.uri === undefined ? (source.file ?? 'model') : withoutQuery(source.uri)
  return (text, cause) =>
    new RtmlError('MODEL_LOAD', `${address} ${text}`, { cause, ...(source.place ? { place: source.place } : {}) })
}

/** A presigned address carries its key in the query: never in a message. */
const withoutQuery = (uri: string): string => uri.replace(/[?#].*$/s, '').replace(/\/\/[^/@]*@/, '//')

async function read(
  source: ModelSource,
  address: string,
  options: FetchModelOptions,
  refuse: Refuse,
): Promise<Uint8Array> {
  const maxBytes = options.maxBytes ?? DEFAULT_MAX_BYTES
  const path = filePath(source, address, options.baseDir, refuse)
  if (path !== undefined) {
    const bytes = await options.readFile(path).catch((error: NodeJS.ErrnoException) => {
      throw refuse(
        error.code === 'ENOENT' ? `does not exist (looked at ${path}).` : `can't be read: ${error.message}.`,
        error,
      )
    })
    if (bytes.byteLength > maxBytes) throw refuse(tooLarge(bytes.byteLength, maxBytes))
    return bytes
  }
  if (source.sha256 === undefined)
    throw refuse('comes over a network and has no sha256. Add sha256: of the file you tested.')
  const url = new URL(address)
  if (url.protocol === 's3:') return download(s3Request(url, options, refuse), maxBytes, options, refuse)
  return download(httpRequest(url), maxBytes, options, refuse)
}

/** Path of a local file; undefined when the address is a network one. */
function filePath(source: ModelSource, address: string, baseDir: string, refuse: Refuse): string | undefined {
  if (source.uri === undefined) return isAbsolute(address) ? address : resolve(baseDir, address)
  const scheme = /^([a-z][a-z0-9+.-]*):/i.exec(address)?.[1]?.toLowerCase()
  if (scheme === 'http' || scheme === 'https' || scheme === 's3') {
    if (!URL.canParse(address)) throw refuse('is not an address. Use https://host/path or s3://bucket/key.')
    return undefined
  }
  if (scheme !== 'file') throw refuse('has an unknown scheme. Use file:, https:, http: or s3:.')
  try {
    return /^file:\/\//i.test(address) ? fileURLToPath(address) : resolve(baseDir, address.slice('file:'.length))
  } catch (error) {
    throw refuse(`is not a file address: ${(error as Error).message}. Use file:///path or file:relative/path.`, error)
  }
}

interface Download {
  readonly url: URL
  readonly headers: Readonly<Record<string, string>>
}

/** fetch refuses an address with a password in it (and prints it): the password goes where it belongs. */
function httpRequest(address: URL): Download {
  const url = new URL(address)
  const { username, password } = url
  url.username = ''
  url.password = ''
  if (!username && !password) return { url, headers: {} }
  const pair = `${decodeURIComponent(username)}:${decodeURIComponent(password)}`
  return { url, headers: { authorization: `Basic ${Buffer.from(pair).toString('base64')}` } }
}

function s3Request(uri: URL, { s3 }: FetchModelOptions, refuse: Refuse): Download {
  if (!s3)
    throw refuse(
      'needs S3 settings. Set AWS_REGION, and AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY unless the bucket is public.',
    )
  const bucket = uri.hostname
  const key = decodeURIComponent(uri.pathname.slice(1))
  if (!bucket || !key) throw refuse('is not complete. Use s3://bucket/key.')
  const path = key.split('/').map(encode).join('/')
  // A bucket with dots has no matching TLS certificate as a host name: path style.
  const hosted = !s3.endpoint && !bucket.includes('.')
  const base = s3.endpoint?.replace(/\/+$/, '') ?? `https://${hosted ? `${bucket}.` : ''}s3.${s3.region}.amazonaws.com`
  const url = new URL(hosted ? `${base}/${path}` : `${base}/${encode(bucket)}/${path}`)
  return { url, headers: s3.credentials ? signGet(url, s3.region, s3.credentials, s3.now()) : {} }
}

async function download(
  request: Download,
  maxBytes: number,
  options: FetchModelOptions,
  refuse: Refuse,
): Promise<Uint8Array> {
  let response: Response
  try {
    const signal = options.signal ? { signal: options.signal } : {}
    response = await options.fetch(request.url, { headers: { ...request.headers }, ...signal })
  } catch (error) {
    const cause =
      (error as Error).cause instanceof Error ? ((error as Error).cause as Error).message : (error as Error).message
    throw refuse(`can't be reached: ${cause}. Check the address and the network.`, error)
  }
  if (!response.ok) {
    await response.body?.cancel().catch(() => undefined)
    throw refuse(`answered ${response.status}.${adviceFor(response.status)}`)
  }
  const announced = Number(response.headers.get('content-length') ?? 0)
  if (announced > maxBytes) {
    await response.body?.cancel().catch(() => undefined)
    throw refuse(tooLarge(announced, maxBytes))
  }
  return collect(response, maxBytes, refuse)
}

function adviceFor(status: number): string {
  if (status === 401 || status === 403) return ' Check the credentials, or the date of a presigned address.'
  if (status === 404) return ' Check bucket and path.'
  if (status === 301 || status === 307) return ' The bucket is in another region: set AWS_REGION.'
  return status >= 500 ? ' The server failed: try again later.' : ''
}

const tooLarge = (bytes: number, maxBytes: number): string =>
  `has ${bytes} bytes, the limit is ${maxBytes}. Make the model smaller, or raise the limit.`

/** The announced length may be absent or a lie: counted as it comes. */
async function collect(response: Response, maxBytes: number, refuse: Refuse): Promise<Uint8Array> {
  const chunks: Uint8Array[] = []
  let length = 0
  try {
    for await (const chunk of response.body ?? []) {
      length += chunk.length
      if (length > maxBytes) break
      chunks.push(chunk)
    }
  } catch (error) {
    throw refuse(`broke off after ${length} bytes: ${(error as Error).message}. Try again.`, error)
  }
  if (length > maxBytes) throw refuse(tooLarge(length, maxBytes))
  const bytes = new Uint8Array(length)
  let at = 0
  for (const [index, chunk] of chunks.entries()) {
    if (index % 64 === 63) await nextTurn()
    bytes.set(chunk, at)
    at += chunk.length
  }
  return bytes
}

async function hashInPieces(bytes: Uint8Array): Promise<string> {
  const hash = createHash('sha256')
  for (let at = 0; at < bytes.length; at += HASH_BYTES) {
    if (at > 0) await nextTurn()
    hash.update(bytes.subarray(at, at + HASH_BYTES))
  }
  return hash.digest('hex')
}
