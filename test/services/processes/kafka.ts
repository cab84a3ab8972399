/** One Kafka node (KRaft, broker and controller in one process) from its Maven Central jars. */
import { cp, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Certificates } from './certificates.ts'
import { accepts, type Controlled, freePort, ServerProcess } from './process.ts'
import { cached, dataFolder, java, KAFKA_VERSION, kafkaJars } from './tools.ts'

const CLUSTER_ID = 'cnRtbC10ZXN0LWNsdXN0ZQ'
/** Users of the SASL listener. PLAIN: rtml; SCRAM: scram. */
export const SASL_USERS = {
  plain: { username: 'rtml', password: 'plain-secret' },
  scram: { username: 'scram', password: 'scram-secret' },
} as const

export interface KafkaServer extends Controlled, AsyncDisposable {
  readonly brokers: string
  /** Listener that wants SASL: PLAIN, SCRAM-SHA-256, SCRAM-SHA-512 or OAUTHBEARER with unsecured tokens. */
  readonly saslBrokers: string
}

export interface KafkaOptions {
  /** Port that clients are told to connect to, instead of the broker's own: a proxy's. */
  readonly advertise?: number
  /** The plain listener speaks TLS with this certificate and wants one of the same authority from clients. */
  readonly tls?: Certificates
}

export async function startKafka({ advertise, tls }: KafkaOptions = {}): Promise<KafkaServer> {
  const [jars, dir, port, saslPort, controllerPort] = await Promise.all([
    kafkaJars(),
    dataFolder('kafka'),
    freePort(),
    freePort(),
    freePort(),
  ])
  const config = join(dir, 'server.properties')
  await writeFile(config, properties({ dir, port, saslPort, controllerPort, advertise: advertise ?? port, tls }))
  await cp(await formatted(jars), join(dir, 'data'), { recursive: true })
  const server = new ServerProcess({
    name: 'kafka',
    command: 'java',
    args: [
      ...['-Xms256m', '-Xmx768m', '-XX:+UseG1GC', '-XX:TieredStopAtLevel=4', '-Xshare:auto'],
      ...['-cp', join(jars, '*'), 'kafka.Kafka', config],
    ],
    dir,
    ready: async () => {
      await accepts(port)
      await accepts(saslPort)
    },
  })
  await server.start()
  return Object.assign(server, {
    brokers: `127.0.0.1:${port}`,
    saslBrokers: `127.0.0.1:${saslPort}`,
    [Symbol.asyncDispose]: async () => {
      await server.kill()
      await rm(dir, { recursive: true, force: true })
    },
  })
}

/** A formatted, empty data folder: formatting starts a JVM, so it is done once and copied. */
async function formatted(jars: string): Promise<string> {
  return cached(`kafka-${KAFKA_VERSION}-formatted`, async (folder) => {
    const config = join(folder, 'format.properties')
    await writeFile(
      config,
      properties({ dir: folder, port: 9092, saslPort: 9094, controllerPort: 9093, advertise: 9092 }),
    )
    const { username, password } = SASL_USERS.scram
    const user = `[name=${username},password=${password}]`
    const scram = ['SCRAM-SHA-256', 'SCRAM-SHA-512'].flatMap((mechanism) => ['--add-scram', `${mechanism}=${user}`])
    const tool = ['-Xmx256m', '-XX:TieredStopAtLevel=1', '-cp', join(jars, '*'), 'kafka.tools.StorageTool']
    await java([...tool, 'format', '-t', CLUSTER_ID, '-c', config, ...scram])
  }).then((folder) => join(folder, 'data'))
}

interface Ports {
  readonly dir: string
  readonly port: number
  readonly saslPort: number
  readonly controllerPort: number
  readonly advertise: number
  readonly tls?: Certificates | undefined
}

function properties(at: Ports): string {
  const login = 'org.apache.kafka.common.security'
  const { username, password } = SASL_USERS.plain
  return `process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:${at.controllerPort}
listeners=PLAINTEXT://127.0.0.1:${at.port},SASL://127.0.0.1:${at.saslPort},CONTROLLER://127.0.0.1:${at.controllerPort}
advertised.listeners=PLAINTEXT://127.0.0.1:${at.advertise},SASL://127.0.0.1:${at.saslPort}
listener.security.protocol.map=PLAINTEXT:${at.tls ? 'SSL' : 'PLAINTEXT'},SASL:SASL_PLAINTEXT,CONTROLLER:PLAINTEXT
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
listener.name.sasl.sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,SCRAM-SHA-512,OAUTHBEARER
listener.name.sasl.plain.sasl.jaas.config=${login}.plain.PlainLoginModule required user_${username}="${password}";
listener.name.sasl.scram-sha-256.sasl.jaas.config=${login}.scram.ScramLoginModule required;
listener.name.sasl.scram-sha-512.sasl.jaas.config=${login}.scram.ScramLoginModule required;
listener.name.sasl.oauthbearer.sasl.jaas.config=${login}.oauthbearer.OAuthBearerLoginModule required unsecuredLoginStringClaim_sub="broker";
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
super.users=User:ANONYMOUS
allow.everyone.if.no.acl.found=false
log.dirs=${join(at.dir, 'data')}
auto.create.topics.enable=false
offsets.topic.replication.factor=1
offsets.topic.num.partitions=8
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=8
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
broker.session.timeout.ms=2000
broker.heartbeat.interval.ms=500
log.retention.check.interval.ms=1000
log.initial.task.delay.ms=500
log.cleaner.backoff.ms=500
num.network.threads=2
num.io.threads=4
background.threads=2
log.cleaner.threads=1
${at.tls ? tlsProperties(at.tls) : ''}`
}

/** Source: KIP-651, PEM stores. */
function tlsProperties({ ca, cert, key }: Certificates): string {
  const listener = 'listener.name.plaintext.ssl'
  const inline = (pem: string) => pem.trim().replaceAll('\n', ' \\\n')
  return `${listener}.client.auth=required
${listener}.keystore.type=PEM
${listener}.keystore.certificate.chain=${inline(cert)}
${listener}.keystore.key=${inline(key)}
${listener}.truststore.type=PEM
${listener}.truststore.certificates=${inline(ca)}
super.users=User:ANONYMOUS;User:CN=localhost
`
}
