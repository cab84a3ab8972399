import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { datePattern } from '../../../processors/expressions/dates/date-pattern.ts'
import { DateValue, isoWeek, localMsOf } from '../../../processors/expressions/dates/date-value.ts'
import { readDate } from '../../../processors/expressions/dates/read-date.ts'
import { findZone, UTC } from '../../../processors/expressions/dates/zones.ts'
import { createExpressions } from '../../../processors/expressions/index.ts'

const LOS_ANGELES = findZone('America/Los_Angeles')!
const PARIS = findZone('Europe/Paris')!
const moment = new DateValue(Date.UTC(2020, 1, 3, 12, 5, 6, 789), LOS_ANGELES)

describe('Java date patterns', () => {
  it.each([
    ['yyyy-MM-dd HH:mm:ss.SSS', '2020-02-03 04:05:06.789'],
    ['yy M L d H k K h m s S', '20 2 2 3 4 4 4 4 5 6 7'],
    ['MMM MMMM MMMMM LLL', 'Feb February F Feb'],
    ['E EEE EEEE', 'Mon Mon Monday'],
    ['G GGGG GGGGG', 'AD Anno Domini A'],
    ['Y w W D F u', '2020 6 1 34 1 1'],
    ['uuuu', '2020'],
    ['hh:mm a', '04:05 AM'],
    ['Q QQ QQQ QQQQ q', '1 01 Q1 1st quarter 1'],
    ['z', 'PST'],
    ['zzzz', 'Pacific Standard Time'],
    ['Z ZZZZ ZZZZZ', '-0800 GMT-08:00 -08:00'],
    ['X XX XXX x', '-08 -0800 -08:00 -08'],
    ['VV O OOOO', 'America/Los_Angeles GMT-8 GMT-08:00'],
    ["'at' yyyy''MM", "at 2020'02"],
    ['SSSSSS', '789000'],
  ])('%s writes %s', (pattern, text) => {
    expect(datePattern(pattern).format(moment)).toBe(text)
  })

  it('writes Z for X in UTC', () => {
    expect(datePattern("yyyy-MM-dd'T'HH:mmX").format(moment.in(UTC))).toBe('2020-02-03T12:05Z')
  })

  it.each([
    ['yyyy-MM-dd', '2020-12-31', '2020-12-31T00:00:00Z'],
    ['yyyyMMdd', '20201231', '2020-12-31T00:00:00Z'],
    ['ddMMyyyy', '12112020', '2020-11-12T00:00:00Z'],
    ['d/M/yy', '1/2/20', '2020-02-01T00:00:00Z'],
    ['dd.MMM.yyyy', '03.feb.2020', '2020-02-03T00:00:00Z'],
    ['MMMM d, yyyy', 'December 31, 2020', '2020-12-31T00:00:00Z'],
    ['EEE, dd MMM yyyy HH:mm:ss z', 'Mon, 03 Feb 2020 04:05:06 GMT', '2020-02-03T04:05:06Z'],
    ['M/dd/yyyy hh:mm:ss a', '2/03/2020 12:05:06 AM', '2020-02-03T00:05:06Z'],
    ['M/dd/yyyy hh:mm:ss a', '2/03/2020 12:05:06 PM', '2020-02-03T12:05:06Z'],
    ['yyyy-MM-dd HH:mm:ssZ', '2020-02-03 04:05:06-0800', '2020-02-03T04:05:06-08:00'],
    ['yyyy-MM-dd HH:mm VV', '2020-07-03 04:05 Europe/Paris', '2020-07-03T04:05:00+02:00'],
    ['yyyy-MM-dd HH:mm z', '2020-02-03 04:05 Pacific Standard Time', '2020-02-03T04:05:00-08:00'],
    ['yyyy-MM-dd HH:mm O', '2020-02-03 04:05 GMT+8', '2020-02-03T04:05:00+08:00'],
    ["yyyy-MM-dd'T'HH:mm[:ss][.SSS]", '2020-02-03T04:05', '2020-02-03T04:05:00Z'],
    ["yyyy-MM-dd'T'HH:mm[:ss][.SSS]", '2020-02-03T04:05:06.7', '2020-02-03T04:05:06.700Z'],
    ['yyyy-DDD', '2020-060', '2020-02-29T00:00:00Z'],
    ["YYYY-'W'ww-u", '2020-W53-5', '2021-01-01T00:00:00Z'],
    ['yyyy QQQ', '2020 Q3', '2020-07-01T00:00:00Z'],
    ['yyyy-MM-dd kk:mm', '2020-02-03 24:00', '2020-02-03T00:00:00Z'],
    ['yyyyMMddHHmmssSSS', '20200203040506789', '2020-02-03T04:05:06.789Z'],
  ])('%s reads %s', (pattern, text, date) => {
    expect(String(datePattern(pattern).parse(text, UTC))).toBe(date)
  })

  it.each([
    ['yyyy-MM-dd', '2020-02-30'],
    ['yyyy-MM-dd', '2019-02-29'],
    ['yyyy-MM-dd', '20-02-03'],
    ['yyyy-MM-dd', '2020-02-03x'],
    ['yyyy-MM-dd', ''],
    ['yyyyMMdd', '2020023'],
    ['HH:mm', '04:05'],
    ['yyyy-MM-dd HH:mm', '2020-02-03 24:00'],
    ['yyyy-MM-dd hh:mm a', '2020-02-03 13:00 PM'],
    ['yyyy-MM-dd VV', '2020-02-03 Mars/Olympus'],
    ['yyyy-DDD', '2019-366'],
  ])('%s does not read %j', (pattern, text) => {
    expect(datePattern(pattern).parse(text, UTC)).toBeUndefined()
  })

  it.each(['yyyy-bb', "yyyy 'open", 'yyyy]', '[yyyy'])('%s is refused with its fault', (pattern) => {
    expect(() => datePattern(pattern)).toThrow(/Date pattern/)
    expect(() => createExpressions().compile(`date(x, ${JSON.stringify(pattern)})`)).toThrow(
      /column 1: date: Date pattern/,
    )
  })
})

