/** Raw events at a steady pace, the same for the same seed; what the broker has accepted is remembered. */
import { Kafka, logLevel, type Producer } from 'kafkajs'
import type { Random } from '../../processors/app/units.ts'
import { below, Zipf } from '../bench/j1/random.ts'
import { Dice, seeded } from '../sim/random.ts'
import { pause } from './workers.ts'

export const RAW_TOPIC = 'raw.web'

const PROFILES = 3_000
const ZIPF = 1.05
const SESSIONS = 2_000
const SKUS = 400
/** Event time of the first event, 2025-01-06T00:00:00Z, and how far the next one is: windows pass within minutes. */
const START_MS = Date.UTC(2025, 0, 6)
const STEP_MS = 120
/** Fewer than the ids that a profile remembers: a repeated event is never taken for a new one. */
const REPEAT_WITHIN = 100
const TYPES = [
  'web.webpagedetails.pageViews',
  'commerce.productViews',
  'commerce.productViews',
  'commerce.productListAdds',
  'commerce.purchases',
] as const

export interface RawEvent {
  readonly id: string
  readonly time: number
  readonly type: string
  readonly visitor: string
  readonly sku?: string
  readonly amount?: number
}

export interface RawRecord {
  readonly key: string
  readonly value: string
}

/** Endless, from event number `first` on, `stepMs` of event time apart. Among them: repeated records, events out of order, some beyond the lateness bound, and some that no mapping takes. */
export function* generate(seed: number, { first = 0, stepMs = STEP_MS } = {}): Generator<RawRecord> {
  const random = seeded(seed)
  const dice = new Dice(random)
  const zipf = new Zipf(PROFILES, ZIPF)
  const recent: RawRecord[] = []
  for (let index = first; ; index++) {
    if (recent.length > 0 && dice.chance(0.005)) {
      yield dice.pick(recent)
      continue
    }
    const record = {
      key: `session-${below(random, SESSIONS)}`,
      value: eventOf(index, index * stepMs, zipf.draw(random), dice),
    }
    recent[index % REPEAT_WITHIN] = record
    yield record
  }
}

function eventOf(index: number, sinceStartMs: number, profile: number, dice: Dice): string {
  if (dice.chance(0.002)) return '{"broken'
  const lateMs = dice.chance(0.02) ? dice.integer(1, 60_000) : dice.chance(0.003) ? 3 * 3_600_000 : 0
  const type = dice.pick(TYPES)
  const event: RawEvent = {
    id: `e${index}`,
    time: START_MS + sinceStartMs - lateMs,
    type,
    visitor: String(10_000_000 + profile * 7_919),
    ...(type !== TYPES[0] && {
      sku: `SKU-${below(squared(dice.random), SKUS)}`,
      amount: dice.integer(100, 50_000) / 100,
    }),
  }
  return JSON.stringify(event)
}

/** Some articles are looked at far more often than others. */
const squared =
  (random: Random): Random =>
  () =>
    random() ** 2

const BATCH_EVERY_MS = 40

/** Appends events until it is stopped. A batch that fails is sent again until it is taken, so it may be there twice. */
export class Load {
  readonly #records: Generator<RawRecord>
  readonly #batch: number
  #isStopped = false
  #running: Promise<void> | undefined
  /** Records that the broker has acknowledged, in order. */
  accepted = 0

  constructor(options: { seed: number; perSecond: number }) {
    this.#records = generate(options.seed)
    this.#batch = Math.max(1, Math.round((options.perSecond * BATCH_EVERY_MS) / 1_000))
  }

  async start(client: { brokers: string[] }): Promise<void> {
    const kafka = new Kafka({ ...client, logLevel: logLevel.NOTHING, retry: { retries: 2, initialRetryTime: 100 } })
    const producer = kafka.producer()
    await producer.connect()
    this.#running = this.#run(producer).finally(() => producer.disconnect())
  }

  async stop(): Promise<void> {
    this.#isStopped = true
    await this.#running
  }

  async #run(producer: Producer): Promise<void> {
    while (!this.#isStopped) {
      const started = performance.now()
      const messages = Array.from({ length: this.#batch }, () => this.#records.next().value as RawRecord)
      await this.#send(producer, messages)
      this.accepted += messages.length
      // No catching up after an outage: producers elsewhere don't, and the pace is what is promised.
      await pause(Math.max(0, BATCH_EVERY_MS - (performance.now() - started)))
    }
  }

  async #send(producer: Producer, messages: RawRecord[]): Promise<void> {
    for (;;) {
      try {
        await producer.send({ topic: RAW_TOPIC, acks: -1, messages, timeout: 5_000 })
        return
      } catch {
        await pause(200)
      }
    }
  }
}
