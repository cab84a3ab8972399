/** Encrypted connections with a private authority and client certificates, by file and by text. */
import { createServer, type Server } from 'node:https'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { kafkaConfig } from '../../processors/engine/kafka/config.ts'
import { openKafka } from '../../processors/engine/kafka/engine.ts'
import type { Engine } from '../../processors/engine/ports.ts'
import { bytes } from '../engine/contract/conditions.ts'
import { SERVICE_PATIENCE as patience, uniquePrefix } from './fixtures.ts'
import { localProcessesUnavailable } from './harness.ts'
import { type Certificates, makeCertificates } from './processes/certificates.ts'
import { type KafkaServer, startKafka } from './processes/kafka.ts'
import { type RedisServer, startRedisTls } from './processes/redis.ts'

describe.skipIf(localProcessesUnavailable())('over TLS', { timeout: patience.testMs }, () => {
  let certificates: Certificates
  let kafka: KafkaServer
  let redis: RedisServer
  let registry: Server
  let registryUrl: string
  beforeAll(async () => {
    certificates = await makeCertificates()
    ;[kafka, redis] = await Promise.all([startKafka({ tls: certificates }), startRedisTls(certificates)])
    const { ca, cert, key } = certificates
    registry = createServer({ ca, cert, key, requestCert: true, rejectUnauthorized: true }, (_, response) => {
      response.writeHead(200, { 'content-type': 'application/json' })
      response.end(JSON.stringify({ schema: '{"type":"string"}' }))
    })
    await new Promise<void>((resolve) => registry.listen(0, '127.0.0.1', resolve))
    const address = registry.address()
    registryUrl = `https://localhost:${typeof address === 'object' && address ? address.port : 0}`
  })
  afterAll(async () => {
    registry?.closeAllConnections()
    registry?.close()
    await Promise.all([kafka, redis, certificates].map((one) => one?.[Symbol.asyncDispose]()))
  })

  const open = (more: (prefix: string) => Record<string, string>): Promise<Engine> => {
    const addresses = { KAFKA_BROKERS: kafka.brokers, REDIS_URL: redis.url, SCHEMA_REGISTRY_URL: registryUrl }
    const settings = ['KAFKA_SSL', 'REDIS_SSL', 'SCHEMA_REGISTRY_SSL'].map(more)
    return openKafka(kafkaConfig({ ...addresses, ...Object.assign({}, ...settings), KAFKA_REQUEST_TIMEOUT_MS: '3000' }))
  }

  it.each([
    ['files', (name: string) => join(certificates.folder, name)],
    [
      'texts',
      (name: string) => ({ 'ca.pem': certificates.ca, 'cert.pem': certificates.cert })[name] ?? certificates.key,
    ],
  ])('works with certificates given as %s', async (_, of) => {
    await using engine = await open((prefix) => ({
      [`${prefix}_CA`]: of('ca.pem'),
      [`${prefix}_CERT`]: of('cert.pem'),
      [`${prefix}_KEY`]: of('key.pem'),
    }))
    const topic = `${uniquePrefix()}topic`
    expect(await engine.log.ensureTopics([{ topic, partitions: 1, cleanup: 'delete' }])).toEqual([])
    await engine.log.append([{ topic, key: null, value: bytes('x') }])
    expect((await engine.log.bounds(topic))[0]).toMatchObject({ end: 1 })
    await engine.store.setNote(topic, bytes('y'))
    expect(String(await engine.store.note(topic))).toBe('y')
    expect(await engine.registry.schema(1)).toEqual({ type: 'string' })
    expect([...engine.down()]).toEqual([])
  })

  it('trusts no authority that it was not told of', async () => {
    await using engine = await open((prefix) => ({
      ...(prefix === 'KAFKA_SSL' && { KAFKA_SSL: 'true' }),
      [`${prefix}_CERT`]: certificates.cert,
      [`${prefix}_KEY`]: certificates.key,
    }))
    await expect(engine.log.topics()).rejects.toMatchObject({ code: 'LOG_DOWN' })
    await expect(engine.store.note('x')).rejects.toMatchObject({ code: 'STORE_DOWN' })
    await expect(engine.registry.schema(1)).rejects.toMatchObject({ code: 'REGISTRY_DOWN' })
  })

  it('names a certificate file that cannot be read', async () => {
    const missing = open((prefix) => ({ [`${prefix}_CA`]: '/nowhere/ca.pem' }))
    await expect(missing).rejects.toMatchObject({ code: 'CONFIG', message: expect.stringContaining('/nowhere/ca.pem') })
  })
})