describe('dates without a format', () => {
  it.each([
    ['2019-10-23', '2019-10-23T00:00:00Z'],
    ['2019-10-23 11:24', '2019-10-23T11:24:00Z'],
    ['2019-10-23T11:24:35', '2019-10-23T11:24:35Z'],
    ['2019-10-23t11:24:35z', '2019-10-23T11:24:35Z'],
    ['2019-10-23T11:24:35.123456789+02:00', '2019-10-23T11:24:35.123+02:00'],
    ['2019-10-23 11:24:35,5 -0800', '2019-10-23T11:24:35.500-08:00'],
    ['2019-10-23T11:24:35 PST', '2019-10-23T11:24:35-08:00'],
    ['2019-10-23T11:24:35+02:00[Europe/Paris]', '2019-10-23T11:24:35+02:00'],
    ['2019/10/23', '2019-10-23T00:00:00Z'],
    ['2019.10.23', '2019-10-23T00:00:00Z'],
    ['2019-Oct-23', '2019-10-23T00:00:00Z'],
    ['20191023', '2019-10-23T00:00:00Z'],
    ['10-23-2019', '2019-10-23T00:00:00Z'],
    ['12112020', '2020-12-11T00:00:00Z'],
    ['1/02/2019', '2019-01-02T00:00:00Z'],
    ['02.1.2019', '2019-01-02T00:00:00Z'],
    ['1/02/2019 03:04:05 PM', '2019-01-02T15:04:05Z'],
    ['02.1.2019 03:04:05 am', '2019-01-02T03:04:05Z'],
    ['23.Oct.2019', '2019-10-23T00:00:00Z'],
    ['23-Oct-2019', '2019-10-23T00:00:00Z'],
  ])('%s is %s', (text, date) => {
    expect(String(readDate(text, UTC))).toBe(date)
  })

  it.each([
    '',
    'x',
    '2019',
    'December 31st, 2020',
    '2019-13-01',
    '2019-10-23T25:00',
    '2019-10-23T11:24:',
    '2019-10-23T11:24:35.Z',
    '2019-10-23X',
  ])('%j is none', (text) => {
    expect(readDate(text, UTC)).toBeUndefined()
  })

  it('what is written is read back, in any zone', () => {
    const zones = [UTC, PARIS, LOS_ANGELES, findZone('+05:30')!, findZone('Asia/Kathmandu')!]
    fc.assert(
      fc.property(
        fc.integer({ min: -2_000_000_000_000, max: 9_000_000_000_000 }),
        fc.constantFrom(...zones),
        (epochMs, zone) => {
          const written = new DateValue(epochMs, zone).toString()
          const read = readDate(written, UTC)!
          expect(read.toString()).toBe(written)
          // Zones of before standard time have offsets with seconds, which RFC 3339 can't write.
          expect(Math.abs(read.epochMs - epochMs)).toBeLessThan(60_000)
          if (epochMs >= 0) expect(read.epochMs).toBe(epochMs)
          if (zone === UTC) expect(new Date(written).getTime()).toBe(epochMs)
        },
      ),
    )
  })

  it('a pattern reads what it has written', () => {
    const patterns = [
      'yyyy-MM-dd HH:mm:ss.SSSZ',
      'EEE, d MMM yyyy h:mm:ss.SSS a XXX',
      'yyyyMMddHHmmssSSSX',
      "YYYY-'W'ww-u HH:mm:ss.SSSXXX",
      'D/yyyy K:mm:ss.SSS a O',
    ]
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 9_000_000_000_000 }), fc.constantFrom(...patterns), (epochMs, pattern) => {
        const date = new DateValue(epochMs, PARIS)
        expect(datePattern(pattern).parse(datePattern(pattern).format(date), UTC)?.epochMs).toBe(epochMs)
      }),
    )
  })
})

