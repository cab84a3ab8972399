import { didYouMean } from '../../app/suggest.ts'
import { datePattern } from '../dates/date-pattern.ts'
import type { CivilTime } from '../dates/date-value.ts'
import { DateValue, daysInMonth, isoWeek, localMsOf } from '../dates/date-value.ts'
import { UTC, type Zone } from '../dates/zones.ts'
import { refuse } from '../errors.ts'
import { show, typeName } from '../values.ts'
import { toDate, toText, toWhole, toZone } from './arguments.ts'
import type { FunctionContext, FunctionSpec, Literal } from './spec.ts'

/** Components by their names, letter case aside; `w` stands in two rows of the page and means the week here. */
const COMPONENTS: Readonly<Record<string, readonly string[]>> = {
  year: ['year', 'yyyy', 'yy'],
  quarter: ['quarter', 'qq', 'q'],
  month: ['month', 'mm', 'm'],
  dayOfYear: ['dayofyear', 'dy', 'y'],
  day: ['day', 'dd', 'd'],
  week: ['week', 'ww', 'w'],
  weekday: ['weekday', 'dw'],
  hour: ['hour', 'hh', 'hh24'],
  hour12: ['hh12'],
  minute: ['minute', 'mi', 'n'],
  second: ['second', 'ss', 's'],
  ms: ['millisecond', 'sss', 'ms'],
}
const COMPONENT_OF: ReadonlyMap<string, string> = new Map(
  Object.entries(COMPONENTS).flatMap(([component, names]) => names.map((name) => [name, component] as const)),
)

function componentOf(value: unknown): string {
  const name = toText(value, 'component')
  return (
    COMPONENT_OF.get(name.toLowerCase()) ??
    refuse('argument', `${show(name)} is no component of a date.${didYouMean(name, COMPONENT_OF.keys())}`)
  )
}

function part(component: string, time: CivilTime): number {
  switch (component) {
    case 'quarter':
      return Math.ceil(time.month / 3)
    case 'week':
      return isoWeek(time).week
    case 'hour12':
      return time.hour % 12 || 12
    default:
      return time[component as keyof CivilTime]
  }
}

/** Bounds of the components that can be set. */
const SETTABLE: Readonly<Record<string, readonly [number, number]>> = {
  year: [1, 9_999],
  month: [1, 12],
  day: [1, 31],
  hour: [0, 23],
  minute: [0, 59],
  second: [0, 59],
}

/** A day that the new month or year lacks becomes its last one, as java.time does. Parts below a second are dropped, as on the page. */
function setPart(component: string, value: number, date: DateValue): DateValue {
  const bounds = SETTABLE[component]
  if (bounds === undefined)
    refuse('argument', `${component} can't be set. Use year, month, day, hour, minute or second.`)
  if (value < bounds[0] || value > bounds[1])
    refuse('argument', `${component} ${value} is outside of ${bounds[0]} to ${bounds[1]}.`)
  const time = { ...date.civil(), [component]: value }
  const days = daysInMonth(time.year, time.month)
  if (component === 'day' && value > days)
    refuse('argument', `${time.year}-${time.month} has ${days} days, not ${value}.`)
  const local = localMsOf(time.year, time.month, Math.min(time.day, days), time.hour, time.minute, time.second)
  return new DateValue(date.zone.epochMs(local), date.zone)
}

function bindDate(context: FunctionContext, literals: readonly Literal[]) {
  const fixed = literals[1]?.value
  const literalPattern = typeof fixed === 'string' && fixed !== '' ? datePattern(fixed) : undefined
  return (value: unknown, format: unknown, fallback: unknown): DateValue | null => {
    if (value === null || value === undefined)
      return fallback === null || fallback === undefined ? null : toDate(fallback, context.zone, 'default date')
    if (format === null || format === undefined || format === '') return toDate(value, context.zone)
    if (value instanceof DateValue) return value
    const text = toText(value, 'date')
    const pattern = literalPattern ?? datePattern(toText(format, 'format'))
    return (
      pattern.parse(text.trim(), context.zone) ??
      refuse('argument', `${show(text)} doesn't fit the format ${show(format)}.`)
    )
  }
}

const bindFormat =
  (read: (value: unknown, zone: Zone) => DateValue) => (context: FunctionContext, literals: readonly Literal[]) => {
    const fixed = literals[1]?.value
    const literalPattern = typeof fixed === 'string' ? datePattern(fixed) : undefined
    return (value: unknown, format: unknown) =>
      (literalPattern ?? datePattern(toText(format, 'format'))).format(read(value, context.zone))
  }

