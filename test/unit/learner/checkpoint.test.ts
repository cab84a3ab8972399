import { describe, expect, it } from 'vitest'
import { offset } from '../../../processors/app/units.ts'
import { decodeCheckpoint, encodeCheckpoint } from '../../../processors/learner/checkpoint.ts'
import { Ftrl } from '../../../processors/learner/ftrl.ts'

describe('a checkpoint', () => {
  const learner = () => new Ftrl({ inputs: [{ kind: 'number', name: 'a' }], task: { kind: 'binary' } })
  const example = (i: number) => [Float32Array.of((i * 7) % 11), i % 3 === 0 ? 1 : 0] as const

  it('has learner and positions in one, whatever the order in which partitions were read', () => {
    const positions = { 'training.examples[1]': offset(7), 'training.examples[0]': offset(2 ** 40) }
    const bytes = encodeCheckpoint({ learner: learner(), positions })
    const turned = Object.fromEntries(Object.entries(positions).toReversed())
    expect(Buffer.from(encodeCheckpoint({ learner: learner(), positions: turned }))).toEqual(Buffer.from(bytes))
    expect(decodeCheckpoint(bytes).positions).toEqual(positions)
    expect(() => decodeCheckpoint(bytes.subarray(0, 40))).toThrow(/packed state/)
  })

  it('lets a learner that died anywhere end as if it had not', () => {
    const straight = learner()
    for (let i = 0; i < 300; i++) straight.learn(...example(i))
    let bytes = encodeCheckpoint({ learner: learner(), positions: { 't[0]': offset(0) } })
    for (const diesAfter of [17, 1, 90, 400]) {
      const { learner: own, positions } = decodeCheckpoint(bytes)
      let at: number = positions['t[0]']!
      for (let n = 0; at < 300 && n < diesAfter; n++) {
        own.learn(...example(at++))
        // What is learned after the last checkpoint is lost, and read again.
        if (at % 10 === 0) bytes = encodeCheckpoint({ learner: own, positions: { 't[0]': offset(at) } })
      }
    }
    const { learner: end, positions } = decodeCheckpoint(bytes)
    expect(positions).toEqual({ 't[0]': 300 })
    expect(Buffer.from(end.encode())).toEqual(Buffer.from(straight.encode()))
  })
})
