/** Mappings by name, by path or inline, with `extends` resolved. */
import { RtmlError } from '../app/errors.ts'
import { loadMapping as parseMapping } from '../app/load.ts'
import type { FieldRule, LetRule, MappingDefinition } from '../app/schema.ts'
import { didYouMean } from '../app/suggest.ts'

/** Mappings that come with rtml, in schemas/mappings. */
export const READY_MAPPINGS = [
  'adobe-analytics',
  'cloudevents',
  'ga4',
  'ga4-export',
  'json',
  'rudderstack',
  'segment',
  'shopify',
  'snowplow',
  'websdk',
  'xdm',
] as const

/** Longest chain of `extends`. */
const MAX_CHAIN = 8

/** @param file `schemas/mappings/<name>.yaml` (of the package) for a ready mapping, else the path as the application wrote it */
export type ReadFile = (file: string) => string | Promise<string>

/** Where a mapping's text is: a path is taken as it is, a bare name is a ready mapping. */
const mappingFile = (name: string): string => (/[./\\]/.test(name) ? name : `schemas/mappings/${name}.yaml`)

/**
 * Loads a mapping by name (`ga4`), by path (`./shop.yaml`), or completes an inline one.
 * @throws RtmlError CONFIG naming file, line, what was expected and the nearest name
 */
export async function loadMapping(mapping: string | MappingDefinition, readFile: ReadFile): Promise<MappingDefinition> {
  return resolve(mapping, readFile, [])
}

async function resolve(
  mapping: string | MappingDefinition,
  readFile: ReadFile,
  chain: readonly string[],
): Promise<MappingDefinition> {
  const place = typeof mapping === 'string' ? mappingFile(mapping) : `mapping ${mapping.mapping}`
  const path = [...chain, place]
  if (chain.includes(place) || chain.length >= MAX_CHAIN)
    throw new RtmlError('CONFIG', `extends goes in a circle: ${path.join(' → ')}`, { place })
  const definition = typeof mapping === 'string' ? await read(mapping, readFile) : mapping
  return definition.extends === undefined
    ? definition
    : extend(await resolve(definition.extends, readFile, path), definition)
}

async function read(name: string, readFile: ReadFile): Promise<MappingDefinition> {
  const file = mappingFile(name)
  let text: string
  try {
    text = await readFile(file)
  } catch (cause) {
    const message =
      file === name
        ? 'the mapping file cannot be read. Is the path right?'
        : `there is no ready mapping "${name}".${didYouMean(name, READY_MAPPINGS)} A file is written ./name.yaml`
    throw new RtmlError('CONFIG', message, { place: file, cause })
  }
  return parseMapping(text, file)
}

/** The child's settings win; fields and named values are joined by name; a bare `table` adds its entries to the parent's. */
function extend(parent: MappingDefinition, child: MappingDefinition): MappingDefinition {
  const { extends: _, ...own } = child
  const given = Object.fromEntries(Object.entries(own).filter(([, value]) => value !== undefined))
  return {
    ...parent,
    ...given,
    // json is what a file that says nothing gets: then the parent's format holds
    format: child.format === 'json' ? parent.format : child.format,
    ...(parent.let || child.let ? { let: joinRules<LetRule>(parent.let ?? {}, child.let ?? {}) } : {}),
    fields: joinRules<FieldRule>(parent.fields, child.fields),
  }
}

function joinRules<T extends LetRule | FieldRule>(
  parent: Record<string, T>,
  child: Record<string, T>,
): Record<string, T> {
  const joined: Record<string, T> = { ...parent }
  for (const [name, rule] of Object.entries(child)) {
    const before = joined[name]
    const isAddition =
      typeof rule === 'object' && rule.table !== undefined && rule.from === undefined && typeof before === 'object'
    joined[name] = isAddition ? { ...before, ...rule, table: { ...before.table, ...rule.table } } : rule
  }
  return joined
}
