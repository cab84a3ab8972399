/** Takes personal data out of an event before anything else sees it: paths that are dropped, texts that are hashed. */
import { createHmac, hash } from 'node:crypto'
import { RtmlError } from '../app/errors.ts'
import type { Application } from '../app/schema.ts'
import { parsePath, type XdmSchema } from '../xdm/index.ts'
import { isObject } from './decode/types.ts'

type Change = (value: unknown) => unknown

/**
 * Compiles `privacy` of the application. The result changes nothing in place: parts of an event may belong to its record.
 * A path goes through lists by itself: `productListItems.name`, `identityMap.Email.id`.
 * @throws RtmlError CONFIG for an unknown path, a required one, a hash of something that is no text, or a missing key
 */
export function compilePrivacy(
  privacy: Application['privacy'],
  schema: XdmSchema,
  secrets: (env: string) => string | undefined,
): (event: Record<string, unknown>) => Record<string, unknown> {
  const steps: { segments: readonly string[]; change: Change }[] = []
  for (const path of privacy.drop) {
    const place = `privacy.drop.${path}`
    const segments = segmentsOf(path, schema, place)
    if (schema.isRequired(path) && segments.length === 1)
      throw new RtmlError('CONFIG', `${path} is required in every event and can't be dropped`, { place })
    steps.push({ segments, change: () => undefined })
  }
  for (const { path, keyEnv } of privacy.hash) {
    const place = `privacy.hash.${path}`
    const segments = segmentsOf(path, schema, place)
    if (path === 'timestamp') throw new RtmlError('CONFIG', 'a time has no hash that is a time', { place })
    const key = keyEnv === undefined ? undefined : secrets(keyEnv)
    if (keyEnv !== undefined && !key) throw new RtmlError('CONFIG', `set ${keyEnv} to the key of the hash`, { place })
    steps.push({ segments, change: key === undefined ? sha256 : hmac(key) })
  }
  if (steps.length === 0) return (event) => event
  return (event) => {
    let result: unknown = event
    for (const { segments, change } of steps) result = changeAt(result, segments, 0, change)
    return result as Record<string, unknown>
  }
}

const sha256: Change = (value) => (typeof value === 'string' ? hash('sha256', value, 'hex') : undefined)
const hmac =
  (key: string): Change =>
  (value) =>
    typeof value === 'string' ? createHmac('sha256', key).update(value).digest('hex') : undefined

function segmentsOf(path: string, schema: XdmSchema, place: string): string[] {
  const named = path.replace(/^\$tenant(?=\.|$)/, schema.tenant)
  const segments = parsePath(named)?.filter((segment) => segment !== '[]')
  if (segments && isKnown(schema, segments)) return segments
  const near = schema.nearest(named)
  throw new RtmlError('CONFIG', `there is no XDM path ${path}.${near ? ` Did you mean "${near}"?` : ''}`, { place })
}

function isKnown(schema: XdmSchema, segments: readonly string[]): boolean {
  let type = schema.typeAt(segments[0] as string)
  for (const segment of segments.slice(1)) {
    while (type?.kind === 'array') type = type.items
    if (type?.kind === 'map') type = type.values
    else if (type?.kind === 'record') type = type.fields.get(segment)?.type
    else return false
  }
  return type !== undefined
}

/** @returns the value with the change made in a copy, or the value itself when there is nothing at the path */
function changeAt(value: unknown, segments: readonly string[], at: number, change: Change): unknown {
  if (Array.isArray(value)) {
    const items = value.map((item) => changeAt(item, segments, at, change)).filter((item) => item !== undefined)
    return items.length === 0 ? undefined : items
  }
  if (at === segments.length) return change(value)
  if (!isObject(value)) return value
  const name = segments[at] as string
  if (!Object.hasOwn(value, name)) return value
  const changed = changeAt(value[name], segments, at + 1, change)
  if (changed === value[name]) return value
  const copy = { ...value }
  if (changed === undefined) delete copy[name]
  else copy[name] = changed
  return copy
}
