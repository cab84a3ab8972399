import { expect, it } from 'vitest'
import { needlesOf } from '../../../processors/privacy/needles.ts'

const record = (key: string | null, value: string | Buffer | null = null) => ({
  key: key === null ? null : Buffer.from(key),
  value: value === null ? null : Buffer.from(value),
  headers: {},
})

it('finds the person in keys as a whole part, and nobody whose id only begins alike', () => {
  const needles = needlesOf(['ECID:v7'])
  for (const own of ['ECID:v7', 'v7', 'ECID:v7|sku1', 'sku1|ECID:v7', 'ECID:v7|viewers', 'shop.profile|0|s|ECID:v7']) {
    expect([own, needles.isIn(own), needles.isInRecord(record(own))]).toEqual([own, true, true])
  }
  for (const other of ['ECID:v70', 'ECID:v70|sku1', 'ECID:v', 'CRMID:v8|v77', 'xECID:v7']) {
    expect([other, needles.isIn(other), needles.isInRecord(record(other))]).toEqual([other, false, false])
  }
  expect(needlesOf(['ECID:a|b']).isIn('ECID:a\\|b|sku1')).toBe(true)
})

it('finds a short id in values only where it is a text of its own', () => {
  const needles = needlesOf(['ECID:v7'])
  expect(needles.isInRecord(record(null, '{"visitor":"v7"}'))).toBe(true)
  expect(needles.isInRecord(record(null, '{"visitor":"v70"}'))).toBe(false)
  expect(needles.isInRecord(record(null, Buffer.from([4, ...Buffer.from('v7'), 0])))).toBe(true)
})

it('finds a long id anywhere, in its other spelling too', () => {
  const needles = needlesOf(['Email:ada@example.com'], ['Ada@Example.com'])
  expect(needles.isInRecord(record(null, 'mail=ada@example.com;'))).toBe(true)
  expect(needles.isInRecord(record(null, 'mail=Ada@Example.com;'))).toBe(true)
  expect(needles.isInRecord(record(null, 'mail=bob@example.com;'))).toBe(false)
})
