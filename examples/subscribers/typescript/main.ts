import { Kafka, logLevel } from 'kafkajs'
import { subscribe } from './subscribe.ts'

const { KAFKA_BROKERS, SCHEMA_REGISTRY_URL, TOPIC = 'profile.scores', GROUP = 'example-subscriber-ts' } = process.env
if (!KAFKA_BROKERS || !SCHEMA_REGISTRY_URL) {
  process.stderr.write('Set KAFKA_BROKERS (host:port, with commas) and SCHEMA_REGISTRY_URL.\n')
  process.exit(2)
}

const subscription = await subscribe({
  // kafkajs writes its informational logs to standard output, where the profiles go.
  kafka: new Kafka({ clientId: 'example-subscriber', brokers: KAFKA_BROKERS.split(','), logLevel: logLevel.WARN }),
  registryUrl: SCHEMA_REGISTRY_URL,
  topic: TOPIC,
  group: GROUP,
  onChange: (id, profile) => process.stdout.write(`${JSON.stringify(profile ?? { id, erased: true })}\n`),
})
for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.once(signal, () => {
    subscription.stop().then(
      () => process.exit(0),
      () => process.exit(1),
    )
  })
}
