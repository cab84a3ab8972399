import { describe, expect, it } from 'vitest'
import { murmur2, partitionOf } from '../../../processors/engine/murmur2.ts'
import { JAVA_MURMUR2 } from '../../engine/contract/java-murmur2.ts'

describe('murmur2', () => {
  it.each(JAVA_MURMUR2)('hashes %j as the Java client does', (text, hash) => {
    expect(murmur2(Buffer.from(text))).toBe(hash)
  })

  it('chooses the partition from the hash without its sign bit', () => {
    for (const [text, hash] of JAVA_MURMUR2) expect(partitionOf(Buffer.from(text), 7)).toBe((hash & 0x7fffffff) % 7)
  })

  it('spreads keys over all partitions', () => {
    const counts = new Array<number>(4).fill(0)
    for (let i = 0; i < 4_000; i++) counts[partitionOf(Buffer.from(`ECID:${i}`), 4)]!++
    for (const count of counts) expect(count).toBeGreaterThan(800)
  })
})
