/** What happens when the broker dies, freezes or loses answers: nothing is lost, nothing happens twice. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { offset } from '../../processors/app/units.ts'
import { kafkaConfig } from '../../processors/engine/kafka/config.ts'
import { openKafka } from '../../processors/engine/kafka/engine.ts'
import type { Engine, NewRecord } from '../../processors/engine/ports.ts'
import { Link } from '../chaos/link.ts'
import {
  eventually,
  expectChain,
  join,
  Member,
  readCount,
  readNow,
  record,
  values,
} from '../engine/contract/conditions.ts'
import { deleteRecords, SERVICE_PATIENCE as patience, uniquePrefix } from './fixtures.ts'
import { localProcessesUnavailable } from './harness.ts'
import { type KafkaServer, startKafka } from './processes/kafka.ts'
import { freePort } from './processes/process.ts'
import { API, type BrokerProxy, startProxy } from './processes/proxy.ts'

const NOWHERE = { REDIS_URL: 'redis://127.0.0.1:1', SCHEMA_REGISTRY_URL: 'http://127.0.0.1:1' }

describe.skipIf(localProcessesUnavailable())('a broker that fails', { timeout: 120_000 }, () => {
  let kafka: KafkaServer
  let engine: Engine
  beforeAll(async () => {
    kafka = await startKafka()
    const env = { ...NOWHERE, KAFKA_BROKERS: kafka.brokers, KAFKA_REQUEST_TIMEOUT_MS: '2000' }
    engine = await openKafka(kafkaConfig(env))
  })
  afterAll(async () => {
    await engine?.[Symbol.asyncDispose]()
    await kafka?.[Symbol.asyncDispose]()
  })

  const setUp = async () => {
    const prefix = uniquePrefix()
    const topic = `${prefix}in`
    expect(await engine.log.ensureTopics([{ topic, partitions: 1, cleanup: 'delete' }])).toEqual([])
    return { topic, group: `${prefix}group`, at: { topic, partition: 0 } }
  }
  const isBack = () =>
    eventually('the broker answers', patience, async () => {
      await engine.log.topics().catch(() => {})
      return !engine.down().has('kafka')
    })

  it.each(['kill', 'freeze'] as const)(
    'delivers every record once in order through a %s and a recovery',
    async (how) => {
      const { topic, group, at } = await setUp()
      const member = new Member('one')
      let delivered = 0
      member.onDeliver = async (run) => {
        delivered = run.to
      }
      const subscription = await join(engine.log, group, topic, member, () => delivered)
      await engine.log.append(numbers(topic, 0, 100))
      await eventually('the first records are delivered', patience, () => member.records().length === 100)
      if (how === 'kill') await kafka.kill()
      else kafka.freeze()
      await expect(engine.log.append(numbers(topic, 900, 901))).rejects.toMatchObject({ code: 'LOG_DOWN' })
      expect([...engine.down().keys()]).toContain('kafka')
      if (how === 'kill') await kafka.start()
      else kafka.thaw()
      await isBack()
      await eventually('appends work again', patience, async () => {
        await engine.log.append(numbers(topic, 100, 200))
        return true
      })
      await eventually('the rest is delivered', patience, () => member.records().at(-1)?.value?.toString() === '199')
      await subscription.close()
      // The refused append may have reached the broker: its effect was unknown, and that was said.
      const found = values(await readNow(engine.log, at, patience)).filter((value) => value !== '900')
      expect(found).toEqual(range(0, 200))
      expect(values(member.records()).filter((value) => value !== '900')).toEqual(range(0, 200))
      expectChain(member.runs, at, 0)
      expect(member.failures).toEqual([])
    },
  )

  it('calls partitions lost when the broker was away for longer than the session, and takes them again', async () => {
    const { topic, group, at } = await setUp()
    const env = { ...NOWHERE, KAFKA_BROKERS: kafka.brokers, KAFKA_REQUEST_TIMEOUT_MS: '1000' }
    const session = { KAFKA_SESSION_TIMEOUT_MS: '1500', KAFKA_HEARTBEAT_MS: '200' }
    await using short = await openKafka(kafkaConfig({ ...env, ...session }))
    const member = new Member('one')
    const story: string[] = []
    let delivered = 0
    member.onDeliver = async (run) => {
      delivered = run.to
    }
    member.onAssigned = () => {
      story.push('given')
    }
    member.onRevoked = async (_, { lost }) => {
      story.push(lost ? 'lost' : 'revoked')
    }
    const subscription = await join(short.log, group, topic, member, () => delivered)
    await short.log.append(numbers(topic, 0, 10))
    await eventually('the first records are delivered', patience, () => member.records().length === 10)
    kafka.freeze()
    await eventually('the partition counts as lost', patience, () => story.includes('lost'))
    kafka.thaw()
    await eventually('it is given again', patience, () => story.at(-1) === 'given' && story.length === 3)
    await eventually('appends work again', patience, () =>
      short.log.append(numbers(topic, 10, 20)).then(
        () => true,
        () => false,
      ),
    )
    await eventually('the rest is delivered', patience, () => member.records().at(-1)?.value?.toString() === '19')
    await subscription.close()
    expect(story).toEqual(['given', 'lost', 'given', 'revoked'])
    expectChain(member.runs, at, 0)
  })

  it('fails when retention has deleted what a group was about to read', async () => {
    const { topic, group, at } = await setUp()
    const big = (value: number): NewRecord => ({ topic, key: null, value: Buffer.alloc(100_000, value), partition: 0 })
    await engine.log.append(Array.from({ length: 10 }, (_, i) => big(i)))
    const member = new Member('slow')
    const gate = Promise.withResolvers<void>()
    member.onDeliver = () => gate.promise
    const subscription = await join(engine.log, group, topic, member)
    await eventually('the first run is delivered', patience, () => member.runs.length === 1)
    // More than the member's queue takes, so that the rest is still unread when it is deleted.
    for (let i = 0; i < 5; i++) await engine.log.append(Array.from({ length: 10 }, (_, j) => big(j)))
    const { end } = (await engine.log.bounds(topic))[0]!
    await deleteRecords(kafka.brokers, at, end)
    gate.resolve()
    const failure = await eventually('the group fails', patience, () => member.failures[0])
    expect(failure).toMatchObject({ code: 'LOG_TRUNCATED' })
    expect(failure.message).toContain(`below the log's start ${end}`)
    await subscription.close()
  })

  it('rejects quickly, with a code that says wait, while the broker is away', async () => {
    const { topic, group, at } = await setUp()
    const publisher = await engine.log.publisher(`${group}-0`)
    await kafka.kill()
    const commit = { group, ...at, position: offset(1) }
    const calls: Record<string, () => Promise<unknown>> = {
      append: () => engine.log.append(numbers(topic, 0, 1)),
      bounds: () => engine.log.bounds(topic),
      topics: () => engine.log.topics(),
      committed: () => engine.log.committed(group, at),
      publisher: () => engine.log.publisher(`${group}-1`),
      publish: () => publisher.publish(numbers(topic, 0, 1), commit),
      read: () =>
        engine.log
          .read(at, offset(0), { until: offset(1) })
          [Symbol.asyncIterator]()
          .next(),
      ensureTopics: () => engine.log.ensureTopics([{ topic, partitions: 1, cleanup: 'delete' }]),
    }
    const started = performance.now()
    for (const [name, call] of Object.entries(calls)) {
      await expect(call(), name).rejects.toMatchObject({ code: 'LOG_DOWN' })
    }
    expect(performance.now() - started).toBeLessThan(Object.keys(calls).length * 4_000)
    await kafka.start()
    await isBack()
    await eventually('publishing works again', patience, () =>
      publisher.publish(numbers(topic, 0, 3), commit).then(
        () => true,
        () => false,
      ),
    )
    expect(values(await readCount(engine.log, at, 0, 3, patience))).toEqual(range(0, 3))
    expect(values(await readNow(engine.log, at, patience))).toEqual(range(0, 3))
    expect(await engine.log.committed(group, at)).toBe(1)
    await publisher.close()
  })
})

describe.skipIf(localProcessesUnavailable())('answers that are lost', { timeout: 120_000 }, () => {
  let kafka: KafkaServer
  let proxy: BrokerProxy
  let engine: Engine
  beforeAll(async () => {
    const started = await startProxy(await freePort())
    proxy = started
    kafka = await startKafka({ advertise: proxy.port })
    started.target(Number(kafka.brokers.split(':')[1]))
    engine = await openKafka(kafkaConfig({ ...NOWHERE, KAFKA_BROKERS: `127.0.0.1:${proxy.port}` }))
  })
  afterAll(async () => {
    await engine?.[Symbol.asyncDispose]()
    await proxy?.[Symbol.asyncDispose]()
    await kafka?.[Symbol.asyncDispose]()
  })

  it.each([
    ['the commit of a transaction before the broker sees it', API.endTxn, 'before'],
    ['the answer to the commit of a transaction', API.endTxn, 'after'],
    ['the records of a transaction before the broker sees them', API.produce, 'before'],
    ['the answer to the records of a transaction', API.produce, 'after'],
  ] as const)('publishes exactly once although %s is lost', async (_, api, when) => {
    const prefix = uniquePrefix()
    const [topic, group] = [`${prefix}out`, `${prefix}group`]
    await engine.log.ensureTopics([{ topic, partitions: 1, cleanup: 'delete' }])
    const at = { topic, partition: 0 }
    const publisher = await engine.log.publisher(`${prefix}id`)
    const before = proxy.lost
    for (let i = 0; i < 4; i++) {
      if (i === 2) proxy.loseNext(api, when)
      await publisher.publish(numbers(topic, i * 10, i * 10 + 10), { group, ...at, position: offset(i + 1) })
      expect(await engine.log.committed(group, at)).toBe(i + 1)
    }
    expect(proxy.lost).toBe(before + 1)
    expect(values(await readCount(engine.log, at, 0, 40, patience))).toEqual(range(0, 40))
    expect(values(await readNow(engine.log, at, patience))).toEqual(range(0, 40))
    await publisher.close()
  })

  it('does not fence the publisher that has taken over when the old one settles its doubt', async () => {
    const prefix = uniquePrefix()
    const [topic, group] = [`${prefix}out`, `${prefix}group`]
    await engine.log.ensureTopics([{ topic, partitions: 1, cleanup: 'delete' }])
    const at = { topic, partition: 0 }
    const older = await engine.log.publisher(`${prefix}id`)
    await older.publish(numbers(topic, 0, 10), { group, ...at, position: offset(1) })
    const newer = await engine.log.publisher(`${prefix}id`)
    proxy.loseNext(API.endTxn, 'before')
    const late = older.publish(numbers(topic, 900, 910), { group, ...at, position: offset(9) })
    await expect(late).rejects.toMatchObject({ code: 'FENCED' })
    await newer.publish(numbers(topic, 10, 20), { group, ...at, position: offset(2) }).catch(() =>
      // The loss was meant for the older one, which was refused before it came so far.
      newer.publish(numbers(topic, 10, 20), { group, ...at, position: offset(2) }),
    )
    expect(values(await readCount(engine.log, at, 0, 20, patience))).toEqual(range(0, 20))
    expect(values(await readNow(engine.log, at, patience))).toEqual(range(0, 20))
    expect(await engine.log.committed(group, at)).toBe(2)
    await Promise.all([older.close(), newer.close()])
  })
})

const range = (from: number, to: number): string[] => Array.from({ length: to - from }, (_, i) => String(from + i))

const numbers = (topic: string, from: number, to: number): NewRecord[] =>
  range(from, to).map((value) => record(topic, `k${value}`, value, 0))

describe.skipIf(localProcessesUnavailable())(
  'a link to the broker that is cut and silent',
  { timeout: 120_000 },
  () => {
    let link: Link
    let kafka: KafkaServer
    beforeAll(async () => {
      link = await Link.open(0)
      kafka = await startKafka({ advertise: link.port })
      link.target(Number(kafka.brokers.split(':')[1]))
    })
    afterAll(async () => {
      await kafka?.[Symbol.asyncDispose]()
      await link?.[Symbol.asyncDispose]()
    })

    it('ends every call, and closes without waiting for anybody', async () => {
      const env = { ...NOWHERE, KAFKA_BROKERS: `127.0.0.1:${link.port}` }
      const engine = await openKafka(kafkaConfig(env))
      const prefix = uniquePrefix()
      const topics = ['a', 'b', 'c'].map((name) => `${prefix}${name}`)
      await engine.log.ensureTopics(topics.map((topic) => ({ topic, partitions: 2, cleanup: 'delete' })))
      const subscriptions = await Promise.all(
        topics.map((topic) => engine.log.subscribe(`${topic}-group`, [topic], new Member('one'))),
      )
      // Requests of all kinds are under way whenever the link is cut.
      const stop = new AbortController()
      let ended = 0
      const ask = async (request: () => Promise<unknown>) => {
        while (!stop.signal.aborted) {
          await request().catch(() => {})
          ended++
          await new Promise((resolve) => setImmediate(resolve))
        }
      }
      const asking = Promise.all(
        topics.flatMap((topic) => [
          ask(() => engine.log.bounds(topic)),
          ask(() => engine.log.committed(`${topic}-group`, { topic, partition: 0 })),
          ask(async () => (await engine.log.publisher(`${topic}-publisher`)).close()),
        ]),
      )
      for (let cut = 0; cut < 8; cut++) {
        const before = ended
        link.cut()
        await eventually('calls fail', patience, () => ended > before + 20)
        link.heal()
        await eventually('the broker answers', patience, async () => {
          await engine.log.topics().catch(() => {})
          return !engine.down().has('kafka')
        })
      }
      link.silent('both')
      stop.abort()
      const started = performance.now()
      await Promise.all(subscriptions.map((one) => one.close()))
      await engine[Symbol.asyncDispose]()
      await asking
      // Well below the ten seconds after which a request counts as unanswered.
      expect(performance.now() - started).toBeLessThan(8_000)
      link.heal()
      await eventually('no connection is left behind', patience, () => link.connections === 0)
    })
  },
)
