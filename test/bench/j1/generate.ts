import type { Random } from '../../../processors/app/units.ts'
import { seeded } from '../../sim/random.ts'
import { JOB, keyOf, TYPES } from './job.ts'
import { below, Zipf } from './random.ts'

export interface GeneratedRecord {
  readonly key: string
  /** ASCII; `JOB.eventBytes` bytes. */
  readonly json: string
}

export interface GenerateOptions {
  readonly events: number
  readonly seed: number
}

/** The records of job J1 in the order of their appends: the same for the same options. About 2 µs a record. */
export function* generate({ events, seed }: GenerateOptions): Generator<GeneratedRecord> {
  const random = seeded(seed)
  const zipf = new Zipf(JOB.profiles, JOB.zipf)
  const visitors = Array.from({ length: JOB.profiles }, () => digits(random, 16))
  const recent: GeneratedRecord[] = []
  for (let index = 0; index < events; index++) {
    if (recent.length > 0 && random() < JOB.duplicates) {
      yield recent[below(random, recent.length)]!
      continue
    }
    const late = random() < JOB.outOfOrder ? 1 + below(random, JOB.lateMs) : 0
    const time = JOB.startMs + Math.floor((index / events) * JOB.spanMs) - late
    const visitor = visitors[zipf.draw(random)]!
    const record = { key: keyOf(visitor), json: click(random, time, visitor) }
    if (recent.length < JOB.repeatWithin) recent.push(record)
    else recent[index % JOB.repeatWithin] = record
    yield record
  }
}

function click(random: Random, time: number, visitor: string): string {
  const { type, hasProduct } = typeOf(random())
  // Squared: some articles are looked at far more often than others.
  const sku = `SKU-${String(Math.floor(random() ** 2 * JOB.skus)).padStart(5, '0')}`
  const product = hasProduct ? `,"sku":"${sku}","amount":${(100 + below(random, 49_900)) / 100}` : ''
  const head = `{"id":"${uuid(random)}","time":${time},"type":"${type}","visitor":"${visitor}"${product},"url":"https://shop.example/`
  return `${head}${PATH.slice(0, JOB.eventBytes - head.length - 2)}"}`
}

/** Fills an event up to its size. */
const PATH = 'women/tops-women/jackets-women/jade-yoga-jacket-in-all-colours-and-sizes/details/reviews'

function typeOf(draw: number): (typeof TYPES)[number] {
  let rest = draw
  for (const type of TYPES) {
    rest -= type.share
    if (rest < 0) return type
  }
  return TYPES[0]
}

function digits(random: Random, count: number): string {
  let text = String(1 + below(random, 9))
  while (text.length < count) text += below(random, 10)
  return text
}

const word = (random: Random): string =>
  below(random, 2 ** 32)
    .toString(16)
    .padStart(8, '0')

/** Version 4 in form. */
function uuid(random: Random): string {
  const [a, b, c, d] = [word(random), word(random), word(random), word(random)]
  return `${a}-${b.slice(0, 4)}-4${b.slice(5)}-8${c.slice(1, 4)}-${c.slice(4)}${d}`
}
