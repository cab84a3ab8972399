/** Bodies that come compressed: decoded up to a bound, whatever they claim to hold. */
import { pipeline, type Readable, Transform } from 'node:stream'
import { createBrotliDecompress, createGunzip, createInflate } from 'node:zlib'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import { Problem } from './problem.ts'

const DECODERS: Readonly<Record<string, () => Transform>> = {
  gzip: createGunzip,
  'x-gzip': createGunzip,
  deflate: createInflate,
  br: createBrotliDecompress,
}

/** Decodes gzip, deflate and br. The route's body limit holds for the decoded bytes, and ends decoding early. */
export function installDecompression(server: FastifyInstance): void {
  server.addHook('preParsing', async (request, _reply, payload) => {
    const encoding = request.headers['content-encoding']?.trim().toLowerCase()
    if (encoding === undefined || encoding === '' || encoding === 'identity') return payload
    const decoder = Object.hasOwn(DECODERS, encoding) ? DECODERS[encoding]?.() : undefined
    if (!decoder) throw new Problem('unsupported-media-type', 'Content-Encoding is gzip, deflate, br, or none.')
    return decoded(request, payload as Readable, decoder)
  })
}

function decoded(request: FastifyRequest, payload: Readable, decoder: Transform) {
  const limit = request.routeOptions.bodyLimit ?? 0
  let encodedBytes = 0
  let decodedBytes = 0
  const counted = new Transform({
    transform(chunk: Buffer, _encoding, done) {
      decodedBytes += chunk.length
      if (decodedBytes > limit) done(new Problem('too-large', `The decoded body has more than ${limit} bytes.`))
      else done(null, chunk)
    },
  })
  payload.on('data', (chunk: Buffer) => {
    encodedBytes += chunk.length
    // What the framework compares with Content-Length.
    Object.assign(counted, { receivedEncodedLength: encodedBytes })
  })
  pipeline(payload, decoder, counted, (error) => {
    if (error && !(error instanceof Problem) && !counted.errored) counted.destroy(error)
  })
  decoder.on('error', () => counted.destroy(new Problem('bad-request', 'The body is not what Content-Encoding says.')))
  return counted
}
