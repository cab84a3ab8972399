/** The check before avsc: what it lets through is one whole value, and it never works long. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { toAvsc } from '../../processors/xdm/avro-codec.ts'
import { compileGuard } from '../../processors/xdm/avro-guard.ts'

const SCHEMA = {
  type: 'record',
  name: 'Node',
  namespace: 'a.b',
  fields: [
    { name: 'id', type: ['null', 'string', 'double'] },
    { name: 'kind', type: { type: 'enum', name: 'Kind', symbols: ['X', 'Y'] } },
    { name: 'hash', type: { type: 'fixed', name: 'Hash', size: 4 } },
    { name: 'tags', type: { type: 'map', values: 'int' } },
    { name: 'children', type: { type: 'array', items: 'Node' } },
    { name: 'at', type: { type: 'long', logicalType: 'timestamp-millis' } },
    { name: 'other', type: ['null', 'a.b.Hash'] },
    { name: 'nothing', type: { type: 'array', items: 'null' } },
  ],
}

interface Node {
  readonly children: readonly Node[]
  readonly [name: string]: unknown
}

const { node } = fc.letrec<{ node: Node }>((tie) => ({
  node: fc.record({
    id: fc.oneof(fc.constant(null), fc.string(), fc.double({ noNaN: true, noInteger: true })),
    kind: fc.constantFrom('X', 'Y'),
    hash: fc.uint8Array({ minLength: 4, maxLength: 4 }).map((it) => Buffer.from(it)),
    tags: fc.dictionary(fc.string(), fc.integer(), { maxKeys: 3, noNullPrototype: true }),
    children: fc.oneof({ maxDepth: 3 }, fc.constant([]), fc.array(tie('node'), { maxLength: 3 })),
    at: fc.integer({ min: 0, max: 4e12 }).map((time) => new Date(time).toISOString()),
    other: fc.oneof(
      fc.constant(null),
      fc.uint8Array({ minLength: 4, maxLength: 4 }).map((it) => Buffer.from(it)),
    ),
    nothing: fc.array(fc.constant(null), { maxLength: 5 }),
  }) as fc.Arbitrary<Node>,
}))

describe('the check of Avro bytes', () => {
  const type = toAvsc(SCHEMA)
  const guard = compileGuard(SCHEMA)

  it('lets every valid value through, and no part of one, and nothing behind one', () => {
    fc.assert(
      fc.property(node, fc.double({ min: 0, max: 1, maxExcluded: true }), (value, cut) => {
        const bytes = type.toBuffer(value)
        expect(() => guard(bytes)).not.toThrow()
        expect(() => guard(bytes.subarray(0, Math.floor(bytes.length * cut)))).toThrow()
        expect(() => guard(Buffer.concat([bytes, Buffer.from([0])]))).toThrow('left over')
      }),
      { numRuns: 500 },
    )
  })

  it('refuses what would fill the memory, at once', () => {
    const head = type.toBuffer({ ...EMPTY }).subarray(0, -1)
    // A list of 2^40 nulls: no bytes at all, and a terabyte of memory.
    const many = Buffer.from([0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x02, 0])
    expect(() => guard(Buffer.concat([head, many]))).toThrow('elements of no bytes')
  })

  it('says that a schema names a type that it does not define', () => {
    expect(() => compileGuard({ type: 'array', items: 'Missing' })).toThrow('does not define Missing')
  })
})

const EMPTY = {
  id: null,
  kind: 'X',
  hash: Buffer.alloc(4),
  tags: {},
  children: [],
  at: new Date(0).toISOString(),
  other: null,
  nothing: [],
}
