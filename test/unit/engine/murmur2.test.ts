import { describe, expect, it } from 'vitest'
import { murmur2, partitionOf } from '../../../processors/engine/murmur2.ts'

// Values of the Java client's own tests (org.apache.kafka.common.utils.UtilsTest).
const JAVA: readonly (readonly [string, number])[] = [
  ['21', -973932308],
  ['foobar', -790332482],
  ['a-little-bit-long-string', -985981536],
  ['a-little-bit-longer-string', -1486304829],
  ['lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8', -58897971],
  ['abc', 479470107],
]

describe('murmur2', () => {
  it.each(JAVA)('hashes %j as the Java client does', (text, hash) => {
    expect(murmur2(Buffer.from(text))).toBe(hash)
  })

  it('chooses the partition from the hash without its sign bit', () => {
    for (const [text, hash] of JAVA) expect(partitionOf(Buffer.from(text), 7)).toBe((hash & 0x7fffffff) % 7)
  })

  it('spreads keys over all partitions', () => {
    const counts = new Array<number>(4).fill(0)
    for (let i = 0; i < 4_000; i++) counts[partitionOf(Buffer.from(`ECID:${i}`), 4)]!++
    for (const count of counts) expect(count).toBeGreaterThan(800)
  })
})
