import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { formatTime, parseRfc3339, parseTime } from '../../../processors/xdm/index.ts'
import { formatDate, parseDate } from '../../../processors/xdm/time.ts'

const iso = (value: unknown, options?: Parameters<typeof parseTime>[1]): string => {
  const time = parseTime(value, options)
  return time.ok ? new Date(time.ts).toISOString() : time.message
}

describe('parseTime', () => {
  it.each([
    ['2026-01-31T09:05:00Z', {}, '2026-01-31T09:05:00.000Z'],
    ['2026-01-31t09:05:00.5z', {}, '2026-01-31T09:05:00.500Z'],
    ['2026-01-31T09:05:00.123456789+05:30', {}, '2026-01-31T03:35:00.123Z'],
    ['2026-01-31 09:05:00-0800', {}, '2026-01-31T17:05:00.000Z'],
    ['2026-01-31 09:05:00 UTC', {}, '2026-01-31T09:05:00.000Z'],
    ['2026-01-31T09:05+01', {}, '2026-01-31T08:05:00.000Z'],
    ['2016-12-31T23:59:60Z', {}, '2017-01-01T00:00:00.000Z'],
    [1_769_850_300, {}, '2026-01-31T09:05:00.000Z'],
    [1_769_850_300.25, {}, '2026-01-31T09:05:00.250Z'],
    [1_769_850_300_123, {}, '2026-01-31T09:05:00.123Z'],
    [1_769_850_300_123_456, {}, '2026-01-31T09:05:00.123Z'],
    ['1769850300123456', {}, '2026-01-31T09:05:00.123Z'],
    [1_769_850_300_123_456n, {}, '2026-01-31T09:05:00.123Z'],
    [60_000, { unit: 'ms' }, '1970-01-01T00:01:00.000Z'],
    [60, { unit: 's' }, '1970-01-01T00:01:00.000Z'],
    ['60000000', { unit: 'us' }, '1970-01-01T00:01:00.000Z'],
    ['20260131', { unit: 's' }, '1970-08-23T11:48:51.000Z'],
    [new Date(0), {}, '1970-01-01T00:00:00.000Z'],
    ['2026-07-01T12:00:00', { zone: 'Europe/Paris' }, '2026-07-01T10:00:00.000Z'],
    ['2026-01-01 12:00', { zone: 'Europe/Paris' }, '2026-01-01T11:00:00.000Z'],
    ['2026-01-01', { zone: 'America/New_York' }, '2026-01-01T05:00:00.000Z'],
    ['2026-01-01 12:00:00', { zone: 'UTC' }, '2026-01-01T12:00:00.000Z'],
    // a zone of the text itself wins
    ['2026-01-01T12:00:00Z', { zone: 'Europe/Paris' }, '2026-01-01T12:00:00.000Z'],
    // 02:30 does not exist on this day: forward by the hour that is missing
    ['2026-03-29T02:30:00', { zone: 'Europe/Paris' }, '2026-03-29T01:30:00.000Z'],
    // 02:30 comes twice on this day: the first, in summer time
    ['2026-10-25T02:30:00', { zone: 'Europe/Paris' }, '2026-10-25T00:30:00.000Z'],
  ] as const)('reads %s with %j', (value, options, expected) => {
    expect(iso(value, options)).toBe(expected)
  })

  it.each([
    ['2026-01-31T09:05:00', {}, '"2026-01-31T09:05:00" has no zone. Set timeZone of the source, such as Europe/Paris.'],
    [
      '2026-01-31T09:05:00',
      { zone: 'Mars/Olympus' },
      '"Mars/Olympus" is not an IANA time zone. Use a name such as Europe/Paris.',
    ],
    ['2026-02-29T00:00:00Z', {}, '"2026-02-29T00:00:00Z" is not a time of the calendar.'],
    ['2026-01-31T24:00:00Z', {}, '"2026-01-31T24:00:00Z" is not a time of the calendar.'],
    ['2026-01-31T12:00:60Z', {}, '"2026-01-31T12:00:60Z" is not a time of the calendar.'],
    [
      '20260131',
      {},
      '"20260131" looks like a date without separators. Convert it with date(…, "yyyyMMdd") or set timeUnit of the source.',
    ],
    [
      'yesterday',
      {},
      '"yesterday" is not a time. Use RFC 3339, such as 2026-01-31T09:05:00Z, or convert it with date(…).',
    ],
    ['', {}, '"" is not a time. Use RFC 3339, such as 2026-01-31T09:05:00Z, or convert it with date(…).'],
    [Number.NaN, {}, 'NaN is not a time.'],
    [1e18, {}, '1000000000000000000 is too large for a time in s, ms or µs. Set timeUnit of the source.'],
    [1e18, { unit: 'ms' }, '1000000000000000000 is outside the years 0000 to 9999.'],
    [true, {}, 'true is not a time; expected text or a number.'],
    [{ at: 1 }, {}, 'an object is not a time; expected text or a number.'],
  ] as const)('refuses %s with %j', (value, options, message) => {
    expect(iso(value, options)).toBe(message)
  })
})

const anyInstant = fc.date({
  min: new Date('0000-01-01T00:00:00Z'),
  max: new Date('9999-12-31T23:59:59.999Z'),
  noInvalidDate: true,
})

describe('RFC 3339', () => {
  it('is read and written as Date does', () => {
    fc.assert(
      fc.property(anyInstant, fc.integer({ min: -1_439, max: 1_439 }), (date, minutes) => {
        const text = date.toISOString()
        expect(formatTime(date.getTime())).toBe(text)
        expect(parseRfc3339(text)).toBe(date.getTime())
        const size = Math.abs(minutes)
        const offset = `${minutes < 0 ? '-' : '+'}${String(Math.floor(size / 60)).padStart(2, '0')}:${String(size % 60).padStart(2, '0')}`
        const shifted = text.replace('Z', offset)
        const expected = Date.parse(shifted)
        const inside =
          expected >= Date.parse('0000-01-01T00:00:00Z') && expected <= Date.parse('9999-12-31T23:59:59.999Z')
        expect(parseRfc3339(shifted)).toBe(inside ? expected : Number.NaN)
      }),
      { numRuns: 2_000 },
    )
  })

  it('refuses what is not', () => {
    const wrong = [
      '2026-1-31T09:05:00Z',
      '2026-01-31T09:05:00.Z',
      '2026-01-31T09:05:00+01',
      '2026-01-31T09:05:00ZZ',
      '2026-13-01T00:00:00Z',
      '2026-00-01T00:00:00Z',
      '2026-01-00T00:00:00Z',
      '2026-01-31T09:60:00Z',
      '2026-01-31T09:05:00+24:00',
      '1900-02-29T00:00:00Z',
      'x026-01-31T09:05:00Z',
      '2026/01/31T09:05:00Z',
    ]
    for (const text of wrong) expect([text, parseRfc3339(text)]).toEqual([text, Number.NaN])
    fc.assert(
      fc.property(fc.string(), (text) => !Number.isFinite(parseRfc3339(text)) || !Number.isNaN(Date.parse(text))),
    )
  })

  it('reads and writes dates', () => {
    fc.assert(
      fc.property(anyInstant, (date) => {
        const text = date.toISOString().slice(0, 10)
        expect(formatDate(parseDate(text))).toBe(text)
        expect(parseDate(text) * 86_400_000).toBe(Date.parse(text))
      }),
    )
    for (const text of ['2026-02-29', '2026-1-1', '2026-01-01T', '']) expect(parseDate(text)).toBeNaN()
  })
})
