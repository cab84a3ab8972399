/**
 * Owns the servers that all test files of a run share: `node test/services/supervisor.ts SOCKET`. Clients keep a
 * connection open while they use them; some seconds after the last one is gone, everything is stopped. A killed test
 * run closes its sockets, so nothing is ever left behind.
 */
import { createServer, type Socket } from 'node:net'
import { startKafka } from './processes/kafka.ts'
import { startRedis } from './processes/redis.ts'
import { startRegistry } from './processes/registry.ts'

/** Test files of one run follow each other within this time. */
const LINGER_MS = 15_000

const socketPath = process.argv[2]
if (!socketPath) throw new Error('usage: node test/services/supervisor.ts SOCKET')

const clients = new Set<Socket>()
const started = Promise.all([startKafka(), startRedis(), startRegistry()])
const answer = started.then(
  ([kafka, redis, registry]) =>
    ({
      brokers: kafka.brokers,
      saslBrokers: kafka.saslBrokers,
      redisUrl: redis.url,
      registryUrl: registry.url,
    }) as const,
  (error: unknown) => ({ error: String(error) }),
)

let linger = setTimeout(stop, LINGER_MS)
const server = createServer((socket) => {
  clearTimeout(linger)
  clients.add(socket)
  socket.on('error', () => {})
  socket.resume()
  socket.on('close', () => {
    clients.delete(socket)
    if (clients.size > 0) return
    clearTimeout(linger)
    linger = setTimeout(stop, LINGER_MS)
  })
  void answer.then((addresses) => socket.write(`${JSON.stringify(addresses)}\n`))
})

// Binding the socket is the lock: a second supervisor fails here and ends, and its client finds this one.
server.listen(socketPath)
server.once('error', stop)
process.once('SIGTERM', stop)
process.once('SIGINT', stop)

async function stop(): Promise<void> {
  server.close()
  for (const client of clients) client.destroy()
  const servers = await started.catch(() => [])
  await Promise.all(servers.map((one) => one[Symbol.asyncDispose]()))
  process.exit(0)
}