function fromTimestamp(value: unknown): DateValue {
  if (value instanceof DateValue) return value.in(UTC)
  if (typeof value === 'number') return new DateValue(value)
  refuse('argument', `The timestamp is ${typeName(value)}, not a number of milliseconds. Use to_integer(…).`)
}

const PART_LIMITS = [
  ['year', 1, 9_999],
  ['month', 1, 12],
  ['day', 1, 31],
  ['hour', 0, 23],
  ['minute', 0, 59],
  ['second', 0, 59],
  ['nanosecond', 0, 999_999_999],
] as const

function makeDate(...given: unknown[]): DateValue {
  const values = PART_LIMITS.map(([name, low, high], index) => {
    const value = toWhole(given[index], name)
    return value >= low && value <= high
      ? value
      : refuse('argument', `The ${name} is ${value}, outside of ${low} to ${high}.`)
  }) as [number, number, number, number, number, number, number]
  const [year, month, day, hour, minute, second, nanosecond] = values
  const days = daysInMonth(year, month)
  if (day > days) refuse('argument', `${year}-${month} has ${days} days, not ${day}.`)
  const zone = toZone(given[7])
  return new DateValue(
    zone.epochMs(localMsOf(year, month, day, hour, minute, second, Math.floor(nanosecond / 1e6))),
    zone,
  )
}

/** CEL reads RFC 3339 only; a bare number of CEL is seconds while everything else here is milliseconds, so it is refused. */
function bindTimestamp({ clock, zone }: FunctionContext) {
  return (value?: unknown): unknown => {
    if (value === undefined) return clock?.() ?? null
    if (typeof value === 'number') refuse('argument', 'The unit of a bare number is not clear. Use date(milliseconds).')
    return toDate(value, zone)
  }
}

type CelPart = (time: CivilTime) => number

const celPart = (name: string, about: string, example: string, result: number, of: CelPart): FunctionSpec => ({
  name,
  group: 'CEL',
  form: 'method',
  signature: `date.${name}([zone])`,
  about,
  example,
  result,
  arity: [1, 2],
  bind: ({ zone: local }) => {
    return (value, zone) => {
      const date = toDate(value, local)
      return of((zone === undefined ? date.in(UTC) : date.in(toZone(zone))).civil())
    }
  },
})

const SAMPLE = 'timestamp("2024-01-15T14:30:45.123Z")'

