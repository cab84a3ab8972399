/** A TCP proxy under control: a network link that can be slow, cut, or silent without telling anybody. */
import { connect, createServer, type Server, type Socket } from 'node:net'

export type Direction = 'forth' | 'back' | 'both'

/** What a link does with bytes. `silent` holds them: the peers see an open connection on which nothing comes. */
type State =
  | { readonly kind: 'open' }
  | { readonly kind: 'slow'; readonly delayMs: number }
  | { readonly kind: 'cut' }
  | { readonly kind: 'silent'; readonly direction: Direction }

interface Connection {
  readonly client: Socket
  readonly forth: Pipe
  readonly back: Pipe
}

const OPEN: State = { kind: 'open' }

/** Bytes that one direction of a silent link holds at most; the sender then feels the full window, as on a real one. */
const HELD_BYTES_MAX = 4 * 1024 * 1024

export class Link implements AsyncDisposable {
  readonly port: number
  readonly #server: Server
  readonly #connections = new Set<Connection>()
  #targetPort: number
  #state: State = OPEN

  private constructor(server: Server, port: number, targetPort: number) {
    this.#server = server
    this.port = port
    this.#targetPort = targetPort
    server.on('connection', (client) => this.#accept(client))
  }

  /** @param port to listen on; 0 takes any free one */
  static async open(targetPort: number, port = 0): Promise<Link> {
    const server = createServer({ pauseOnConnect: true })
    await new Promise<void>((resolve, reject) => server.once('error', reject).listen(port, '127.0.0.1', resolve))
    const address = server.address()
    if (address === null || typeof address === 'string') throw new Error('the link has no port')
    return new Link(server, address.port, targetPort)
  }

  /** Connections that are open now. */
  get connections(): number {
    return this.#connections.size
  }

  /** From now on new connections go to this port. */
  target(port: number): void {
    this.#targetPort = port
  }

  slow(delayMs: number): void {
    this.#enter({ kind: 'slow', delayMs })
  }

  /** Resets all connections and refuses new ones. */
  cut(): void {
    this.#enter({ kind: 'cut' })
    this.reset()
  }

  silent(direction: Direction): void {
    this.#enter({ kind: 'silent', direction })
  }

  /** Resets all connections: both ends learn it at once, and what was under way is lost. */
  reset(): void {
    for (const { client, forth, back } of this.#connections) {
      forth.drop()
      back.drop()
      client.resetAndDestroy()
    }
  }

  /** Works again; what a silent link held is delivered late, as a network does that retransmits. */
  heal(): void {
    this.#enter(OPEN)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const { client } of this.#connections) client.destroy()
    await new Promise<void>((resolve) => this.#server.close(() => resolve()))
  }

  #enter(state: State): void {
    this.#state = state
    for (const connection of this.#connections) this.#apply(connection)
  }

  #apply({ forth, back }: Connection): void {
    const state = this.#state
    const isHeld = (direction: Direction) =>
      state.kind === 'silent' && (state.direction === 'both' || state.direction === direction)
    forth.set(isHeld('forth'), state.kind === 'slow' ? state.delayMs : 0)
    back.set(isHeld('back'), state.kind === 'slow' ? state.delayMs : 0)
  }

  #accept(client: Socket): void {
    client.on('error', () => {})
    if (this.#state.kind === 'cut') {
      client.resetAndDestroy()
      return
    }
    const server = connect(this.#targetPort, '127.0.0.1')
    const connection = { client, forth: new Pipe(client, server), back: new Pipe(server, client) }
    this.#connections.add(connection)
    server.on('error', () => {})
    const close = () => {
      this.#connections.delete(connection)
      client.destroy()
      server.destroy()
    }
    client.on('close', close)
    server.on('close', close)
    this.#apply(connection)
    client.resume()
  }
}

/** One direction of a connection; bytes keep their order whatever is changed meanwhile. */
class Pipe {
  readonly #from: Socket
  readonly #to: Socket
  #waiting: { readonly chunk: Buffer; readonly at: number }[] = []
  #waitingBytes = 0
  #isHeld = false
  #delayMs = 0
  #timer: NodeJS.Timeout | undefined

  constructor(from: Socket, to: Socket) {
    this.#from = from
    this.#to = to
    from.setNoDelay(true)
    from.on('data', (chunk: Buffer) => {
      this.#waiting.push({ chunk, at: performance.now() + this.#delayMs })
      this.#waitingBytes += chunk.length
      if (this.#waitingBytes > HELD_BYTES_MAX) from.pause()
      this.#flush()
    })
    to.on('drain', () => this.#flush())
    from.on('close', () => clearTimeout(this.#timer))
  }

  set(isHeld: boolean, delayMs: number): void {
    this.#isHeld = isHeld
    this.#delayMs = delayMs
    this.#flush()
  }

  drop(): void {
    this.#waiting = []
    this.#waitingBytes = 0
  }

  #flush(): void {
    clearTimeout(this.#timer)
    while (!this.#isHeld && this.#waiting.length > 0 && !this.#to.destroyed && !this.#to.writableNeedDrain) {
      const { chunk, at } = this.#waiting[0]!
      const wait = at - performance.now()
      if (wait > 0) {
        this.#timer = setTimeout(() => this.#flush(), wait)
        return
      }
      this.#waiting.shift()
      this.#waitingBytes -= chunk.length
      this.#to.write(chunk)
    }
    if (this.#waitingBytes <= HELD_BYTES_MAX && this.#from.isPaused()) this.#from.resume()
  }
}
