/** The same three services in Docker, through testcontainers; removed by its reaper when the test process ends. */
import { GenericContainer, Wait } from 'testcontainers'
import type { Services } from './harness.ts'
import { freePort } from './processes/process.ts'
import { KAFKA_VERSION, REGISTRY_VERSION } from './processes/tools.ts'

export async function startInDocker(): Promise<Services> {
  const [brokers, redisUrl, registryUrl] = await Promise.all([kafka(), redis(), registry()])
  return { brokers, redisUrl, registryUrl }
}

async function kafka(): Promise<string> {
  // The broker tells clients its address, so inside and outside must agree on the port.
  const port = await freePort()
  await new GenericContainer(`apache/kafka:${KAFKA_VERSION}`)
    .withExposedPorts({ container: port, host: port })
    .withEnvironment({
      KAFKA_NODE_ID: '1',
      KAFKA_PROCESS_ROLES: 'broker,controller',
      KAFKA_CONTROLLER_QUORUM_VOTERS: '1@localhost:9093',
      KAFKA_CONTROLLER_LISTENER_NAMES: 'CONTROLLER',
      KAFKA_LISTENERS: `PLAINTEXT://:${port},CONTROLLER://:9093`,
      KAFKA_ADVERTISED_LISTENERS: `PLAINTEXT://127.0.0.1:${port}`,
      KAFKA_LISTENER_SECURITY_PROTOCOL_MAP: 'PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT',
      KAFKA_AUTO_CREATE_TOPICS_ENABLE: 'false',
      KAFKA_OFFSETS_TOPIC_REPLICATION_FACTOR: '1',
      KAFKA_TRANSACTION_STATE_LOG_REPLICATION_FACTOR: '1',
      KAFKA_TRANSACTION_STATE_LOG_MIN_ISR: '1',
      KAFKA_GROUP_INITIAL_REBALANCE_DELAY_MS: '0',
      KAFKA_LOG_RETENTION_CHECK_INTERVAL_MS: '1000',
    })
    .withWaitStrategy(Wait.forLogMessage(/Kafka Server started/))
    .start()
  return `127.0.0.1:${port}`
}

async function redis(): Promise<string> {
  const container = await new GenericContainer('redis:7-alpine')
    .withExposedPorts(6379)
    .withCommand(['redis-server', '--save', '', '--appendonly', 'yes', '--maxmemory-policy', 'noeviction'])
    .start()
  return `redis://${container.getHost()}:${container.getMappedPort(6379)}`
}

async function registry(): Promise<string> {
  const container = await new GenericContainer(`apicurio/apicurio-registry-mem:${REGISTRY_VERSION}`)
    .withExposedPorts(8080)
    .withWaitStrategy(Wait.forHttp('/apis/ccompat/v7/subjects', 8080))
    .start()
  return `http://${container.getHost()}:${container.getMappedPort(8080)}/apis/ccompat/v7`
}
