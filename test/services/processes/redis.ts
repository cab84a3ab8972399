/** Redis servers: single, a cluster of three, and one watched by a Sentinel. */
import { rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { ConnectionOptions } from 'node:tls'
import { Redis } from 'ioredis'
import type { Certificates } from './certificates.ts'
import { type Controlled, freePort, ServerProcess, until } from './process.ts'
import { dataFolder } from './tools.ts'

export interface RedisServer extends Controlled, AsyncDisposable {
  readonly url: string
  readonly port: number
}

/** A server with an append-only file synced on every write, so that a kill loses nothing. */
export async function startRedis(options: readonly string[] = []): Promise<RedisServer> {
  const [dir, port] = await Promise.all([dataFolder('redis'), freePort()])
  return server('redis', dir, port, [
    ...['--port', String(port), '--bind', '127.0.0.1', '--dir', dir, '--save', ''],
    ...['--appendonly', 'yes', '--appendfsync', 'everysec', '--maxmemory-policy', 'noeviction', ...options],
  ])
}

/** A server that speaks only TLS and wants a client certificate. */
export async function startRedisTls({ folder, ca, cert, key }: Certificates): Promise<RedisServer> {
  const [dir, port] = await Promise.all([dataFolder('redis'), freePort()])
  const file = (name: string) => join(folder, name)
  const args = ['--port', '0', '--tls-port', String(port), '--bind', '127.0.0.1', '--dir', dir, '--save', '']
  const tls = [
    '--tls-cert-file',
    file('cert.pem'),
    '--tls-key-file',
    file('key.pem'),
    '--tls-ca-cert-file',
    file('ca.pem'),
  ]
  const started = await server('redis', dir, port, [...args, ...tls], { ca, cert, key })
  return Object.assign(started, { url: `rediss://localhost:${port}` })
}

export interface RedisCluster extends AsyncDisposable {
  readonly url: string
  readonly nodes: readonly RedisServer[]
}

/** Three masters, no replicas. Slots are dealt with CLUSTER commands: no redis-cli needed. */
export async function startRedisCluster(): Promise<RedisCluster> {
  const options = ['--cluster-enabled', 'yes', '--cluster-node-timeout', '3000']
  const nodes = await Promise.all([startRedis(options), startRedis(options), startRedis(options)])
  const clients = nodes.map((node) => new Redis(node.url))
  const slotCount = 16_384
  const share = Math.ceil(slotCount / nodes.length)
  await Promise.all(
    clients.map((client, i) =>
      client.call('CLUSTER', 'ADDSLOTSRANGE', i * share, Math.min(slotCount, (i + 1) * share) - 1),
    ),
  )
  await Promise.all(clients.slice(1).map((client) => client.call('CLUSTER', 'MEET', '127.0.0.1', nodes[0]!.port)))
  await until(async () => {
    for (const client of clients) {
      const info = String(await client.call('CLUSTER', 'INFO'))
      if (!info.includes('cluster_state:ok') || !info.includes('cluster_known_nodes:3')) throw new Error(info)
    }
  }, 30_000)
  for (const client of clients) client.disconnect()
  return {
    url: `redis+cluster://${nodes.map((node) => `127.0.0.1:${node.port}`).join(',')}`,
    nodes,
    [Symbol.asyncDispose]: async () => {
      await Promise.all(nodes.map((node) => node[Symbol.asyncDispose]()))
    },
  }
}

export interface RedisSentinel extends AsyncDisposable {
  readonly url: string
  readonly master: RedisServer
  readonly replica: RedisServer
}

/** A master, a replica and one Sentinel that fails over after a second. */
export async function startRedisSentinel(): Promise<RedisSentinel> {
  const master = await startRedis()
  const replica = await startRedis(['--replicaof', '127.0.0.1', String(master.port)])
  const [dir, port] = await Promise.all([dataFolder('sentinel'), freePort()])
  const config = join(dir, 'sentinel.conf')
  await writeFile(
    config,
    `port ${port}
bind 127.0.0.1
dir ${dir}
sentinel monitor main 127.0.0.1 ${master.port} 1
sentinel down-after-milliseconds main 1000
sentinel failover-timeout main 5000
`,
  )
  const sentinel = await server('sentinel', dir, port, [config, '--sentinel'])
  const probe = new Redis(sentinel.url)
  await until(async () => {
    const replicas = (await probe.call('SENTINEL', 'REPLICAS', 'main')) as unknown[]
    if (replicas.length === 0) throw new Error('the sentinel does not know the replica yet')
  }, 30_000)
  probe.disconnect()
  return {
    url: `redis+sentinel://127.0.0.1:${port}/main`,
    master,
    replica,
    [Symbol.asyncDispose]: async () => {
      await sentinel[Symbol.asyncDispose]()
      await Promise.all([master[Symbol.asyncDispose](), replica[Symbol.asyncDispose]()])
    },
  }
}

async function server(
  name: string,
  dir: string,
  port: number,
  args: readonly string[],
  tls?: ConnectionOptions,
): Promise<RedisServer> {
  const controlled = new ServerProcess({ name, command: 'redis-server', args, dir, ready: () => answers(port, tls) })
  await controlled.start()
  return Object.assign(controlled, {
    url: `redis://127.0.0.1:${port}`,
    port,
    [Symbol.asyncDispose]: async () => {
      await controlled.kill()
      await rm(dir, { recursive: true, force: true })
    },
  })
}

async function answers(port: number, tls?: ConnectionOptions): Promise<void> {
  const once = { lazyConnect: true, retryStrategy: () => null, connectTimeout: 1_000 }
  const client = new Redis(port, 'localhost', { ...once, ...(tls && { tls }) })
  client.on('error', () => {})
  try {
    await client.connect()
    await client.ping()
  } finally {
    client.disconnect()
  }
}
