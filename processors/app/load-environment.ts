import type { Issue, Path, SourceMap } from './load-source-map.ts'

/** `${NAME}`, `${NAME:-default}`; `$${` is a literal `${`. Names are upper-case, so CEL's `${First\.Name}` is not one. */
const REFERENCE = /\$\$\{|\$\{([A-Z_][A-Z0-9_]*)(?::-([^}]*))?\}|\$\{[^}]*\}?/g

export type Environment = (name: string) => string | undefined

/** Expressions and recorded events are taken as they stand: a value pasted into code would be code. */
const EXPRESSION_KEYS = new Set(['where', 'value', 'when', 'key', 'numerator', 'denominator', 'by', 'read', 'rule'])

function isVerbatim(path: Path): boolean {
  const [root, , third] = path
  if (root === 'tests') return true
  if (root === 'sources') return third === 'mapping' && path.length > 3
  if (root === 'features' || root === 'models') return path.length > 2 && EXPRESSION_KEYS.has(String(path.at(-1)))
  return root === 'entities' && third === 'key'
}

/**
 * Replaces references to environment variables in all texts of a tree, in place, and notes them in the source map.
 * @returns one issue a variable that is neither set nor has a default; values are never part of a message
 */
export function substitute(tree: unknown, env: Environment, source: SourceMap): Issue[] {
  const issues: Issue[] = []
  const visit = (value: unknown, path: Path): unknown => {
    if (isVerbatim(path)) return value
    if (typeof value === 'string') return value.includes('${') ? resolve(value, path) : value
    if (typeof value !== 'object' || value === null) return value
    for (const key of Array.isArray(value) ? value.keys() : Object.keys(value)) {
      const container = value as Record<string | number, unknown>
      container[key] = visit(container[key], [...path, key])
    }
    return value
  }
  const resolve = (text: string, path: Path): string => {
    let isReference = false
    const result = text.replace(REFERENCE, (match, name?: string, fallback?: string) => {
      if (match === '$${') return '${'
      if (name === undefined) {
        issues.push({
          path,
          message: `${JSON.stringify(match)} is no reference. Names are A–Z, 0–9 and _: \${NAME}, \${NAME:-default}; a literal is $\${.`,
        })
        return match
      }
      isReference = true
      const value = env(name)
      // As in a shell: with `:-`, an empty variable counts as unset.
      if (value !== undefined && (value !== '' || fallback === undefined)) return value
      if (fallback !== undefined) return fallback
      issues.push({
        path,
        message: `environment variable ${name} is not set. Set it, or give a default: \${${name}:-…}.`,
      })
      return match
    })
    if (isReference) source.refer(path, text)
    return result
  }
  visit(tree, [])
  return issues
}

/** Parts of the file that feed the feature-set version: their values must show in dumps, and cannot be secrets. */
const PUBLIC_ROOTS = new Set<unknown>(['features', 'entities', 'events'])

/**
 * Makes JSON dumps of an application show `${NAME}` where the value came from the environment: the object around it gets
 * a `toJSON` that is not enumerable (so it is not copied, compared or hashed).
 */
export function concealReferences(app: object, source: SourceMap): void {
  const byContainer = new Map<object, Map<string | number, string>>()
  for (const path of source.referencePaths()) {
    const last = path.at(-1)
    if (last === undefined || PUBLIC_ROOTS.has(path[0])) continue
    let container: unknown = app
    for (const step of path.slice(0, -1)) {
      container = typeof container === 'object' && container !== null ? Reflect.get(container, step) : undefined
    }
    if (typeof container !== 'object' || container === null) continue
    const hidden = byContainer.get(container) ?? new Map<string | number, string>()
    hidden.set(last, source.referenceAt(path) ?? '')
    byContainer.set(container, hidden)
  }
  for (const [container, hidden] of byContainer) {
    const toJSON = () => {
      const copy = (Array.isArray(container) ? [...container] : { ...container }) as Record<string | number, unknown>
      for (const [key, reference] of hidden) copy[key] = reference
      return copy
    }
    Object.defineProperty(container, 'toJSON', { value: toJSON, enumerable: false })
  }
}
