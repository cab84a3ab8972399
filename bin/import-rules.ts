// Imports point one way: topology → runtime → {mapper, features, scorer, decisions, learner} → expressions → app.
// `node bin/import-rules.ts` prints what breaks the rules (exit code 1); `npm run check` and a test run the same.
import { globSync, readFileSync } from 'node:fs'
import { join, posix } from 'node:path'
import { fileURLToPath } from 'node:url'

const ROOT = join(import.meta.dirname, '..')

/** Folder of processors/ → what it may import besides itself: folders, or single files. A folder that isn't here is free. */
export const MAY_IMPORT: Readonly<Record<string, readonly string[]>> = {
  app: [],
  onnx: [],
  expressions: ['app'],
  xdm: ['app'],
  mapper: ['app', 'expressions', 'xdm'],
  features: ['app', 'expressions'],
  // Rules read what the kernel keeps; scores come as numbers.
  decisions: ['app', 'expressions', 'features'],
  // A graph runs as a model: it knows tensors and hashes, nothing of plans and pools.
  graph: ['app', 'expressions', 'scorer/half.ts', 'scorer/hash.ts', 'scorer/types.ts'],
  // The scorer reads vectors: the types of features, not their code.
  scorer: ['app', 'expressions', 'graph', 'onnx', 'features/types.ts'],
  // The gallery adds up records of models; whoever reads and writes them stands in runtime.
  gallery: ['app'],
  // Learners are mathematics over vectors: no clock, no randomness, no I/O of their own.
  learner: ['app', 'expressions', 'onnx', 'features/types.ts'],
  // Outputs are formats: they know the application, and the types of what they write.
  outputs: ['app', 'features/types.ts', 'scorer/types.ts'],
  // Engines implement the ports and know nothing above them.
  engine: ['app'],
  runtime: [
    'app',
    'decisions',
    'engine/murmur2.ts',
    'engine/ports.ts',
    'expressions',
    'features',
    'gallery',
    'graph',
    'learner',
    'mapper',
    'onnx',
    'outputs',
    'scorer',
    'xdm',
  ],
}

/** Files of ours → what they import of ours, as paths from the root. */
export function importsOf(options: { loadedOnly: boolean } = { loadedOnly: false }): Map<string, string[]> {
  const files = globSync('{processors,test,examples,bin}/**/*.ts', { cwd: ROOT }).map((file) =>
    file.replaceAll('\\', '/'),
  )
  return new Map(files.map((file) => [file, importsIn(readFileSync(join(ROOT, file), 'utf8'), file, options)]))
}

/** Relative imports and re-exports. `loadedOnly`: without those of types, which are erased. */
function importsIn(source: string, file: string, { loadedOnly }: { loadedOnly: boolean }): string[] {
  const text = loadedOnly ? source.replaceAll(/(^|\n)(import|export) type [^;'"]*?from\s*'[^']*'/g, '$1') : source
  const found = text.matchAll(
    /(?:^|\n)\s*(?:import|export)\b[^'"`;]*?from\s*'(\.[^']+)'|import\(\s*'(\.[^']+)'\s*\)|(?:^|\n)import\s*'(\.[^']+)'/g,
  )
  return [...found].map((match) => posix.join(posix.dirname(file), (match[1] ?? match[2] ?? match[3])!))
}

/** `file → target` of every import that its folder may not have. */
export function forbiddenImports(imports: ReadonlyMap<string, readonly string[]>): string[] {
  return [...imports].flatMap(([file, targets]) => {
    const folder = /^processors\/([^/]+)\//.exec(file)?.[1]
    const allowed = folder === undefined ? undefined : MAY_IMPORT[folder]
    if (!allowed) return []
    return targets.filter((target) => !isAllowed(target, [folder!, ...allowed])).map((target) => `${file} → ${target}`)
  })
}

function isAllowed(target: string, allowed: readonly string[]): boolean {
  if (!target.startsWith('processors/')) return true
  const path = target.slice('processors/'.length)
  return allowed.some((place) => path === place || path.startsWith(`${place}/`))
}

/** Circles of files that load each other. A circle of types is none at run time. */
export function circles(loaded: ReadonlyMap<string, readonly string[]>): string[] {
  const done = new Set<string>()
  const open: string[] = []
  const found: string[] = []
  const visit = (file: string): void => {
    if (open.includes(file)) found.push([...open.slice(open.indexOf(file)), file].join(' → '))
    if (open.includes(file) || done.has(file)) return
    open.push(file)
    for (const target of loaded.get(file) ?? []) visit(target)
    open.pop()
    done.add(file)
  }
  for (const file of loaded.keys()) visit(file)
  return found
}

function main(): number {
  const broken = [...forbiddenImports(importsOf()), ...circles(importsOf({ loadedOnly: true }))]
  for (const line of broken) process.stdout.write(`${line}\n`)
  return broken.length > 0 ? 1 : 0
}

if (process.argv[1] === fileURLToPath(import.meta.url)) process.exitCode = main()
