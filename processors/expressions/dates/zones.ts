import '@js-joda/timezone'
import { Instant, LocalDateTime, ZonedDateTime, ZoneId, ZoneOffset } from '@js-joda/core'

/** A time zone: a fixed offset or a region with rules. */
export interface Zone {
  /** `Z`, `+02:00` or `Europe/Paris`. */
  readonly id: string
  /** Offset from UTC in seconds at an instant. */
  offsetAt(epochMs: number): number
  /**
   * The instant of a wall-clock time given as if it were UTC. In a gap the clock is moved on by the gap, in an overlap the earlier offset
   * holds: the rules of java.time.ZonedDateTime.ofLocal.
   */
  epochMs(localMs: number): number
}

/**
 * Abbreviations that have one meaning in practice, as fixed offsets in hours. `PST` is −8 also in summer, as on the Data Prep page.
 * `IST`, `CST` of China, `BST` of Bangladesh and the like are ambiguous; the meaning here is the one of RFC 822 and Europe.
 */
const ABBREVIATIONS: Readonly<Record<string, number>> = {
  UTC: 0,
  GMT: 0,
  UT: 0,
  WET: 0,
  WEST: 1,
  BST: 1,
  CET: 1,
  CEST: 2,
  EET: 2,
  EEST: 3,
  MSK: 3,
  EST: -5,
  EDT: -4,
  CST: -6,
  CDT: -5,
  MST: -7,
  MDT: -6,
  PST: -8,
  PDT: -7,
  AKST: -9,
  AKDT: -8,
  HST: -10,
  AST: -4,
  ADT: -3,
  NST: -3.5,
  NDT: -2.5,
  BRT: -3,
  JST: 9,
  KST: 9,
  AEST: 10,
  AEDT: 11,
  ACST: 9.5,
  ACDT: 10.5,
  AWST: 8,
  NZST: 12,
  NZDT: 13,
  SGT: 8,
  HKT: 8,
}

const LONG_NAMES: Readonly<Record<string, number>> = {
  'coordinated universal time': 0,
  'greenwich mean time': 0,
  'central european time': 1,
  'central european standard time': 1,
  'central european summer time': 2,
  'eastern standard time': -5,
  'eastern daylight time': -4,
  'central standard time': -6,
  'central daylight time': -5,
  'mountain standard time': -7,
  'mountain daylight time': -6,
  'pacific standard time': -8,
  'pacific daylight time': -7,
}

/** Zones that are kept; a job uses a handful, input could name many. */
const MAX_CACHED_ZONES = 1_000
const cache = new Map<string, Zone | undefined>()

export const UTC: Zone = fixed(0)

function fixed(seconds: number): Zone {
  return {
    id: seconds === 0 ? 'Z' : offsetText(seconds, ':'),
    offsetAt: () => seconds,
    epochMs: (localMs) => localMs - seconds * 1_000,
  }
}

function region(zoneId: ZoneId): Zone {
  const rules = zoneId.rules()
  return {
    id: zoneId.id(),
    offsetAt: (epochMs) => rules.offset(Instant.ofEpochMilli(epochMs)).totalSeconds(),
    epochMs(localMs) {
      const seconds = Math.floor(localMs / 1_000)
      const local = LocalDateTime.ofEpochSecond(seconds, (localMs - seconds * 1_000) * 1_000_000, ZoneOffset.UTC)
      return ZonedDateTime.of(local, zoneId).toInstant().toEpochMilli()
    },
  }
}

/** `+0200`, or `+02:00` with the separator `:`. */
export function offsetText(seconds: number, separator: ':' | ''): string {
  const minutes = Math.floor(Math.abs(seconds) / 60)
  const two = (value: number) => String(value).padStart(2, '0')
  return `${seconds < 0 ? '-' : '+'}${two(Math.floor(minutes / 60))}${separator}${two(minutes % 60)}`
}

/** Reads `Z`, `+02`, `+0200`, `+02:00`, `GMT+2`, `PST`, `Pacific Standard Time` or `Europe/Paris`. @returns undefined when it is none of these */
export function findZone(text: string): Zone | undefined {
  const known = cache.get(text)
  if (known !== undefined || cache.has(text)) return known
  const zone = readZone(text)
  if (cache.size >= MAX_CACHED_ZONES) cache.clear()
  cache.set(text, zone)
  return zone
}

function readZone(text: string): Zone | undefined {
  if (text.length === 0 || text.length > 64) return undefined
  const offset = /^(?:GMT|UTC)?([+-])(\d{1,2})(?::?(\d{2}))?(?::?(\d{2}))?$/i.exec(text)
  if (offset) return readOffset(offset)
  if (text === 'Z' || text === 'z') return UTC
  const hours = ABBREVIATIONS[text.toUpperCase()] ?? LONG_NAMES[text.toLowerCase()]
  if (hours !== undefined) return hours === 0 ? UTC : fixed(hours * 3_600)
  if (!/^[A-Za-z][A-Za-z0-9_+/-]*$/.test(text)) return undefined
  try {
    return region(ZoneId.of(text))
  } catch {
    return undefined // js-joda knows no such region
  }
}

function readOffset(match: RegExpExecArray): Zone | undefined {
  const [hours, minutes, seconds] = [Number(match[2]), Number(match[3] ?? 0), Number(match[4] ?? 0)]
  const total = hours * 3_600 + minutes * 60 + seconds
  if (minutes > 59 || seconds > 59 || total > 18 * 3_600) return undefined
  return total === 0 ? UTC : fixed(match[1] === '-' ? -total : total)
}

export const zoneNames = (): readonly string[] => ZoneId.getAvailableZoneIds()
