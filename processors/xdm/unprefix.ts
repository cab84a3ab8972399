const EXPERIENCE = 'https://ns.adobe.com/experience/'
const MAX_DEPTH = 64

/**
 * Turns names as the public XDM schemas write them into the platform's wire form, at every level:
 * `xdm:timestamp` → `timestamp`, `@id` → `_id`, `schema:latitude` → `_schema.latitude`, `dc:language` → `_dc.language`,
 * `https://ns.adobe.com/experience/mcid` → `_experience.mcid`. Names without prefix stay. An unprefixed object comes back equal.
 */
export function unprefix(input: object): Record<string, unknown> {
  return convert(input, 0) as Record<string, unknown>
}

function convert(value: unknown, depth: number): unknown {
  if (typeof value !== 'object' || value === null || depth > MAX_DEPTH) return value
  if (Array.isArray(value)) return value.map((item) => convert(item, depth + 1))
  const out: Record<string, unknown> = {}
  for (const [name, item] of Object.entries(value)) {
    if (name === '__proto__') continue
    const path = wirePath(name)
    let target = out
    for (const step of path.slice(0, -1)) {
      if (!Object.hasOwn(target, step)) target[step] = {}
      target = target[step] as Record<string, unknown>
    }
    target[path.at(-1)!] = convert(item, depth + 1)
  }
  return out
}

function wirePath(name: string): string[] {
  if (name.startsWith('xdm:')) return [name.slice(4)]
  if (name.startsWith('@')) return [`_${name.slice(1)}`]
  if (name.startsWith(EXPERIENCE)) return ['_experience', ...name.slice(EXPERIENCE.length).split('/')]
  const match = /^(schema|dc|iptc4xmp|xmp|xmpDM|repo):([A-Za-z]\w*)$/i.exec(name)
  return match ? [`_${match[1]!.toLowerCase()}`, match[2]!] : [name]
}
