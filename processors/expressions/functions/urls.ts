import { refuse } from '../errors.ts'
import { type Fields, setField, show } from '../values.ts'
import { spend } from '../work.ts'
import { toText } from './arguments.ts'
import type { FunctionSpec } from './spec.ts'

/** The parts of a URL as they are written: nothing is lower-cased, decoded or normalised, so that odd paths survive. */
interface UrlParts {
  readonly protocol: string
  readonly host: string
  readonly port: number | null
  readonly path: string
  readonly query: string | null
  readonly anchor: string | null
}

/** Default ports of schemes. Source: IANA registries of URI schemes and ports. */
const DEFAULT_PORTS: Readonly<Record<string, number>> = {
  http: 80,
  https: 443,
  ws: 80,
  wss: 443,
  ftp: 21,
  ftps: 990,
  sftp: 22,
  ssh: 22,
  ldap: 389,
  ldaps: 636,
  imap: 143,
  smtp: 25,
  telnet: 23,
  mqtt: 1883,
  amqp: 5672,
  redis: 6379,
}

/** RFC 3986, appendix B, with an authority. @returns null for anything that isn't an absolute URL with a host */
function parseUrl(value: unknown): UrlParts | null {
  const text = toText(value, 'URL').trim()
  spend(text.length / 32)
  const start = /^([A-Za-z][A-Za-z0-9+.-]*):\/\/([^/?#]*)/.exec(text)
  if (start === null || /[\s<>"{}|\\^`]/.test(start[2]!)) return null
  const authority = start[2]!.slice(start[2]!.lastIndexOf('@') + 1)
  const place = /^(\[[0-9A-Fa-f:.]+\]|[^:[\]]*)(?::(\d*))?$/.exec(authority)
  if (place === null || (place[1] === '' && start[1]!.toLowerCase() !== 'file')) return null
  const port = place[2] ? Number(place[2]) : (DEFAULT_PORTS[start[1]!.toLowerCase()] ?? null)
  if (port !== null && port > 65_535) return null
  const rest = text.slice(start[0].length)
  const hash = rest.indexOf('#')
  const beforeAnchor = hash === -1 ? rest : rest.slice(0, hash)
  const mark = beforeAnchor.indexOf('?')
  return {
    protocol: start[1]!,
    host: place[1]!,
    port,
    path: mark === -1 ? beforeAnchor : beforeAnchor.slice(0, mark),
    query: mark === -1 ? null : beforeAnchor.slice(mark + 1),
    anchor: hash === -1 ? null : rest.slice(hash + 1),
  }
}

function path(url: unknown, full: unknown = true): string | null {
  const parts = parseUrl(url)
  if (parts === null || full !== false) return parts?.path ?? null
  return parts.path.slice(parts.path.lastIndexOf('/') + 1)
}

function query(url: unknown, anchor: unknown): Fields | null {
  const how = toText(anchor, 'anchor')
  if (how !== 'retain' && how !== 'remove' && how !== 'append')
    refuse('argument', `The anchor is ${show(how)}. Use "retain", "remove" or "append".`)
  const parts = parseUrl(url)
  if (parts === null) return null
  const found: Fields = {}
  const suffix = how === 'retain' && parts.anchor !== null ? `#${parts.anchor}` : ''
  const pairs = ((parts.query ?? '') + suffix).split('&')
  spend(pairs.length)
  for (const pair of pairs) {
    const at = pair.indexOf('=')
    const name = decodeQuery(at === -1 ? pair : pair.slice(0, at))
    if (name !== '') setField(found, name, at === -1 ? '' : decodeQuery(pair.slice(at + 1)))
  }
  if (how === 'append' && parts.anchor !== null) setField(found, '_anchor_', parts.anchor)
  return found
}

function decodeQuery(text: string): string {
  if (!text.includes('%') && !text.includes('+')) return text
  return decode(text.replaceAll('+', ' ')) ?? text
}

function decode(text: string): string | null {
  try {
    return decodeURIComponent(text)
  } catch {
    return null // a % that isn't followed by two digits, or bytes that aren't UTF-8
  }
}

/** Everything that the page's table of reserved characters lists is encoded, also `!'()*~` that encodeURIComponent leaves. */
function encode(text: string): string {
  spend(text.length / 8)
  return encodeURIComponent(text.toWellFormed()).replaceAll(
    /[!'()*~]/g,
    (character) => `%${character.charCodeAt(0).toString(16).toUpperCase()}`,
  )
}

export const urlFunctions: readonly FunctionSpec[] = [
  {
    name: 'get_url_protocol',
    group: 'URLs',
    signature: 'get_url_protocol(url)',
    about: 'Protocol of a URL; null when it isn’t one.',
    example: 'get_url_protocol("https://platform.adobe.com/home")',
    result: 'https',
    arity: [1, 1],
    bind: () => (url) => parseUrl(url)?.protocol ?? null,
  },
  {
    name: 'get_url_host',
    group: 'URLs',
    signature: 'get_url_host(url)',
    about: 'Host of a URL; null when it isn’t one.',
    example: 'get_url_host("https://platform.adobe.com/home")',
    result: 'platform.adobe.com',
    arity: [1, 1],
    bind: () => (url) => parseUrl(url)?.host ?? null,
  },
  {
    name: 'get_url_port',
    group: 'URLs',
    signature: 'get_url_port(url)',
    about: 'Port of a URL, the protocol’s usual one when none is written; null when there is none.',
    example: 'get_url_port("sftp://example.com//home/joe/employee.csv")',
    result: 22,
    arity: [1, 1],
    bind: () => (url) => parseUrl(url)?.port ?? null,
  },
  {
    name: 'get_url_path',
    group: 'URLs',
    signature: 'get_url_path(url, [full])',
    about: 'Path of a URL; with false as second argument only what follows its last slash.',
    example: 'get_url_path("sftp://example.com//home/joe/employee.csv")',
    result: '//home/joe/employee.csv',
    arity: [1, 2],
    bind: () => path,
  },
  {
    name: 'get_url_query_str',
    group: 'URLs',
    signature: 'get_url_query_str(url, anchor)',
    about:
      'Decoded query parameters as a map; the anchor is "retain"-ed on the last value, "remove"-d, or "append"-ed as _anchor_.',
    example: 'get_url_query_str("foo://example.com:8042/over/there?name=ferret#nose", "append")',
    result: { name: 'ferret', _anchor_: 'nose' },
    arity: [2, 2],
    bind: () => query,
  },
  {
    name: 'get_url_encoded',
    group: 'URLs',
    signature: 'get_url_encoded(text)',
    about: 'The text with reserved characters as %XX.',
    example: 'get_url_encoded("https://example.com/partneralliance_asia-pacific_2022")',
    result: 'https%3A%2F%2Fexample.com%2Fpartneralliance_asia-pacific_2022',
    arity: [1, 1],
    bind: () => (text) => encode(toText(text, 'text')),
  },
  {
    name: 'get_url_decoded',
    group: 'URLs',
    signature: 'get_url_decoded(text)',
    about: 'The text with %XX decoded; null when that isn’t possible.',
    example: 'get_url_decoded("https%3A%2F%2Fexample.com%2Fpartneralliance_asia-pacific_2022")',
    result: 'https://example.com/partneralliance_asia-pacific_2022',
    arity: [1, 1],
    bind: () => (text) => decode(toText(text, 'text')),
  },
]
