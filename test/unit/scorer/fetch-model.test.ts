import { createHash } from 'node:crypto'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { epochMs } from '../../../processors/app/units.ts'
import { type FetchModelOptions, fetchModel, type ModelSource } from '../../../processors/scorer/index.ts'
import { signGet } from '../../../processors/scorer/sigv4.ts'

const MODEL = Buffer.from('these are the bytes of a model')
const SHA256 = createHash('sha256').update(MODEL).digest('hex')
const now = () => epochMs(Date.parse('2026-03-01T12:00:00Z'))

let server: Server
let origin: string
let dir: string
let seen: IncomingMessage[]
let answer: (request: IncomingMessage, response: ServerResponse) => void

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'rtml-fetch-'))
  await writeFile(join(dir, 'model.onnx'), MODEL)
  server = createServer((request, response) => {
    seen.push(request)
    answer(request, response)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
})
beforeEach(() => {
  seen = []
  answer = (_request, response) => response.end(MODEL)
})
afterAll(async () => {
  server.closeAllConnections()
  await new Promise((resolve) => server.close(resolve))
  await rm(dir, { recursive: true })
})

const get = (source: ModelSource, over: Partial<FetchModelOptions> = {}) =>
  fetchModel(source, { baseDir: dir, fetch: globalThis.fetch, readFile, ...over })
const failure = async (source: ModelSource, over: Partial<FetchModelOptions> = {}) => {
  const error: Error = await get(source, over).then(
    () => expect.fail('it was fetched'),
    (it) => it,
  )
  expect(error).toMatchObject({ name: 'RtmlError', code: 'MODEL_LOAD' })
  return error.message
}

