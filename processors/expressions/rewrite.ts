import { ExpressionError } from './errors.ts'
import { parseFieldPath, type Step } from './field-path.ts'

/**
 * Data Prep's spellings that CEL's grammar lacks, turned into ones that it has:
 * `${First\.Name}` and `address.street\.name` → index by text, `items[*]` → an index that is marked, `x -> x + 1` → two arguments.
 * The parser stays the library's; marks and positions lead back to what was written.
 */
export interface Rewritten {
  readonly text: string
  /** What the text literal at this position of `text` stands for: every element, or a name to be looked up in scope. */
  readonly marks: ReadonlyMap<number, 'each' | 'name'>
  /** Position in the source of a position in `text`. */
  sourceOf(position: number): number
}

const PLAIN_NAME = /^[A-Za-z_][A-Za-z0-9_]*$/
const NAME_START = /[\p{L}_$]/u
const NAME_PART = /[\p{L}\p{N}_$]/u

/** @throws ExpressionError `syntax` for an unclosed `${` and the like, with the column */
export function rewrite(source: string): Rewritten {
  const writer = new Writer(source)
  let at = 0
  while (at < source.length) {
    const char = source[at]!
    if (char === '"' || char === "'") at = copyString(writer, at, { raw: false })
    else if (char === '/' && source[at + 1] === '/') at = writer.copy(at, endOfLine(source, at))
    else if (char === '$' && source[at + 1] === '{') at = rewriteBraces(writer, at)
    else if (char === '[') at = rewriteBracket(writer, at)
    else if (char === '-' && source[at + 1] === '>') at = writer.replace(at, at + 2, ', ')
    else if (char >= '0' && char <= '9') at = writer.copy(at, endOfNumber(source, at))
    else if (NAME_START.test(char)) at = rewriteName(writer, at)
    else at = writer.copy(at, at + 1)
  }
  return writer
}

class Writer implements Rewritten {
  readonly marks = new Map<number, 'each' | 'name'>()
  text = ''
  readonly source: string
  /** Where each written run starts, ascending in `out`; `verbatim` runs map position by position. */
  readonly #runs: { out: number; source: number; verbatim: boolean }[] = []

  constructor(source: string) {
    this.source = source
  }

  copy(start: number, end: number): number {
    const last = this.#runs.at(-1)
    const continues = last?.verbatim && last.source + (this.text.length - last.out) === start
    if (!continues) this.#runs.push({ out: this.text.length, source: start, verbatim: true })
    this.text += this.source.slice(start, end)
    return end
  }

  replace(start: number, end: number, text: string): number {
    this.#runs.push({ out: this.text.length, source: start, verbatim: false })
    this.text += text
    return end
  }

  /** Takes back a dot at the end of what was written, so that a name after it can become an index. */
  takeDot(): boolean {
    const trimmed = this.text.trimEnd()
    if (!trimmed.endsWith('.')) return false
    this.text = trimmed.slice(0, -1)
    while (this.#runs.length > 0 && this.#runs.at(-1)!.out >= this.text.length) this.#runs.pop()
    return true
  }

  mark(offsetFromEnd: number, meaning: 'each' | 'name'): void {
    this.marks.set(this.text.length - offsetFromEnd, meaning)
  }

  sourceOf(position: number): number {
    let run = { out: 0, source: 0, verbatim: true }
    for (const candidate of this.#runs) {
      if (candidate.out > position) break
      run = candidate
    }
    return Math.min(this.source.length, run.verbatim ? run.source + (position - run.out) : run.source)
  }
}

function endOfLine(source: string, at: number): number {
  const end = source.indexOf('\n', at)
  return end === -1 ? source.length : end
}

function endOfNumber(source: string, start: number): number {
  let at = start
  while (at < source.length && /[0-9A-Za-z_]/.test(source[at]!)) at++
  return at
}

/** Copies a string literal as it is; an unclosed one is copied to the end, and the parser says what is wrong with it. */
function copyString(writer: Writer, start: number, { raw }: { raw: boolean }): number {
  const { source } = writer
  const quote = source[start]!
  const triple = source.startsWith(quote.repeat(3), start)
  const close = triple ? quote.repeat(3) : quote
  let at = start + close.length
  while (at < source.length && !source.startsWith(close, at)) at += source[at] === '\\' && !raw ? 2 : 1
  return writer.copy(start, Math.min(source.length, at + close.length))
}

function rewriteBraces(writer: Writer, start: number): number {
  const { source } = writer
  let end = start + 2
  while (end < source.length && source[end] !== '}') end += source[end] === '\\' ? 2 : 1
  if (end >= source.length) refuseAt(source, start, 'syntax', `A "\${" isn't closed with "}".`)
  return writeSteps(writer, start, end + 1, stepsAt(source, start, source.slice(start + 2, end)))
}

function stepsAt(source: string, at: number, path: string): Step[] {
  try {
    return parseFieldPath(path)
  } catch (error) {
    throw (error as ExpressionError).at(source, at + 1)
  }
}

function rewriteBracket(writer: Writer, start: number): number {
  const star = /\[\s*\*\s*\]/y
  star.lastIndex = start
  const found = star.exec(writer.source)
  return found === null
    ? writer.copy(start, start + 1)
    : writeSteps(writer, start, start + found[0].length, [{ kind: 'each' }])
}

function rewriteName(writer: Writer, start: number): number {
  const { source } = writer
  let name = ''
  let at = start
  while (at < source.length) {
    const escaped = source[at] === '\\' && at + 1 < source.length
    if (escaped) at++
    else if (!NAME_PART.test(source[at]!)) break
    name += source[at++]
  }
  const next = source[at]
  if (/^[bBrR]$/.test(name) && (next === '"' || next === "'")) {
    writer.copy(start, at)
    return copyString(writer, at, { raw: name === 'r' || name === 'R' })
  }
  if (at - start === name.length && PLAIN_NAME.test(name)) return writer.copy(start, at)
  return writeSteps(writer, start, at, [{ kind: 'name', name }])
}

/** Writes steps as indexes: after a dot or a bracket they go on from what stands before, else they start at the root. */
function writeSteps(writer: Writer, start: number, end: number, steps: readonly Step[]): number {
  const first = steps[0]!
  let continues = first.kind === 'each' || writer.takeDot()
  for (const step of steps) {
    const literal =
      step.kind === 'name' ? JSON.stringify(step.name) : step.kind === 'index' ? String(step.index) : '"*"'
    writer.replace(start, end, `${continues ? '' : 'root'}[${literal}]`)
    if (step.kind === 'each') writer.mark(literal.length + 1, 'each')
    else if (!continues) writer.mark(literal.length + 1, 'name')
    continues = true
  }
  return end
}

function refuseAt(source: string, at: number, kind: 'syntax', reason: string): never {
  throw new ExpressionError(kind, reason, { source, column: at + 1 })
}
