// Writes what is made from the schemas: the JSON Schema of the application file, its reference, the Avro schemas.
// `node bin/generate.ts` writes, `node bin/generate.ts --check` only compares (exit code 1 when something is stale).
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { jsonSchema, referenceMarkdown, SCHEMA_FILE } from '../processors/app/json-schema.ts'
import { cliMarkdown } from '../processors/cli/markdown.ts'
import { EXAMPLES_SCHEMA, examplesMarkdown } from '../processors/outputs/examples.ts'
import { SCORES_SCHEMA, scoresMarkdown } from '../processors/outputs/scores.ts'

const ROOT = join(import.meta.dirname, '..')
const SECTION = /(<!-- generated [^\n]*-->\n)[\s\S]*?(<!-- end of generated -->)/

/** Path → content that belongs there. */
export function generated(): Map<string, string> {
  return new Map([
    [SCHEMA_FILE, json(jsonSchema())],
    // The Python package carries its own copy of the graph's schema, so that an installed wheel has it.
    ['models/python/src/rtml/graph.schema.json', read('schemas/graph.schema.json') ?? ''],
    ['schemas/avro/profile-scores.avsc', json(SCORES_SCHEMA)],
    ['schemas/avro/training-example.avsc', json(EXAMPLES_SCHEMA)],
    ['docs/application-file.md', withSection('docs/application-file.md', referenceMarkdown())],
    ['docs/outputs.md', withSection('docs/outputs.md', scoresMarkdown())],
    ['docs/labels-and-examples.md', withSection('docs/labels-and-examples.md', examplesMarkdown())],
    ['docs/cli.md', withSection('docs/cli.md', cliMarkdown())],
  ])
}

export function read(path: string): string | undefined {
  try {
    return readFileSync(join(ROOT, path), 'utf8')
  } catch {
    return undefined
  }
}

const json = (value: unknown): string => `${JSON.stringify(value, undefined, 2)}\n`

function withSection(path: string, section: string): string {
  const page = read(path) ?? ''
  if (!SECTION.test(page)) throw new Error(`${path} has no generated section: put both comment lines back`)
  return page.replace(SECTION, (_, begin: string, end: string) => `${begin}\n${section}\n${end}`)
}

function main(options: { check: boolean }): number {
  const stale = [...generated()].filter(([path, content]) => read(path) !== content)
  for (const [path, content] of stale) {
    if (!options.check) writeFileSync(join(ROOT, path), content)
    process.stdout.write(`${options.check ? 'stale' : 'wrote'} ${path}\n`)
  }
  return options.check && stale.length > 0 ? 1 : 0
}

if (process.argv[1] === fileURLToPath(import.meta.url))
  process.exitCode = main({ check: process.argv.includes('--check') })
