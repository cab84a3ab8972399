import { createReadStream } from 'node:fs'
import { createInterface } from 'node:readline'
import { pipeline, type Readable } from 'node:stream'
import { createGunzip } from 'node:zlib'
import { RtmlError } from '../app/errors.ts'

export interface FileRecord {
  readonly value: Buffer
  /** `file:line` of its first line. */
  readonly place: string
}

/** Rows of a CSV that one record carries, with the header line before them. */
const CSV_ROWS = 500

/** Opens a file of raw events; `.gz` is unpacked, `-` is standard input. */
export function openRawFile(path: string): Readable {
  if (path === '-') return process.stdin
  const file = createReadStream(path)
  if (!path.endsWith('.gz')) return file
  // Not pipe: an error of the file must end the reader too.
  return pipeline(file, createGunzip(), () => {})
}

/**
 * Cuts a stream of text into raw records. JSON: a value a line, or values that span lines (pretty-printed). CSV and TSV:
 * blocks of rows, each behind the header line. Everything else: a line is a record. A broken JSON value ends where a
 * line begins a new object, so that it doesn't swallow what follows; it is passed on as it is, for the mapper to reject.
 * @throws RtmlError DECODE when the stream breaks
 */
export async function* records(stream: Readable, name: string, format: string): AsyncGenerator<FileRecord> {
  const lines = linesOf(stream, name)
  if (format === 'csv' || format === 'tsv') yield* rows(lines, name)
  else if (format === 'snowplow-tsv') yield* singleLines(lines, name)
  else yield* jsonValues(lines, name)
}

/** @throws RtmlError DECODE when the stream breaks, such as a damaged .gz */
async function* linesOf(stream: Readable, name: string): AsyncGenerator<string> {
  try {
    yield* createInterface({ input: stream, crlfDelay: Number.POSITIVE_INFINITY })
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause)
    throw new RtmlError('DECODE', `can't be read to its end: ${reason}`, { place: name, cause })
  }
}

async function* singleLines(lines: AsyncIterable<string>, name: string): AsyncGenerator<FileRecord> {
  let number = 0
  for await (const line of lines) {
    number++
    if (line !== '') yield { value: Buffer.from(line), place: `${name}:${number}` }
  }
}

async function* rows(lines: AsyncIterable<string>, name: string): AsyncGenerator<FileRecord> {
  let header: string | undefined
  let block: string[] = []
  let number = 0
  let first = 2
  let quotes = 0
  for await (const line of lines) {
    number++
    if (header === undefined) {
      header = line
      continue
    }
    block.push(line)
    quotes += line.split('"').length - 1
    // Inside a quoted field a line's end is data.
    if (block.length >= CSV_ROWS && quotes % 2 === 0) {
      yield { value: Buffer.from([header, ...block].join('\n')), place: `${name}:${first}` }
      block = []
      quotes = 0
      first = number + 1
    }
  }
  if (header !== undefined && block.length > 0)
    yield { value: Buffer.from([header, ...block].join('\n')), place: `${name}:${first}` }
}

async function* jsonValues(lines: AsyncIterable<string>, name: string): AsyncGenerator<FileRecord> {
  let pending: string[] = []
  let depth = 0
  let first = 1
  let number = 0
  const take = (): FileRecord => ({ value: Buffer.from(pending.join('\n')), place: `${name}:${first}` })
  for await (const line of lines) {
    number++
    if (pending.length > 0 && line.startsWith('{') && !line.startsWith('{}')) {
      yield take()
      pending = []
      depth = 0
    }
    if (pending.length === 0) {
      if (line.trim() === '') continue
      first = number
    }
    pending.push(line)
    depth += balance(line)
    if (depth > 0) continue
    yield take()
    pending = []
    depth = 0
  }
  if (pending.length > 0) yield take()
}

/** Opening minus closing brackets of a line of JSON, outside of texts (which can't span lines). */
function balance(line: string): number {
  let depth = 0
  let isText = false
  for (let index = 0; index < line.length; index++) {
    const char = line.charCodeAt(index)
    if (isText) {
      if (char === 0x5c) index++
      else if (char === 0x22) isText = false
    } else if (char === 0x22) isText = true
    else if (char === 0x7b || char === 0x5b) depth++
    else if (char === 0x7d || char === 0x5d) depth--
  }
  return depth
}
