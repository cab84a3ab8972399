import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { evenShares } from '../../../processors/engine/embedded/group.ts'

const names = (count: number) => Array.from({ length: count }, (_, i) => `t/${i}`)

describe('evenShares', () => {
  it('gives everything to the first member and nothing to nobody', () => {
    expect(evenShares(names(3), [[]])).toEqual([new Set(names(3))])
    expect(evenShares(names(3), [])).toEqual([])
  })

  it('moves only what a new member must get', () => {
    const [first, second] = evenShares(names(4), [names(4), []])
    expect([...first!]).toEqual(['t/0', 't/1'])
    expect([...second!]).toEqual(['t/2', 't/3'])
  })

  it('leaves even shares as they are', () => {
    const held = [
      ['t/3', 't/1'],
      ['t/0', 't/2', 't/4'],
    ]
    expect(evenShares(names(5), held).map((share) => [...share])).toEqual(held)
  })

  it('gives each name to one member, sizes differ by one at most, and nobody loses what fits', () => {
    const owners = fc.array(fc.nat({ max: 5 }), { maxLength: 30 })
    fc.assert(
      fc.property(owners, fc.integer({ min: 1, max: 5 }), (ownerOf, members) => {
        const all = names(ownerOf.length)
        const held = Array.from({ length: members }, (_, member) => all.filter((_, i) => ownerOf[i] === member))
        const shares = evenShares(all, held)
        expect(shares.flatMap((share) => [...share]).sort()).toEqual([...all].sort())
        const sizes = shares.map((share) => share.size)
        expect(Math.max(...sizes) - Math.min(...sizes)).toBeLessThanOrEqual(1)
        for (const [i, share] of shares.entries()) {
          const stayed = held[i]!.filter((name) => share.has(name)).length
          expect(stayed).toBe(Math.min(held[i]!.length, share.size))
        }
      }),
    )
  })
})
