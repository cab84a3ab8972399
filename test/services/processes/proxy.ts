/** A proxy in front of a broker that loses chosen answers: the client can't know whether its request was carried out. */
import { connect, createServer, type Server, type Socket } from 'node:net'

export const API = { produce: 0, endTxn: 26 } as const

export interface BrokerProxy extends AsyncDisposable {
  readonly port: number
  /** The next request of this kind is lost, before or after the broker has seen it, and its connection is cut. */
  loseNext(apiKey: number, when: 'before' | 'after'): void
  /** How many requests were lost. */
  readonly lost: number
}

export async function startProxy(port: number): Promise<BrokerProxy & { target(port: number): void }> {
  let targetPort = 0
  let plan: { apiKey: number; when: 'before' | 'after' } | undefined
  let lost = 0
  const sockets = new Set<Socket>()
  const server: Server = createServer((client) => {
    const broker = connect(targetPort, '127.0.0.1')
    let pending = Buffer.alloc(0)
    let isMuted = false
    for (const socket of [client, broker]) {
      sockets.add(socket)
      socket.on('error', () => {})
      socket.on('close', () => {
        sockets.delete(socket)
        client.destroy()
        broker.destroy()
      })
    }
    broker.on('data', (answer) => {
      if (!isMuted) client.write(answer)
      else client.destroy()
    })
    client.on('data', (chunk) => {
      pending = Buffer.concat([pending, chunk])
      while (pending.length >= 6 && pending.length >= pending.readInt32BE(0) + 4) {
        const frame = pending.subarray(0, pending.readInt32BE(0) + 4)
        pending = pending.subarray(frame.length)
        if (plan && frame.readInt16BE(4) === plan.apiKey) {
          lost++
          const { when } = plan
          plan = undefined
          if (when === 'before') {
            client.destroy()
            return
          }
          isMuted = true
        }
        broker.write(frame)
      }
    })
  })
  await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve))
  return {
    port,
    target: (value) => {
      targetPort = value
    },
    loseNext: (apiKey, when) => {
      plan = { apiKey, when }
    },
    get lost() {
      return lost
    },
    [Symbol.asyncDispose]: async () => {
      for (const socket of sockets) socket.destroy()
      await new Promise<void>((resolve) => server.close(() => resolve()))
    },
  }
}
