import { expect, it } from 'vitest'
import { READY_MAPPINGS } from '../../processors/mapper/index.ts'
import { CASES } from './cases.ts'
import { FORMATS } from './formats.ts'

it('an ordinary run tries at least 100,000 cases', () => {
  const { mutatedPayloads, batches, randomBytes, ...others } = CASES
  const total =
    (mutatedPayloads + batches) * READY_MAPPINGS.length +
    randomBytes * FORMATS.length +
    Object.values(others).reduce((sum, count) => sum + count, 0)
  expect(total).toBeGreaterThanOrEqual(100_000)
})
