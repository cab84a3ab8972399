import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import {
  type Assignment,
  assign,
  decodeClaim,
  encodeClaim,
  type Membership,
} from '../../../../processors/engine/kafka/assignment.ts'
import type { TopicPartition } from '../../../../processors/engine/ports.ts'

const topic = 'events'
const all = (count: number): TopicPartition[] => Array.from({ length: count }, (_, partition) => ({ topic, partition }))
const member = (memberId: string, owned: readonly TopicPartition[] = [], generation = -1): Membership => ({
  memberId,
  topics: [topic],
  generation,
  owned,
})
const sizes = (given: Assignment): number[] => [...given.values()].map((list) => list.length)
const flat = (given: Assignment): number[] => [...given.values()].flat().map(({ partition }) => partition)

/** Rounds until nothing moves any more: members give back what they lost and claim what they were given. */
function settle(members: readonly string[], owned: ReadonlyMap<string, readonly TopicPartition[]>, count: number) {
  let now = owned
  for (let generation = 1; generation <= 3; generation++) {
    const given = assign(
      members.map((id) => member(id, now.get(id) ?? [], generation)),
      all(count),
    )
    for (const [id, list] of given) {
      for (const { partition } of list) {
        const other = members.find((one) => one !== id && now.get(one)?.some((held) => held.partition === partition))
        expect(other, `${partition} is given to ${id} while ${other} has it`).toBeUndefined()
      }
    }
    now = given
  }
  return now
}

describe('assignment', () => {
  it('deals partitions evenly to new members', () => {
    const given = assign([member('b'), member('a'), member('c')], all(8))
    expect(sizes(given).sort()).toEqual([2, 3, 3])
    expect(flat(given).sort()).toEqual([0, 1, 2, 3, 4, 5, 6, 7])
  })

  it('withholds what moves until its owner has given it back', () => {
    const first = assign([member('a', all(4), 1), member('b')], all(4))
    expect(first.get('a')).toEqual(all(2))
    expect(first.get('b')).toEqual([])
    const second = assign([member('a', all(2), 2), member('b', [], 2)], all(4))
    expect(second.get('a')).toEqual(all(2))
    expect(second.get('b')).toEqual(all(4).slice(2))
  })

  it('lets every member keep what it has when another one leaves', () => {
    const three = assign([member('a'), member('b'), member('c')], all(9))
    const two = assign([member('a', three.get('a'), 1), member('c', three.get('c'), 1)], all(9))
    for (const id of ['a', 'c']) for (const kept of three.get(id)!) expect(two.get(id)).toContainEqual(kept)
    expect(flat(two)).toHaveLength(9)
  })

  it('believes the claim of the later generation', () => {
    const given = assign([member('a', all(2), 3), member('b', all(2), 7)], all(2))
    expect(given.get('b')).toHaveLength(1)
    expect(given.get('a')).toEqual([])
  })

  it('settles evenly, moves no more than it must, and never gives away what another member still has', () => {
    const scenario = fc.record({
      count: fc.integer({ min: 1, max: 40 }),
      before: fc.uniqueArray(fc.integer({ min: 0, max: 9 }), { minLength: 1, maxLength: 8 }),
      after: fc.uniqueArray(fc.integer({ min: 0, max: 9 }), { minLength: 1, maxLength: 8 }),
    })
    fc.assert(
      fc.property(scenario, ({ count, before, after }) => {
        const start = settle(before.map(String), new Map(), count)
        const members = after.map(String)
        const end = settle(members, start, count)
        expect(flat(end).sort()).toEqual(
          all(count)
            .map(({ partition }) => partition)
            .sort(),
        )
        expect(Math.max(...sizes(end)) - Math.min(...sizes(end))).toBeLessThanOrEqual(1)
        const quota = Math.ceil(count / members.length)
        for (const id of members) {
          const held = start.get(id) ?? []
          const kept = held.filter((one) => end.get(id)!.some(({ partition }) => partition === one.partition))
          expect(kept.length).toBeGreaterThanOrEqual(Math.min(held.length, quota - 1))
        }
      }),
    )
  })

  it('carries claims as bytes and refuses those of another program', () => {
    const claim = { generation: 4, owned: all(3) }
    expect(decodeClaim(encodeClaim(claim))).toEqual(claim)
    expect(() => decodeClaim(Buffer.from([1, 2, 3]))).toThrow('CONFIG')
  })
})
