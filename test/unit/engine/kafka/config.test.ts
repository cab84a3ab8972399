import { describe, expect, it } from 'vitest'
import { RtmlError } from '../../../../processors/app/errors.ts'
import { kafkaConfig } from '../../../../processors/engine/kafka/config.ts'

const MINIMAL = {
  KAFKA_BROKERS: 'a:9092, b:9093',
  REDIS_URL: 'redis://cache:6379',
  SCHEMA_REGISTRY_URL: 'http://registry:8081/',
}
const withEnv = (more: Record<string, string | undefined>) => kafkaConfig({ ...MINIMAL, ...more })

describe('settings of the Kafka engine', () => {
  it('needs three addresses and no more', () => {
    const { kafka, redis, registry } = kafkaConfig(MINIMAL)
    expect(kafka).toEqual({
      brokers: ['a:9092', 'b:9093'],
      clientId: 'rtml',
      compression: 'none',
      replicationFactor: -1,
      sessionTimeoutMs: 6_000,
      heartbeatMs: 500,
      transactionTimeoutMs: 60_000,
      requestTimeoutMs: 10_000,
      batchBytesMax: 1_000_000,
    })
    expect(redis).toEqual({
      topology: { kind: 'single', node: { host: 'cache', port: 6379 }, database: 0 },
      keyPrefix: 'rtml:',
      commandTimeoutMs: 2_000,
      minReplicas: 0,
      replicaWaitMs: 500,
    })
    expect(registry).toEqual({ url: 'http://registry:8081', requestTimeoutMs: 5_000 })
  })

  it('counts an empty variable as absent', () => {
    expect(withEnv({ KAFKA_SASL_MECHANISM: '', KAFKA_SSL: '', REDIS_PASSWORD: '' })).toEqual(kafkaConfig(MINIMAL))
  })

  it.each(['plain', 'scram-sha-256', 'scram-sha-512', 'SCRAM-SHA-512', 'PLAIN'])('takes SASL %s', (mechanism) => {
    const env = { KAFKA_SASL_MECHANISM: mechanism, KAFKA_SASL_USERNAME: 'u', KAFKA_SASL_PASSWORD: 'p' }
    expect(withEnv(env).kafka.sasl).toEqual({ mechanism: mechanism.toLowerCase(), username: 'u', password: 'p' })
  })

  it('takes SASL OAUTHBEARER with client credentials', () => {
    const env = {
      KAFKA_SASL_MECHANISM: 'OAUTHBEARER',
      KAFKA_OAUTH_TOKEN_URL: 'https://login.example.com/token',
      KAFKA_OAUTH_CLIENT_ID: 'rtml',
      KAFKA_OAUTH_CLIENT_SECRET: 's',
      KAFKA_OAUTH_SCOPE: 'kafka',
    }
    expect(withEnv(env).kafka.sasl).toEqual({
      mechanism: 'oauthbearer',
      tokenUrl: 'https://login.example.com/token',
      clientId: 'rtml',
      clientSecret: 's',
      scope: 'kafka',
    })
  })

  it('takes TLS with a private authority and a client certificate', () => {
    const env = {
      KAFKA_SSL_CA: '/ca.pem',
      KAFKA_SSL_CERT: '/c.pem',
      KAFKA_SSL_KEY: '/k.pem',
      KAFKA_SSL_KEY_PASSPHRASE: 'x',
    }
    expect(withEnv(env).kafka.tls).toEqual({
      ca: '/ca.pem',
      cert: '/c.pem',
      key: '/k.pem',
      passphrase: 'x',
      verify: true,
    })
    expect(withEnv({ KAFKA_SSL: 'true' }).kafka.tls).toEqual({ verify: true })
    expect(withEnv({ KAFKA_SSL: 'false', KAFKA_SSL_CA: '/ca.pem' }).kafka.tls).toBeUndefined()
    expect(withEnv({ REDIS_URL: 'rediss://cache', REDIS_SSL_CA: '/ca.pem' }).redis.tls).toMatchObject({ ca: '/ca.pem' })
    expect(withEnv({ REDIS_SSL_CA: '/ca.pem' }).redis.tls).toBeUndefined()
    expect(withEnv({ SCHEMA_REGISTRY_SSL_CA: '/ca.pem' }).registry.tls).toEqual({ ca: '/ca.pem', verify: true })
  })

  it.each([
    ['redis://h', { kind: 'single', node: { host: 'h', port: 6379 }, database: 0 }],
    ['rediss://h:1/3', { kind: 'single', node: { host: 'h', port: 1 }, database: 3 }],
    ['redis://[::1]:7/0', { kind: 'single', node: { host: '::1', port: 7 }, database: 0 }],
    [
      'redis+cluster://h1:1,h2',
      {
        kind: 'cluster',
        nodes: [
          { host: 'h1', port: 1 },
          { host: 'h2', port: 6379 },
        ],
      },
    ],
    [
      'rediss+sentinel://s1,s2:2/main/5',
      {
        kind: 'sentinel',
        sentinels: [
          { host: 's1', port: 26379 },
          { host: 's2', port: 2 },
        ],
        master: 'main',
        database: 5,
      },
    ],
  ])('understands %s', (url, topology) => {
    expect(withEnv({ REDIS_URL: url }).redis.topology).toEqual(topology)
  })

  it('takes credentials from an address, unless they are given beside it', () => {
    const url = 'redis://us%40er:p%3Aw@h'
    expect(withEnv({ REDIS_URL: url }).redis).toMatchObject({ username: 'us@er', password: 'p:w' })
    expect(withEnv({ REDIS_URL: url, REDIS_PASSWORD: 'other' }).redis).toMatchObject({ password: 'other' })
    expect(withEnv({ REDIS_URL: 'redis://:only@h' }).redis).toMatchObject({ password: 'only' })
    const registry = withEnv({ SCHEMA_REGISTRY_URL: 'https://u:p%40@r/api' }).registry
    expect(registry).toMatchObject({ url: 'https://r/api', username: 'u', password: 'p@' })
  })

  it.each([
    [{ KAFKA_BROKERS: undefined }, 'KAFKA_BROKERS: is not set'],
    [{ REDIS_URL: undefined }, 'REDIS_URL: is not set'],
    [{ SCHEMA_REGISTRY_URL: '' }, 'SCHEMA_REGISTRY_URL: is not set'],
    [{ KAFKA_BROKERS: 'kafka' }, 'KAFKA_BROKERS: expected host:port'],
    [{ KAFKA_BROKERS: 'http://kafka:9092' }, 'KAFKA_BROKERS: expected host:port'],
    [{ KAFKA_SASL_MECHANISM: 'kerberos' }, 'KAFKA_SASL_MECHANISM'],
    [{ KAFKA_SASL_MECHANISM: 'plain' }, 'KAFKA_SASL_USERNAME: is not set; SASL plain needs it'],
    [{ KAFKA_SASL_MECHANISM: 'plain', KAFKA_SASL_USERNAME: 'u' }, 'KAFKA_SASL_PASSWORD'],
    [{ KAFKA_SASL_USERNAME: 'u' }, 'KAFKA_SASL_MECHANISM: is not set although'],
    [{ KAFKA_SASL_MECHANISM: 'oauthbearer' }, 'KAFKA_OAUTH_TOKEN_URL'],
    [{ KAFKA_SSL: 'yes' }, 'KAFKA_SSL'],
    [{ KAFKA_SSL: 'true', KAFKA_SSL_CERT: '/c' }, 'KAFKA_SSL_KEY: is not set'],
    [{ KAFKA_SESSION_TIMEOUT_MS: '6s' }, 'KAFKA_SESSION_TIMEOUT_MS'],
    [{ KAFKA_HEARTBEAT_MS: '5000' }, 'KAFKA_HEARTBEAT_MS: must be at most half'],
    [{ REDIS_URL: 'localhost:6379' }, 'REDIS_URL: is not redis://'],
    [{ REDIS_URL: 'redis://a,b' }, 'REDIS_URL: lists several nodes'],
    [{ REDIS_URL: 'redis+sentinel://a' }, 'REDIS_URL: names no master'],
    [{ REDIS_URL: 'redis://a/zero' }, 'REDIS_URL: "zero" is not a database number'],
    [{ REDIS_KEY_PREFIX: '{x}' }, 'REDIS_KEY_PREFIX: braces are not allowed'],
    [{ SCHEMA_REGISTRY_URL: 'registry:8081' }, 'SCHEMA_REGISTRY_URL'],
  ])('names the variable that is wrong: %o', (more, message) => {
    expect(() => withEnv(more)).toThrow(RtmlError)
    expect(() => withEnv(more)).toThrow(`CONFIG ${message}`)
  })
})
