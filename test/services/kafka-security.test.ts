/** Logins and permissions against a real broker. */
import { createServer, type Server } from 'node:http'
import { AclOperationTypes, AclPermissionTypes, AclResourceTypes, Kafka, logLevel, ResourcePatternTypes } from 'kafkajs'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { kafkaConfig } from '../../processors/engine/kafka/config.ts'
import { openKafka } from '../../processors/engine/kafka/engine.ts'
import type { Engine } from '../../processors/engine/ports.ts'
import { describeLog } from '../engine/contract.ts'
import { SERVICE_PATIENCE as patience, uniquePrefix } from './fixtures.ts'
import { localProcessesUnavailable } from './harness.ts'
import { type KafkaServer, SASL_USERS, startKafka } from './processes/kafka.ts'

const NOWHERE = { REDIS_URL: 'redis://127.0.0.1:1', SCHEMA_REGISTRY_URL: 'http://127.0.0.1:1' }
const open = (brokers: string, more: Record<string, string>): Promise<Engine> =>
  openKafka(kafkaConfig({ ...NOWHERE, KAFKA_BROKERS: brokers, ...more }))

describe.skipIf(localProcessesUnavailable())('a broker with logins', { timeout: patience.testMs }, () => {
  let kafka: KafkaServer
  let tokens: Server
  let tokenUrl: string
  beforeAll(async () => {
    kafka = await startKafka()
    tokens = createServer((request, response) => {
      const isRight = request.headers.authorization === `Basic ${Buffer.from('rtml:s3cret').toString('base64')}`
      response.writeHead(isRight ? 200 : 401, { 'content-type': 'application/json' })
      response.end(JSON.stringify(isRight ? { access_token: unsecuredToken('oauth-user'), expires_in: 300 } : {}))
    })
    await new Promise<void>((resolve) => tokens.listen(0, '127.0.0.1', resolve))
    const address = tokens.address()
    tokenUrl = `http://127.0.0.1:${typeof address === 'object' && address ? address.port : 0}/token`
    await allow(kafka.brokers, 'User:*', [{ type: AclResourceTypes.TOPIC, name: 'open-', operations: ['ALL'] }])
  })
  afterAll(async () => {
    tokens?.closeAllConnections()
    tokens?.close()
    await kafka?.[Symbol.asyncDispose]()
  })

  const password = (mechanism: string, { username, password }: { username: string; password: string }) => ({
    KAFKA_SASL_MECHANISM: mechanism,
    KAFKA_SASL_USERNAME: username,
    KAFKA_SASL_PASSWORD: password,
  })
  const oauth = (secret: string) => ({
    KAFKA_SASL_MECHANISM: 'OAUTHBEARER',
    KAFKA_OAUTH_TOKEN_URL: tokenUrl,
    KAFKA_OAUTH_CLIENT_ID: 'rtml',
    KAFKA_OAUTH_CLIENT_SECRET: secret,
  })

  it.each([
    ['PLAIN', () => password('PLAIN', SASL_USERS.plain)],
    ['SCRAM-SHA-256', () => password('SCRAM-SHA-256', SASL_USERS.scram)],
    ['SCRAM-SHA-512', () => password('SCRAM-SHA-512', SASL_USERS.scram)],
    ['OAUTHBEARER', () => oauth('s3cret')],
  ])('lets in with %s', async (_, env) => {
    await using engine = await open(kafka.saslBrokers, env())
    const topic = `open-${uniquePrefix()}`
    expect(await engine.log.ensureTopics([{ topic, partitions: 1, cleanup: 'delete' }])).toEqual([])
    await engine.log.append([{ topic, key: null, value: Buffer.from('x') }])
    expect((await engine.log.bounds(topic))[0]).toMatchObject({ end: 1 })
    expect([...engine.down().keys()]).not.toContain('kafka')
  })

  it.each([
    ['a wrong password', () => password('PLAIN', { username: 'rtml', password: 'wrong' })],
    ['an unknown SCRAM user', () => password('SCRAM-SHA-256', { username: 'nobody', password: 'wrong' })],
    ['a wrong client secret', () => oauth('wrong')],
  ])('calls %s a mistake of the configuration, not an outage', async (_, env) => {
    await using engine = await open(kafka.saslBrokers, env())
    await expect(engine.log.bounds('open-x')).rejects.toMatchObject({ code: 'CONFIG' })
    await expect(engine.log.topics()).rejects.toMatchObject({ code: 'CONFIG' })
  })

  it('names what it may not do', async () => {
    await using engine = await open(kafka.saslBrokers, password('PLAIN', SASL_USERS.plain))
    const at = { topic: 'closed', partition: 0 }
    const [problem] = await engine.log.ensureTopics([{ topic: 'closed', partitions: 1, cleanup: 'delete' }])
    expect(problem).toMatchObject({ topic: 'closed', fatal: true })
    await expect(engine.log.append([{ topic: 'closed', key: null, value: null }])).rejects.toMatchObject({
      code: 'CONFIG',
    })
    await expect(engine.log.publisher('closed-id')).rejects.toMatchObject({ code: 'CONFIG' })
    await expect(engine.log.committed('closed-group', at)).rejects.toMatchObject({ code: 'CONFIG' })
  })

  // Exactly what docs/kafka.md tells operators to grant, for names that begin with the application's.
  describeLog(
    'kafka with least privileges',
    async () => {
      const prefix = uniquePrefix()
      await allow(kafka.brokers, `User:${SASL_USERS.scram.username}`, [
        {
          type: AclResourceTypes.TOPIC,
          name: prefix,
          operations: ['CREATE', 'DESCRIBE', 'DESCRIBE_CONFIGS', 'READ', 'WRITE'],
        },
        { type: AclResourceTypes.GROUP, name: prefix, operations: ['READ', 'DESCRIBE'] },
        { type: AclResourceTypes.TRANSACTIONAL_ID, name: prefix, operations: ['WRITE', 'DESCRIBE'] },
      ])
      const engine = await open(kafka.saslBrokers, password('SCRAM-SHA-512', SASL_USERS.scram))
      return {
        log: engine.log,
        prefix,
        truncate: async ({ topic, partition }, before) => {
          await using admin = await adminOf(kafka.brokers)
          await admin.fetchTopicOffsets(topic)
          await admin.deleteTopicRecords({ topic, partitions: [{ partition, offset: String(before) }] })
        },
        close: async () => {
          await engine[Symbol.asyncDispose]()
        },
      }
    },
    patience,
  )
})

interface Grant {
  readonly type: AclResourceTypes
  readonly name: string
  readonly operations: readonly (keyof typeof AclOperationTypes)[]
}

async function allow(brokers: string, principal: string, grants: readonly Grant[]): Promise<void> {
  await using admin = await adminOf(brokers)
  await admin.createAcls({
    acl: grants.flatMap(({ type, name, operations }) =>
      operations.map((operation) => ({
        resourceType: type,
        resourceName: name,
        resourcePatternType: ResourcePatternTypes.PREFIXED,
        principal,
        host: '*',
        operation: AclOperationTypes[operation],
        permissionType: AclPermissionTypes.ALLOW,
      })),
    ),
  })
}

async function adminOf(brokers: string) {
  const admin = new Kafka({ brokers: [brokers], logLevel: logLevel.NOTHING }).admin()
  await admin.connect()
  return Object.assign(admin, { [Symbol.asyncDispose]: () => admin.disconnect() })
}

/** A token without a signature, which the test broker accepts. Source: RFC 7519 section 6. */
function unsecuredToken(subject: string): string {
  const part = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url')
  const now = Math.floor(Date.now() / 1_000)
  return `${part({ alg: 'none' })}.${part({ sub: subject, iat: now, exp: now + 300 })}.`
}
