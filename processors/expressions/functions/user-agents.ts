import Bowser from 'bowser'
import { toText } from './arguments.ts'
import type { FunctionSpec } from './spec.ts'

interface UserAgent {
  readonly os: string | null
  readonly osVersion: string | null
  readonly agent: string | null
  readonly agentVersion: string | null
  readonly device: string
}

/** Parsing costs some tens of microseconds and traffic repeats a few thousand user agents. */
const MAX_CACHED = 5_000
/** Longer ones are cut: bowser tries dozens of patterns on them. */
const MAX_LENGTH = 1_000
const cache = new Map<string, UserAgent>()

function parseUserAgent(value: unknown): UserAgent {
  const text = toText(value, 'user agent').slice(0, MAX_LENGTH)
  const known = cache.get(text)
  if (known !== undefined) return known
  const parsed = read(text)
  if (cache.size >= MAX_CACHED) cache.clear()
  cache.set(text, parsed)
  return parsed
}

/** The page's names of device classes. */
const DEVICES: Readonly<Record<string, string>> = {
  mobile: 'Phone',
  tablet: 'Tablet',
  desktop: 'Desktop',
  tv: 'TV',
  bot: 'Robot',
}

function read(text: string): UserAgent {
  if (text.trim() === '') return { os: null, osVersion: null, agent: null, agentVersion: null, device: 'Unknown' }
  const result = Bowser.parse(text)
  const robot = /bot\b|crawler|spider|slurp/i.test(text)
  return {
    os: result.os.name ?? null,
    osVersion: result.os.version ?? null,
    agent: result.browser.name || null,
    agentVersion: result.browser.version ?? null,
    device: robot ? 'Robot' : (DEVICES[result.platform.type ?? ''] ?? 'Unknown'),
  }
}

const major = (version: string | null): string | null => version?.split('.')[0] ?? null
const joined = (name: string | null, version: string | null): string | null =>
  name === null ? null : version === null ? name : `${name} ${version}`

const SAMPLE =
  'Mozilla/5.0 (iPhone; CPU iPhone OS 5_1_1 like Mac OS X) AppleWebKit/534.46 (KHTML, like Gecko) Version/5.1 Mobile/9B206 Safari/7534.48.3'

const agentFunction = (
  name: string,
  about: string,
  result: string,
  of: (agent: UserAgent) => string | null,
): FunctionSpec => ({
  name,
  group: 'User agents',
  signature: `${name}(user agent)`,
  about,
  example: `${name}("${SAMPLE}")`,
  result,
  arity: [1, 1],
  bind: () => (value) => of(parseUserAgent(value)),
})

export const userAgentFunctions: readonly FunctionSpec[] = [
  agentFunction('ua_os_name', 'Name of the operating system.', 'iOS', (ua) => ua.os),
  agentFunction('ua_os_version_major', 'Name and major version of the operating system.', 'iOS 5', (ua) =>
    joined(ua.os, major(ua.osVersion)),
  ),
  agentFunction('ua_os_version', 'Version of the operating system.', '5.1.1', (ua) => ua.osVersion),
  agentFunction('ua_os_name_version', 'Name and version of the operating system.', 'iOS 5.1.1', (ua) =>
    joined(ua.os, ua.osVersion),
  ),
  agentFunction('ua_agent_version', 'Version of the browser.', '5.1', (ua) => ua.agentVersion),
  agentFunction('ua_agent_version_major', 'Name and major version of the browser.', 'Safari 5', (ua) =>
    joined(ua.agent, major(ua.agentVersion)),
  ),
  agentFunction('ua_agent_name', 'Name of the browser.', 'Safari', (ua) => ua.agent),
  agentFunction('ua_device_class', 'Phone, Tablet, Desktop, TV, Robot or Unknown.', 'Phone', (ua) => ua.device),
]
