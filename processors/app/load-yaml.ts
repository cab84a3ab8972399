import {
  type Alias,
  type Document,
  isAlias,
  isMap,
  isScalar,
  isSeq,
  LineCounter,
  type Node,
  parseDocument,
  visit,
  type YAMLError,
} from 'yaml'
import { type Issue, type Path, type Position, type Problem, SourceMap } from './load-source-map.ts'

const MAX_FILE_BYTES = 1_048_576
/** Values after aliases are expanded: what stops an alias bomb. */
const MAX_VALUES = 100_000
const MAX_DEPTH = 64
/** Syntax errors that are kept; one slip often causes a train of them. */
const MAX_SYNTAX_ERRORS = 5

export interface YamlFile {
  /** Plain objects, arrays and scalars. Undefined when the text is not readable as YAML. */
  readonly value: unknown
  readonly source: SourceMap
  readonly problems: readonly Problem[]
}

/** The slip that `${NAME}` invites: inside { } and [ ] its braces are YAML's. */
function hint(line: string): string {
  return /[{[].*[^"']\$\{/.test(line) ? ' Inside { } and [ ], put a reference in quotes.' : ''
}

function lineAt(text: string, lines: LineCounter, line: number): string {
  return text.slice(lines.lineStarts[line - 1], lines.lineStarts[line] ?? text.length)
}

const REMEDY: Readonly<Record<string, string>> = {
  TAB_AS_INDENT: 'a tab is used as indentation. YAML wants spaces.',
  BLOCK_AS_IMPLICIT_KEY: 'a second ":" on the line. Put a text that contains ": " in quotes.',
  MULTIPLE_DOCS: 'a second document starts here. One file is one document: remove "---".',
}

/** Brackets, compact lists and columns of indentation that the parser may see: each level is a call, and it has no bound of its own. */
const MAX_NESTING = 300
const COMPACT = new RegExp(`(?:[-?:] ){${MAX_NESTING}}|^ {${MAX_NESTING * 2}}`, 'm')

/** Where the text is nested too deep, seen without parsing it; brackets in texts count as well. */
function deepAt(text: string): number | undefined {
  let depth = 0
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i)
    if (unit === 0x5b || unit === 0x7b) {
      if (++depth > MAX_NESTING) return i
    } else if ((unit === 0x5d || unit === 0x7d) && depth > 0) depth--
  }
  const found = text.search(COMPACT)
  return found < 0 ? undefined : found
}

/** YAML 1.2 → plain values with positions. Never throws; whatever is wrong becomes a problem. */
export function readYaml(text: string, file: string): YamlFile {
  const source = new SourceMap(file)
  const at = (position: Position, message: string): Problem => ({ file, ...position, path: '', message })
  const bytes = Buffer.byteLength(text)
  if (bytes > MAX_FILE_BYTES) {
    const message = `the file has ${bytes} bytes; the limit is ${MAX_FILE_BYTES}. Move mappings into files of their own.`
    return { value: undefined, source, problems: [at({ line: 1, col: 1 }, message)] }
  }
  const deep = deepAt(text)
  if (deep !== undefined) {
    const line = text.slice(0, deep).split('\n').length
    const col = deep - text.lastIndexOf('\n', deep - 1)
    const message = `nested deeper than ${MAX_NESTING} levels.`
    return { value: undefined, source, problems: [at({ line, col }, message)] }
  }
  const lines = new LineCounter()
  let document: Document.Parsed
  try {
    document = parseDocument(text, { lineCounter: lines, uniqueKeys: false, prettyErrors: false, version: '1.2' })
  } catch (error) {
    // The parser calls itself for each level, and there are forms of nesting that can't be seen from outside.
    if (!(error instanceof RangeError)) throw error
    const message = `nested deeper than ${MAX_NESTING} levels, or so damaged that it reads like that.`
    return { value: undefined, source, problems: [at({ line: 1, col: 1 }, message)] }
  }
  const faults: YAMLError[] = [...document.errors, ...document.warnings]
  if (faults.length > 0) {
    const problems = faults.slice(0, MAX_SYNTAX_ERRORS).map((fault) => {
      const { line, col } = lines.linePos(fault.pos[0])
      return at(
        { line, col },
        REMEDY[fault.code] ?? `not valid YAML: ${fault.message}.${hint(lineAt(text, lines, line))}`,
      )
    })
    return { value: undefined, source, problems }
  }
  if (document.contents === null) {
    const message = 'the file is empty. `rtml init` writes one to start from.'
    return { value: undefined, source, problems: [at({ line: 1, col: 1 }, message)] }
  }

  const issues: Issue[] = []
  const targets = aliasTargets(document)
  let values = 0
  const positionOf = (node: Node | null | undefined): Position | undefined => {
    const start = node?.range?.[0]
    if (start === undefined) return undefined
    const { line, col } = lines.linePos(start)
    return { line, col }
  }
  const walk = (node: unknown, path: Path, key: Position | undefined, open: readonly Node[]): unknown => {
    if (++values > MAX_VALUES) {
      if (values === MAX_VALUES + 1) {
        issues.push({
          path: [],
          message: `more than ${MAX_VALUES} values after aliases are expanded. Use fewer aliases.`,
        })
      }
      return null
    }
    const position = positionOf(node as Node | null) ?? key ?? { line: 1, col: 1 }
    source.record(path, position, key)
    if (path.length > MAX_DEPTH) {
      issues.push({ path, message: `nested deeper than ${MAX_DEPTH} levels.` })
      return null
    }
    if (isAlias(node)) {
      const target = targets.get(node)
      if (!target || open.includes(target)) {
        issues.push({ path, message: target ? `"*${node.source}" contains itself.` : `no anchor "&${node.source}".` })
        return null
      }
      return walk(target, path, key, [...open, target])
    }
    if (isScalar(node)) return scalar(node.value, path)
    if (isSeq(node)) return node.items.map((item, index) => walk(item, [...path, index], undefined, [...open, node]))
    if (!isMap(node)) return null
    const result: Record<string, unknown> = {}
    const seen = new Map<string, Position | undefined>()
    for (const pair of node.items) {
      const name = isScalar(pair.key) ? pair.key.value : undefined
      const where = positionOf(pair.key as Node)
      const complaint = keyProblem(name, seen)
      if (complaint !== undefined) {
        const below = [...path, typeof name === 'string' ? name : String(isScalar(pair.key) ? name : '?')]
        source.record(below, where ?? position, where)
        issues.push({ path: below, atKey: true, message: complaint })
        continue
      }
      seen.set(name as string, where)
      result[name as string] = walk(pair.value, [...path, name as string], where, [...open, node])
    }
    return result
  }
  const scalar = (value: unknown, path: Path): unknown => {
    if (typeof value === 'number' && Number.isInteger(value) && !Number.isSafeInteger(value)) {
      issues.push({ path, message: 'a whole number beyond 2^53 loses digits. Put it in quotes.' })
    }
    return value
  }
  const value = walk(document.contents, [], undefined, [])
  return {
    value: values > MAX_VALUES ? undefined : value,
    source,
    problems: issues.map((issue) => source.problem(issue)),
  }
}

/** Each alias with the node that it stands for. One walk: `Alias.resolve` would search the document for every alias. */
function aliasTargets(document: Document): Map<Alias, Node> {
  const anchors = new Map<string, Node>()
  const targets = new Map<Alias, Node>()
  visit(document, {
    Alias: (_, alias) => {
      const target = anchors.get(alias.source)
      if (target !== undefined) targets.set(alias, target)
    },
    Value: (_, node) => {
      if (node.anchor !== undefined) anchors.set(node.anchor, node)
    },
  })
  return targets
}

/** `constructor`, `toString`, `__proto__`…: they would be found in every plain object. */
const RESERVED = new Set(Object.getOwnPropertyNames(Object.prototype))

function keyProblem(name: unknown, seen: ReadonlyMap<string, Position | undefined>): string | undefined {
  if (typeof name !== 'string') {
    if (name === undefined) return 'a list or a map is used as a key. Keys are texts.'
    return `the key ${String(name)} is not a text. Write "${String(name)}".`
  }
  if (name === '<<') return 'merge keys (<<) are not supported. Repeat the keys, or use an alias for the whole value.'
  if (RESERVED.has(name)) return `${JSON.stringify(name)} is reserved. Use another name.`
  if (!seen.has(name)) return undefined
  const first = seen.get(name)
  return `${JSON.stringify(name)} stands twice in one map${first ? `, first in line ${first.line}` : ''}. Remove one.`
}