describe('calendar', () => {
  it('a local time in a gap moves on, one in an overlap takes the earlier offset, as in java.time', () => {
    expect(String(readDate('2020-03-29 02:30', PARIS))).toBe('2020-03-29T03:30:00+02:00')
    expect(String(readDate('2020-10-25 02:30', PARIS))).toBe('2020-10-25T02:30:00+02:00')
  })

  it.each([
    ['2021-01-03', 2020, 53],
    ['2021-01-04', 2021, 1],
    ['2018-12-31', 2019, 1],
    ['2016-01-01', 2015, 53],
    ['2020-12-31', 2020, 53],
  ])('%s is in ISO week %i-%i', (day, year, week) => {
    expect(isoWeek(readDate(day, UTC)!.civil())).toEqual({ year, week })
  })

  it('the first years are not those of the last century', () => {
    expect(new Date(localMsOf(99, 3, 1)).toISOString()).toBe('0099-03-01T00:00:00.000Z')
  })

  it.each([
    ['date_part("weekday", date("2019-10-20"))', 7],
    ['date_part("w", date("2021-01-03"))', 53],
    ['date_part("q", date("2019-10-20"))', 4],
    ['date_part("dayofyear", date("2020-12-31"))', 366],
    ['date_part("hh12", date("2020-12-31 00:10"))', 12],
    ['date_part("SSS", date("2016-11-09T11:44:44.797"))', 797],
    ['date_part("yy", date("2016-11-09"))', 2016],
    ['date_part("hour", zone_date_to_zone("2020-07-01T22:00:00Z", "Europe/Paris"))', 0],
    ['set_date_part("month", 2, date("2020-01-31"))', '2020-02-29T00:00:00Z'],
    ['set_date_part("hh", 5, date("2020-01-31T23:00:00-08:00"))', '2020-01-31T05:00:00-08:00'],
    ['make_timestamp(2020, 2, 29, 1, 2, 3, 4000000, "UTC")', '2020-02-29T01:02:03.004Z'],
    ['date(1571829875000)', '2019-10-23T11:24:35Z'],
    ['date("2019-10-23 11:24", "")', '2019-10-23T11:24:00Z'],
    ['date(missing, "yyyy", "2020-01-01")', '2020-01-01T00:00:00Z'],
    ['date(missing)', null],
    ['timestamp("2020-01-01T00:00:00Z") + duration("1h30m")', '2020-01-01T01:30:00Z'],
    ['date("2020-01-02") - date("2020-01-01") == duration("1d")', true],
    ['date("2020-01-01T01:00:00+01:00") == "2020-01-01T00:00:00Z"', true],
    ['date("2020-01-01T01:00:00+01:00") < date("2020-01-01T00:30:00Z")', true],
    ['[date("2020-01-01")].map(d, {"at": d})', [{ at: '2020-01-01T00:00:00Z' }]],
    ['concat("on ", date("2020-01-01"))', 'on 2020-01-01T00:00:00Z'],
    ['timestamp("2020-01-05T10:00:00Z").getDayOfWeek()', 0],
    ['"2020-01-05T10:00:00Z".getHours("Asia/Tokyo")', 19],
  ])('%s → %o', (source, result) => {
    expect(createExpressions().compile(source).evaluate({})).toEqual(result)
  })

  it.each([
    ['date_part("fortnight", date("2019-10-20"))', /no component/],
    ['set_date_part("day", 31, date("2019-02-01"))', /has 28 days/],
    ['set_date_part("month", 13, date("2019-02-01"))', /outside of 1 to 12/],
    ['set_date_part("week", 1, date("2019-02-01"))', /can't be set/],
    ['make_date_time(2019, 2, 29, 0, 0, 0, 0, "UTC")', /has 28 days/],
    ['make_date_time(2019, 2, 1, 0, 0, 0, 0, "Europe/Pariss")', /Did you mean "Europe\/Paris"/],
    ['date("31/12/2020")', /Name its format/],
    ['date("31.12.2020", "yyyy-MM-dd")', /doesn't fit the format/],
    ['dformat("1571829875000", "yyyy")', /Use to_integer/],
    ['date(1e18)', /Is the unit milliseconds/],
  ])('%s is refused: %s', (source, message) => {
    expect(() => createExpressions().compile(source).evaluate({})).toThrow(message)
  })
})
