/** Records of xdm.events: framed Avro that is wrong, cut, damaged, of an unknown schema, or decodes to nonsense. */
import fc from 'fast-check'
import { beforeAll, describe, expect, it } from 'vitest'
import { RtmlError } from '../../processors/app/errors.ts'
import { systemClock } from '../../processors/app/system-clock.ts'
import { epochMs, offset } from '../../processors/app/units.ts'
import type { Engine, LogRecord } from '../../processors/engine/ports.ts'
import { frame, parseDeadLetter } from '../../processors/outputs/index.ts'
import type { KeyedStage } from '../../processors/runtime/repair/keyed-stage.ts'
import { type Plan, replayStages } from '../../processors/topology.ts'
import { applicationOf, eventOf, planOf } from '../repair/harness.ts'
import { CASE_MS_MAX, CASES, cpuMs, parameters, TIMEOUT_MS } from './cases.ts'
import { type Damage, damaged, damages } from './mutations.ts'

const KNOWN = 7
const OTHER = 8

let plan: Plan
let stages: readonly KeyedStage[]
let valid: readonly Buffer[]

/** An engine as far as stages ask it: a registry that knows two schemas. */
const engineOf = (schemas: ReadonlyMap<number, object>) =>
  ({
    registry: {
      schema: async (id: number) => {
        const schema = schemas.get(id)
        if (schema) return schema
        throw new RtmlError('SCHEMA_ID', `the registry has no schema ${id}`)
      },
    },
    store: { note: async () => undefined, setNote: async () => {}, load: async () => [] },
  }) as unknown as Engine

beforeAll(async () => {
  plan = await planOf(applicationOf())
  const narrow = structuredClone(plan.schema.avroSchema) as { fields: unknown[] }
  const schemas = new Map<number, object>([
    [KNOWN, plan.schema.avroSchema],
    [OTHER, narrow],
  ])
  stages = replayStages(plan, {
    engine: engineOf(schemas),
    clock: systemClock,
    env: () => undefined,
    schemaIds: { events: KNOWN, scores: 1, segments: 2 },
  })
  const mapper = plan.mappers.get('web')!
  valid = Array.from({ length: 40 }, (_, number) => {
    const value = Buffer.from(JSON.stringify(eventOf(number)))
    const raw = { key: null, value, headers: {}, timestamp: epochMs(Date.now()), place: 'raw.web[0]@1' }
    return plan.schema.encode(mapper.map(raw).events[0]!)
  })
})

let at = 0
const recordOf = (value: Buffer | null, key: string): LogRecord => ({
  topic: 'xdm.events',
  partition: 0,
  offset: offset(at++),
  timestamp: epochMs(Date.now()),
  key: Buffer.from(key),
  value,
  headers: {},
})

/** The batch through both keyed stages: every record has one outcome, and refused bytes are kept as they came. */
async function holds(values: readonly (Buffer | null)[]): Promise<void> {
  for (const { stage } of stages) {
    const records = values.map((value, index) => recordOf(value, `ECID:v${index}`))
    const started = process.cpuUsage()
    const prepared = (await stage.prepare(records, 'live')) as { events: unknown[]; refused: { record: LogRecord }[] }
    const states = new Map<string, unknown>()
    const { changed, work } = stage.compute(prepared, states, 'live')
    const outputs = await stage.outputs(work)
    expect(cpuMs(started)).toBeLessThan(CASE_MS_MAX)
    for (const [key, packed] of changed) expect(() => packed && stage.decode(key, packed)).not.toThrow()
    const outcomes = prepared.events.length + prepared.refused.length
    expect(outcomes).toBe(values.filter((value) => value !== null).length)
    const letters = outputs.flatMap((output) =>
      output.topic === plan.topics.deadXdm ? [parseDeadLetter({ ...output, headers: output.headers ?? {} })!] : [],
    )
    for (const { record } of prepared.refused) {
      const letter = letters.find((it) => it.offset === record.offset)
      expect(letter?.value).toBe(record.value)
    }
  }
}

describe('records of xdm.events', { timeout: TIMEOUT_MS }, () => {
  it('that are damaged', async () => {
    const one = fc.record({
      index: fc.nat({ max: 39 }),
      changes: fc.oneof({ weight: 8, arbitrary: damages }, { weight: 1, arbitrary: fc.constant([] as Damage[]) }),
      id: fc.oneof(
        { weight: 8, arbitrary: fc.constantFrom(KNOWN, OTHER) },
        { weight: 1, arbitrary: fc.constantFrom(0, 9, 2 ** 31, 2 ** 32 - 1) },
      ),
      magic: fc.oneof({ weight: 15, arbitrary: fc.constant(0) }, { weight: 1, arbitrary: fc.nat({ max: 255 }) }),
    })
    await fc.assert(
      fc.asyncProperty(fc.array(one, { minLength: 1, maxLength: 4 }), (records) =>
        holds(
          records.map(({ index, changes, id, magic }) => {
            const value = frame(id, damaged(valid[index]!, changes))
            value[0] = magic
            return value
          }),
        ),
      ),
      parameters(CASES.wireMutations),
    )
  })

  it('that are anything at all, tombstones included', async () => {
    const bytes = fc.uint8Array({ maxLength: 400 }).map((it) => Buffer.from(it))
    const any = fc.oneof(
      bytes,
      bytes.map((it) => frame(KNOWN, it)),
      fc.constantFrom<Buffer | null>(null, Buffer.alloc(0), Buffer.alloc(4), Buffer.alloc(5), Buffer.alloc(70_000)),
    )
    await fc.assert(
      fc.asyncProperty(fc.array(any, { minLength: 1, maxLength: 3 }), holds),
      parameters(CASES.wireGarbage),
    )
  })

  it('that say anything of themselves, valid as Avro though they are', async () => {
    const number = fc.oneof(fc.double(), fc.constantFrom(Number.NaN, Number.POSITIVE_INFINITY, -0, 1e308, 5e-324))
    const time = fc.oneof(fc.integer({ min: -8.64e15, max: 8.64e15 }), fc.constantFrom(0, -1, Date.now(), 8.64e15))
    const base = plan.schema.decode(valid[0]!)
    const event = fc.record({
      ts: time,
      amount: number,
      type: fc.string({ unit: 'binary', maxLength: 40 }),
      sku: fc.string({ unit: 'binary', maxLength: 40 }),
      id: fc.string({ unit: 'binary', maxLength: 40 }),
    })
    await fc.assert(
      fc.asyncProperty(fc.array(event, { minLength: 1, maxLength: 6 }), async (events) => {
        const values = events.flatMap(({ ts, amount, type, sku, id }) => {
          const xdm = {
            ...base.xdm,
            _id: id,
            timestamp: new Date(ts).toISOString(),
            eventType: type,
            productListItems: [{ SKU: sku, priceTotal: amount }],
          }
          try {
            return [frame(KNOWN, plan.schema.encode({ ...base, id, ts: epochMs(ts), xdm }))]
          } catch {
            // What can't be written can't be read.
            return []
          }
        })
        if (values.length > 0) await holds(values)
      }),
      parameters(CASES.stages),
    )
  })
})