describe('a model on disk', () => {
  it.each<[string, () => ModelSource]>([
    ['file, relative to the application file', () => ({ file: 'model.onnx' })],
    ['file, absolute', () => ({ file: join(dir, 'model.onnx') })],
    ['file: relative', () => ({ uri: 'file:model.onnx' })],
    ['file:// absolute', () => ({ uri: pathToFileURL(join(dir, 'model.onnx')).href, sha256: SHA256.toUpperCase() })],
  ])('is read from %s', async (_, source) => {
    expect(await get(source())).toEqual({ bytes: MODEL, sha256: SHA256 })
  })

  it.each<[string, ModelSource, Partial<FetchModelOptions>, RegExp]>([
    [
      'a missing file',
      { file: 'nope.onnx', place: 'rtml.yaml:9' },
      {},
      /^MODEL_LOAD rtml.yaml:9: nope.onnx does not exist \(looked at .*nope.onnx\)/,
    ],
    ['a folder', { file: '.' }, {}, /can't be read: EISDIR/],
    [
      'a wrong sum',
      { file: 'model.onnx', sha256: '0'.repeat(64) },
      {},
      /has SHA-256 [0-9a-f]{64}, the manifest says 0+\. The file was changed or cut/,
    ],
    ['a file above the limit', { file: 'model.onnx' }, { maxBytes: 10 }, /has 30 bytes, the limit is 10/],
    ['nothing', {}, {}, /neither file nor uri/],
    ['both', { file: 'a', uri: 'file:b' }, {}, /has both file and uri/],
    ['an unknown scheme', { uri: 'ftp://host/x' }, {}, /unknown scheme. Use file:, https:, http: or s3:/],
    ['no scheme', { uri: 'models/x.onnx' }, {}, /unknown scheme/],
  ])('is refused: %s', async (_, source, over, message) => {
    expect(await failure(source, over)).toMatch(message)
  })
})

describe('a model over HTTP', () => {
  it('is fetched and proved by its sum', async () => {
    expect(await get({ uri: `${origin}/m.onnx`, sha256: SHA256 })).toEqual({
      bytes: new Uint8Array(MODEL),
      sha256: SHA256,
    })
  })

  it('is refused without a sum, before anything is sent', async () => {
    expect(await failure({ uri: `${origin}/m.onnx` })).toMatch(/has no sha256. Add sha256/)
    expect(seen).toEqual([])
  })

  it.each<[string, (response: ServerResponse) => void, RegExp]>([
    ['another file', (it) => it.end('changed'), /has SHA-256/],
    ['403', (it) => it.writeHead(403).end('no'), /answered 403. Check the credentials/],
    ['404', (it) => it.writeHead(404).end(), /answered 404. Check bucket and path/],
    ['503', (it) => it.writeHead(503).end(), /answered 503. The server failed: try again later/],
    [
      'an announced size above the limit',
      (it) => it.writeHead(200, { 'content-length': '1000' }).end(Buffer.alloc(1000)),
      /has 1000 bytes, the limit is 100/,
    ],
    [
      'more bytes than the limit, unannounced',
      (it) => {
        it.write(Buffer.alloc(90))
        it.end(Buffer.alloc(90))
      },
      /has \d+ bytes, the limit is 100/,
    ],
    [
      'a connection that breaks off',
      (it) => {
        it.writeHead(200, { 'content-length': '50' })
        it.write('abc')
        setImmediate(() => it.destroy())
      },
      /broke off after \d+ bytes|can't be reached/,
    ],
  ])('is refused: %s', async (_, respond, message) => {
    answer = (_request, response) => respond(response)
    expect(await failure({ uri: `${origin}/m.onnx`, sha256: SHA256 }, { maxBytes: 100 })).toMatch(message)
  })

  it('never prints a presigned key or a password', async () => {
    answer = (_request, response) => response.writeHead(404).end()
    const message = await failure({
      uri: `${origin.replace('//', '//user:secret@')}/m.onnx?X-Amz-Signature=abc`,
      sha256: SHA256,
    })
    expect(message).toMatch(/answered 404/)
    expect(message).not.toMatch(/secret|abc/)
    expect(seen[0]?.headers.authorization).toBe(`Basic ${Buffer.from('user:secret').toString('base64')}`)
  })

  it('says so when nobody listens', async () => {
    expect(await failure({ uri: 'http://127.0.0.1:9/m.onnx', sha256: SHA256 })).toMatch(
      /can't be reached: .*Check the address/,
    )
  })

  it('stops when it is told to', async () => {
    const abort = new AbortController()
    answer = () => abort.abort()
    expect(await failure({ uri: `${origin}/m.onnx`, sha256: SHA256 }, { signal: abort.signal })).toMatch(
      /can't be reached|broke off/,
    )
  })
})

describe('a model in S3', () => {
  const credentials = {
    accessKeyId: 'AKIAIOSFODNN7EXAMPLE',
    secretAccessKey: 'wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY',
  }

  it('is signed as the published example is', () => {
    const at = epochMs(Date.parse('2013-05-24T00:00:00Z'))
    const url = new URL('https://examplebucket.s3.amazonaws.com/test.txt')
    const headers = signGet(url, 'us-east-1', credentials, at, { range: 'bytes=0-9' })
    expect(headers.authorization).toBe(
      'AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request,' +
        'SignedHeaders=host;range;x-amz-content-sha256;x-amz-date,' +
        'Signature=f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41',
    )
  })

  it('comes from an S3-compatible endpoint, path-style, signed, with any key', async () => {
    const s3 = {
      region: 'eu-central-1',
      endpoint: `${origin}/`,
      credentials: { ...credentials, sessionToken: 'token' },
      now,
    }
    const found = await get({ uri: 's3://models/team a/größe+1.onnx', sha256: SHA256 }, { s3 })
    expect(found.sha256).toBe(SHA256)
    expect(seen[0]?.url).toBe('/models/team%20a/gr%C3%B6%C3%9Fe%2B1.onnx')
    expect(seen[0]?.headers).toMatchObject({
      'x-amz-date': '20260301T120000Z',
      'x-amz-security-token': 'token',
      authorization: expect.stringMatching(
        /Credential=AKIAIOSFODNN7EXAMPLE\/20260301\/eu-central-1\/s3\/aws4_request,SignedHeaders=host;x-amz-content-sha256;x-amz-date;x-amz-security-token,/,
      ),
    })
  })

  it('is asked from AWS by host name, or by path for a bucket with dots', async () => {
    const asked: string[] = []
    const fetch = async (url: URL) => {
      asked.push(url.href)
      return new Response(MODEL)
    }
    const s3 = { region: 'us-west-2', now }
    for (const uri of ['s3://bucket/a/b.onnx', 's3://my.bucket/b.onnx']) {
      await get({ uri, sha256: SHA256 }, { s3, fetch: fetch as typeof globalThis.fetch })
    }
    expect(asked).toEqual([
      'https://bucket.s3.us-west-2.amazonaws.com/a/b.onnx',
      'https://s3.us-west-2.amazonaws.com/my.bucket/b.onnx',
    ])
  })

  it('is refused without settings or without a key', async () => {
    expect(await failure({ uri: 's3://bucket/x.onnx', sha256: SHA256 })).toMatch(/needs S3 settings. Set AWS_REGION/)
    expect(await failure({ uri: 's3://bucket', sha256: SHA256 }, { s3: { region: 'x', now } })).toMatch(
      /not complete. Use s3:\/\/bucket\/key/,
    )
  })
})