export const dateFunctions: readonly FunctionSpec[] = [
  {
    name: 'now',
    group: 'Dates',
    signature: 'now()',
    about: 'The current time. Not available where a replay must give the same result.',
    example: 'now()',
    arity: [0, 0],
    needs: 'clock',
    givesDates: true,
    bind:
      ({ clock }) =>
      () =>
        new DateValue(clock!()),
  },
  {
    name: 'timestamp',
    group: 'Dates',
    signature: 'timestamp([text])',
    about:
      'Without an argument the current time in milliseconds (not in replays); with a text the date that it names, as in CEL.',
    example: 'timestamp("2019-10-23T11:24:00Z")',
    result: '2019-10-23T11:24:00Z',
    arity: [0, 1],
    needs: 'clock',
    givesDates: true,
    bind: bindTimestamp,
  },
  {
    name: 'format',
    group: 'Dates',
    signature: 'format(date, format)',
    about: 'A date written with a Java date pattern, in the date’s own zone.',
    example: 'format(date("2019-10-23T11:24:35+00:00"), "yyyy-MM-dd HH:mm:ss")',
    result: '2019-10-23 11:24:35',
    arity: [2, 2],
    bind: bindFormat(toDate),
  },
  {
    name: 'dformat',
    group: 'Dates',
    signature: 'dformat(milliseconds, format)',
    about: 'Milliseconds since 1970 written with a Java date pattern, in UTC.',
    example: `dformat(1571829875000, "yyyy-MM-dd'T'HH:mm:ss.SSSX")`,
    result: '2019-10-23T11:24:35.000Z',
    arity: [2, 2],
    bind: bindFormat(fromTimestamp),
  },
  {
    name: 'date',
    group: 'Dates',
    signature: 'date(text, [format], [default])',
    about:
      'The date that a text names, by a Java date pattern or one of the known formats; milliseconds also work. The default stands in for null.',
    example: 'date("2019-10-23 11:24", "yyyy-MM-dd HH:mm")',
    result: '2019-10-23T11:24:00Z',
    arity: [1, 3],
    seesNull: true,
    givesDates: true,
    bind: bindDate,
  },
  {
    name: 'date_part',
    group: 'Dates',
    signature: 'date_part(component, date)',
    about:
      'One component of a date: year, quarter, month, dayofyear, day, week (ISO), weekday (1 = Monday), hour, hh12, minute, second, millisecond.',
    example: 'date_part("MM", date("2019-10-17 11:55:12"))',
    result: 10,
    arity: [2, 2],
    bind: ({ zone }, literals) => {
      const fixed = typeof literals[0]?.value === 'string' ? componentOf(literals[0].value) : undefined
      return (component, date) => part(fixed ?? componentOf(component), toDate(date, zone).civil())
    },
  },
  {
    name: 'set_date_part',
    group: 'Dates',
    signature: 'set_date_part(component, value, date)',
    about: 'The date with one component replaced; parts below a second are dropped.',
    example: 'set_date_part("m", 4, date("2016-11-09T11:44:44.797"))',
    result: '2016-04-09T11:44:44Z',
    arity: [3, 3],
    givesDates: true,
    bind: ({ zone }) => {
      return (component, value, date) => setPart(componentOf(component), toWhole(value, 'value'), toDate(date, zone))
    },
  },
  {
    name: 'make_date_time',
    aliases: ['make_timestamp'],
    group: 'Dates',
    signature: 'make_date_time(year, month, day, hour, minute, second, nanosecond, zone)',
    about: 'The date of these parts in a time zone, to the millisecond.',
    example: 'make_date_time(2019, 10, 17, 11, 55, 12, 999, "America/Los_Angeles")',
    result: '2019-10-17T11:55:12-07:00',
    arity: [8, 8],
    givesDates: true,
    bind: () => makeDate,
  },
  {
    name: 'zone_date_to_utc',
    group: 'Dates',
    signature: 'zone_date_to_utc(date)',
    about: 'The same instant in UTC.',
    example: 'zone_date_to_utc("2019-10-17T11:55:12 PST")',
    result: '2019-10-17T19:55:12Z',
    arity: [1, 1],
    givesDates: true,
    bind: ({ zone }) => {
      return (date) => toDate(date, zone).in(UTC)
    },
  },
  {
    name: 'zone_date_to_zone',
    group: 'Dates',
    signature: 'zone_date_to_zone(date, zone)',
    about: 'The same instant in another zone.',
    example: 'zone_date_to_zone("2021-10-26T13:43:59Z", "Europe/Paris")',
    result: '2021-10-26T15:43:59+02:00',
    arity: [2, 2],
    givesDates: true,
    bind: ({ zone: local }) => {
      return (date, zone) => toDate(date, local).in(toZone(zone))
    },
  },
  celPart('getFullYear', 'Year of a date.', `${SAMPLE}.getFullYear()`, 2024, (time) => time.year),
  celPart('getMonth', 'Month of a date, 0 = January, as in CEL.', `${SAMPLE}.getMonth()`, 0, (time) => time.month - 1),
  celPart('getDate', 'Day of the month, from 1.', `${SAMPLE}.getDate()`, 15, (time) => time.day),
  celPart(
    'getDayOfMonth',
    'Day of the month, from 0, as in CEL.',
    `${SAMPLE}.getDayOfMonth()`,
    14,
    (time) => time.day - 1,
  ),
  celPart(
    'getDayOfWeek',
    'Day of the week, 0 = Sunday, as in CEL.',
    `${SAMPLE}.getDayOfWeek()`,
    1,
    (time) => time.weekday % 7,
  ),
  celPart(
    'getDayOfYear',
    'Day of the year, from 0, as in CEL.',
    `${SAMPLE}.getDayOfYear()`,
    14,
    (time) => time.dayOfYear - 1,
  ),
  celPart(
    'getHours',
    'Hour of a date, in UTC or in a zone.',
    `${SAMPLE}.getHours("America/New_York")`,
    9,
    (time) => time.hour,
  ),
  celPart('getMinutes', 'Minute of a date.', `${SAMPLE}.getMinutes()`, 30, (time) => time.minute),
  celPart('getSeconds', 'Second of a date.', `${SAMPLE}.getSeconds()`, 45, (time) => time.second),
  celPart('getMilliseconds', 'Millisecond of a date.', `${SAMPLE}.getMilliseconds()`, 123, (time) => time.ms),
]
