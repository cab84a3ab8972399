import { describe, expect, it } from 'vitest'
import { hash48, murmur3, tieOf } from '../../../processors/features/hash.ts'

describe('murmur3', () => {
  // Published vectors of MurmurHash3_x86_32: Wikipedia "MurmurHash", and Guava's and SMHasher's tests.
  it.each([
    ['', 0, 0],
    ['', 1, 0x514e28b7],
    ['', 0xffffffff, 0x81f16f39],
    ['test', 0, 0xba6bd213],
    ['test', 0x9747b28c, 0x704b81dc],
    ['Hello, world!', 0, 0xc0363e43],
    ['Hello, world!', 0x9747b28c, 0x24884cba],
    ['The quick brown fox jumps over the lazy dog', 0, 0x2e4ff723],
    ['The quick brown fox jumps over the lazy dog', 0x9747b28c, 0x2fa826cd],
    ['a', 0x9747b28c, 0x7fa09ea6],
    ['aa', 0x9747b28c, 0x5d211726],
    ['aaa', 0x9747b28c, 0x283e0130],
    ['aaaa', 0x9747b28c, 0x5a97808a],
    ['ππππππππ', 0x9747b28c, 0xd58063c1],
  ])('of %j with seed %i', (text, seed, hash) => {
    expect(murmur3(text, seed)).toBe(hash)
  })
})

describe('hash48', () => {
  it('has 48 bits, of which the high 16 order ties', () => {
    const hashes = Array.from({ length: 20_000 }, (_, i) => hash48(`id-${i}`, 0))
    expect(new Set(hashes).size).toBe(hashes.length)
    expect(Math.max(...hashes)).toBeLessThan(2 ** 48)
    expect(Math.max(...hashes)).toBeGreaterThan(2 ** 47)
    expect(new Set(hashes.map(tieOf)).size).toBeGreaterThan(15_000)
    expect(tieOf(2 ** 48 - 1)).toBe(65_535)
  })
})
