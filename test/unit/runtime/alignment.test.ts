import { describe, expect, it } from 'vitest'
import { ms } from '../../../processors/app/units.ts'
import { Alignment } from '../../../processors/runtime/alignment.ts'
import { ManualClock } from '../scorer/support.ts'

const SLACK = 15
const IDLE = 1_000

function arriving(...partitions: string[]) {
  const clock = new ManualClock()
  const alignment = new Alignment({ clock, hrtime: () => clock.now() / 1_000, slackMs: ms(SLACK), idleMs: ms(IDLE) })
  for (const partition of partitions) alignment.arrive(partition)
  return { clock, alignment }
}

function reading(times: Readonly<Record<string, number>>) {
  const { clock, alignment } = arriving(...Object.keys(times))
  for (const [partition, time] of Object.entries(times)) {
    alignment.begin(partition, true)
    alignment.limit(partition, time)
    alignment.published(partition, time)
  }
  return { clock, alignment }
}

describe('alignment', () => {
  it('lets a partition be read up to the slack ahead of the one that is furthest behind', () => {
    const { alignment } = reading({ a: 0, b: 40, c: 10 })
    expect(alignment.limit('b', 50)).toBe(0 + SLACK)
    expect(alignment.limit('a', 1)).toBe(10 + SLACK)
    alignment.published('a', 30)
    expect(alignment.limit('b', 50)).toBe(10 + SLACK)
  })

  it('counts a partition that waits as read up to where it waits, so that never all of them wait', () => {
    const { alignment } = reading({ a: 10, b: 10 })
    expect(alignment.limit('a', 100)).toBe(10 + SLACK)
    expect(alignment.limit('b', 40)).toBe(100 + SLACK)
    expect(alignment.limit('a', 100)).toBe(40 + SLACK)
  })

  it('goes by the greatest time that was read: an old event between newer ones says nothing', () => {
    const { alignment } = reading({ a: 100, b: 100 })
    alignment.limit('a', 5)
    alignment.published('a', 5)
    expect(alignment.limit('b', 101)).toBe(100 + SLACK)
  })

  it('waits for nobody who shows nothing for a while, or has left', () => {
    const { alignment, clock } = reading({ a: 0, b: 60, c: 10 })
    alignment.leave('a')
    expect(alignment.limit('b', 60)).toBe(10 + SLACK)
    clock.advance(IDLE)
    expect(alignment.limit('b', 60)).toBe(Number.POSITIVE_INFINITY)
  })

  it('waits ten times as long for one that is at work', () => {
    const { alignment, clock } = reading({ a: 0, b: 60 })
    alignment.begun('a')
    clock.advance(IDLE)
    expect(alignment.limit('b', 60)).toBe(0 + SLACK)
    clock.advance(9 * IDLE)
    expect(alignment.limit('b', 60)).toBe(Number.POSITIVE_INFINITY)
    alignment.ended('a')
    expect(alignment.limit('b', 60)).toBe(0 + SLACK)
    clock.advance(IDLE)
    expect(alignment.limit('b', 60)).toBe(Number.POSITIVE_INFINITY)
  })

  it('waits at the start for partitions with a backlog that have shown nothing yet, and not for empty ones', () => {
    const { alignment } = arriving('a', 'b', 'c')
    alignment.begin('a', true)
    alignment.begin('b', false)
    expect(alignment.limit('a', 0)).toBe(Number.NEGATIVE_INFINITY)
    alignment.begin('c', true)
    expect(alignment.limit('a', 0)).toBe(Number.NEGATIVE_INFINITY)
    expect(alignment.limit('c', 1)).toBe(0 + SLACK)
    expect(alignment.limit('a', 0)).toBe(1 + SLACK)
  })

  it('does not hold up a partition that reads already when another one is handed over', () => {
    const { alignment } = reading({ a: 0 })
    alignment.arrive('b')
    expect(alignment.limit('a', 60)).toBe(Number.POSITIVE_INFINITY)
  })

  it('takes a long batch after a silence for the beginning of a bulk', () => {
    const { alignment, clock } = reading({ a: 0, b: 0 })
    expect(alignment.mayBegin('a', SLACK + 1)).toBe(false)
    clock.advance(IDLE)
    expect(alignment.mayBegin('a', SLACK + 1)).toBe(true)
    expect(alignment.mayBegin('a', SLACK)).toBe(false)
    alignment.leave('b')
    expect(alignment.mayBegin('a', SLACK + 1)).toBe(false)
  })

  it('wakes who waits with the progress of another one', async () => {
    const { alignment } = reading({ a: 0, b: 60 })
    alignment.limit('b', 70)
    const woken = alignment.progress(new AbortController().signal)
    alignment.published('a', 30)
    await woken
    expect(alignment.limit('b', 70)).toBe(30 + SLACK)
  })
})
