/** The example subscribers as a user starts them, against a topic that rtml's engine wrote in transactions. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { Kafka, logLevel } from 'kafkajs'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { ms, offset } from '../../processors/app/units.ts'
import { encodeScores, SCORES_SCHEMA, scoresSubject } from '../../processors/outputs/scores.ts'
import { findPython } from '../unit/outputs/python.ts'
import { entry, scored, TOPIC, WANTED } from '../unit/outputs/scores-topic.ts'
import { type OpenFixture, openFixture } from './fixtures.ts'
import { environment, services, unavailable } from './harness.ts'

const DEADLINE_MS = 60_000
const isUnavailable = await unavailable()
const python = isUnavailable ? undefined : await findPython()
const file = (path: string) => fileURLToPath(new URL(`../../examples/subscribers/${path}`, import.meta.url))

describe.skipIf(isUnavailable)(
  'the example subscribers on real Kafka',
  () => {
    let fixture: OpenFixture
    let topic: string

    beforeAll(async () => {
      fixture = await openFixture()
      const { log, registry } = fixture.engine
      topic = `${fixture.prefix}profile.scores`
      const input = `${fixture.prefix}input`
      await log.ensureTopics([
        { topic, partitions: 2, cleanup: 'compact+delete', retentionMs: ms(3_600_000) },
        { topic: input, partitions: 1, cleanup: 'delete' },
      ])
      const schemaId = await registry.register(scoresSubject(topic), SCORES_SCHEMA)
      await abortOne(schemaId)
      const publisher = await log.publisher(`${fixture.prefix}publisher`)
      for (const [index, [key, record]] of TOPIC.entries()) {
        const value = record && encodeScores(record, schemaId)
        const commit = { group: `${fixture.prefix}group`, topic: input, partition: 0, position: offset(index + 1) }
        await publisher.publish([{ topic, key: Buffer.from(key), value }], commit)
      }
      await publisher.close()
    }, 150_000)

    afterAll(async () => fixture?.close())

    /** A record of a transaction that is rolled back: whoever sees it reads uncommitted records. */
    async function abortOne(schemaId: number): Promise<void> {
      const { brokers } = await services()
      const kafka = new Kafka({ brokers: brokers.split(','), logLevel: logLevel.NOTHING })
      const producer = kafka.producer({ transactionalId: `${fixture.prefix}aborted`, maxInFlightRequests: 1 })
      await producer.connect()
      const transaction = await producer.transaction()
      const value = encodeScores(scored('ghost', 'g1', 1, [entry('buy', 1)]), schemaId)
      await transaction.send({ topic, messages: [{ key: 'ECID:ghost', value }] })
      await transaction.abort()
      await producer.disconnect()
    }

    it('in TypeScript ends with the newest scores of each profile', async () => {
      expect(await follow(process.execPath, file('typescript/main.ts'))).toEqual(WANTED)
    })

    it.skipIf(python?.kind !== 'ready')('in Python ends with the same profiles', async () => {
      if (python?.kind !== 'ready') throw new Error('Python is not there')
      expect(await follow(python.executable, file('python/main.py'))).toEqual(WANTED)
    })

    /** Starts a subscriber, reads a line for each record of the topic, stops it, and returns the profiles it told of. */
    async function follow(command: string, script: string): Promise<Record<string, unknown>> {
      const env = {
        ...process.env,
        ...environment(await services()),
        TOPIC: topic,
        GROUP: `${topic}.${script.slice(-2)}`,
      }
      // In a checkout `rtml/outputs` means the sources; an installed package has them compiled.
      const conditions = script.endsWith('.ts') ? ['--conditions=rtml-source'] : []
      const child = spawn(command, [...conditions, script], { env, stdio: ['ignore', 'pipe', 'pipe'] })
      const exited = once(child, 'exit')
      let complaints = ''
      child.stderr.on('data', (chunk: Buffer) => {
        complaints += chunk.toString()
      })
      const deadline = setTimeout(() => child.kill('SIGKILL'), DEADLINE_MS)
      const profiles: Record<string, unknown> = {}
      let lines = 0
      for await (const line of createInterface({ input: child.stdout })) {
        const profile = JSON.parse(line) as { id: string; erased?: boolean }
        if (profile.erased) delete profiles[profile.id]
        else profiles[profile.id] = profile
        if (++lines === TOPIC.length) child.kill('SIGTERM')
      }
      clearTimeout(deadline)
      const [code] = (await exited) as [number | null]
      if (lines < TOPIC.length)
        throw new Error(`${lines} of ${TOPIC.length} records in ${DEADLINE_MS} ms: ${complaints}`)
      expect(code, complaints).toBe(0)
      return profiles
    }
  },
  150_000,
)
