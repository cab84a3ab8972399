/** A registry that is away is waited for; a schema that doesn't exist is not. */
import { createServer } from 'node:http'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { kafkaConfig } from '../../processors/engine/kafka/config.ts'
import { openKafka } from '../../processors/engine/kafka/engine.ts'
import type { Engine } from '../../processors/engine/ports.ts'
import { eventually } from '../engine/contract/conditions.ts'
import { SERVICE_PATIENCE as patience, uniquePrefix } from './fixtures.ts'
import { localProcessesUnavailable } from './harness.ts'
import { type RegistryServer, startRegistry } from './processes/registry.ts'

const order = (more: object[] = []) => ({
  type: 'record',
  name: 'Order',
  namespace: 'shop',
  fields: [{ name: 'at', type: { type: 'long', logicalType: 'timestamp-millis' } }, ...more],
})

function openRegistry(url: string, more: Record<string, string> = {}): Promise<Engine> {
  const nowhere = { KAFKA_BROKERS: '127.0.0.1:1', REDIS_URL: 'redis://127.0.0.1:1' }
  return openKafka(kafkaConfig({ ...nowhere, SCHEMA_REGISTRY_URL: url, SCHEMA_REGISTRY_TIMEOUT_MS: '2500', ...more }))
}

describe.skipIf(localProcessesUnavailable())('a registry that fails', { timeout: patience.testMs }, () => {
  let server: RegistryServer
  let engine: Engine
  beforeAll(async () => {
    server = await startRegistry()
    engine = await openRegistry(server.url)
  })
  afterAll(async () => {
    await engine?.[Symbol.asyncDispose]()
    await server?.[Symbol.asyncDispose]()
  })

  it('is waited for, and what is known goes on being known', async () => {
    const subject = `${uniquePrefix()}value`
    const id = await engine.registry.register(subject, order())
    await server.stop()
    expect(await engine.registry.schema(id)).toEqual(order())
    expect(await engine.registry.register(subject, order())).toBe(id)
    const next = order([{ name: 'sku', type: 'string', default: '' }])
    await expect(engine.registry.register(subject, next)).rejects.toMatchObject({ code: 'REGISTRY_DOWN' })
    await expect(engine.registry.schema(id + 1_000)).rejects.toMatchObject({ code: 'REGISTRY_DOWN' })
    expect([...engine.down().keys()]).toContain('registry')
    await server.start()
    await eventually('the registry is up', patience, () => !engine.down().has('registry'))
    await expect(engine.registry.schema(id + 1_000)).rejects.toMatchObject({ code: 'SCHEMA_ID' })
    expect(await engine.registry.register(subject, next)).toBeGreaterThan(id)
  })

  it('gives workers that start together the same id', async () => {
    const engines = await Promise.all(Array.from({ length: 4 }, () => openRegistry(server.url)))
    try {
      for (let round = 0; round < 5; round++) {
        const subject = `${uniquePrefix()}value`
        const ids = await Promise.all(engines.map(({ registry }) => registry.register(subject, order())))
        expect(new Set(ids).size).toBe(1)
      }
    } finally {
      for (const one of engines) await one[Symbol.asyncDispose]()
    }
  })

  it('does not hang on a frozen registry', async () => {
    server.freeze()
    try {
      // A hang would end at the test's own limit.
      await expect(engine.registry.schema(777_777)).rejects.toMatchObject({ code: 'REGISTRY_DOWN' })
    } finally {
      server.thaw()
    }
  })

  it('keeps logical types and every attribute of a schema that others registered', async () => {
    const subject = `${uniquePrefix()}value`
    const reader = await openRegistry(server.url)
    const id = await engine.registry.register(subject, order())
    expect(await reader.registry.schema(id)).toEqual(order())
    await reader[Symbol.asyncDispose]()
  })

  it('keeps to the level of compatibility that operators have set for a subject', async () => {
    const subject = `${uniquePrefix()}value`
    await engine.registry.register(subject, order([{ name: 'sku', type: 'string' }]))
    const level = await fetch(`${server.url}/config/${subject}`, {
      method: 'PUT',
      headers: { 'content-type': 'application/vnd.schemaregistry.v1+json' },
      body: JSON.stringify({ compatibility: 'FULL' }),
    })
    expect(level.status).toBe(200)
    const other = await openRegistry(server.url)
    const withDefault = order([
      { name: 'sku', type: 'string' },
      { name: 'note', type: 'string', default: '' },
    ])
    expect(await other.registry.register(subject, withDefault)).toBeGreaterThan(0)
    // Readers of the old schema need `sku`: backward compatible, but not fully.
    await expect(other.registry.register(subject, order())).rejects.toMatchObject({ code: 'CONFIG' })
    await other[Symbol.asyncDispose]()
  })
})

describe('a registry behind a password', () => {
  it('is sent user and password, and a refusal is final', async () => {
    const seen: (string | undefined)[] = []
    const server = createServer((request, response) => {
      seen.push(request.headers.authorization)
      const isRight = request.headers.authorization === `Basic ${Buffer.from('rtml:s3:cret').toString('base64')}`
      response.writeHead(isRight ? 200 : 401, { 'content-type': 'application/json' })
      response.end(JSON.stringify(isRight ? { schema: '"string"' } : { error_code: 401, message: 'Unauthorized' }))
    })
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    const address = server.address()
    const port = typeof address === 'object' && address ? address.port : 0
    const login = { SCHEMA_REGISTRY_USERNAME: 'rtml', SCHEMA_REGISTRY_PASSWORD: 's3:cret' }
    const right = await openRegistry(`http://127.0.0.1:${port}`, login)
    expect(await right.registry.schema(1)).toEqual({ type: 'string' })
    const wrong = await openRegistry(`http://rtml:wrong@127.0.0.1:${port}`)
    await expect(wrong.registry.schema(1)).rejects.toMatchObject({ code: 'CONFIG' })
    await Promise.all([right[Symbol.asyncDispose](), wrong[Symbol.asyncDispose]()])
    server.closeAllConnections()
    await new Promise<void>((resolve) => server.close(() => resolve()))
    expect(seen.length).toBeGreaterThan(1)
  })
})
