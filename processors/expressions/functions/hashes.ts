import { hash } from 'node:crypto'
import { crc32 } from 'node:zlib'
import { refuse } from '../errors.ts'
import { show } from '../values.ts'
import { spend } from '../work.ts'
import { toText } from './arguments.ts'
import type { FunctionSpec } from './spec.ts'

/** Bytes of a text in a charset as Java encodes it: UTF-16 is big-endian with a byte order mark, what a charset lacks becomes `?`. */
function encode(text: string, charset: unknown): string | Buffer {
  const name = charset === undefined || charset === null ? 'UTF-8' : toText(charset, 'charset')
  switch (name.toUpperCase()) {
    case 'UTF-8':
    case 'UTF8':
      return text
    case 'UTF-16':
      return Buffer.concat([Buffer.of(0xfe, 0xff), Buffer.from(text, 'utf16le').swap16()])
    case 'UTF-16BE':
      return Buffer.from(text, 'utf16le').swap16()
    case 'UTF-16LE':
      return Buffer.from(text, 'utf16le')
    case 'ISO-8859-1':
    case 'LATIN1':
      return Buffer.from(replaceAbove(text, 0xff), 'latin1')
    case 'US-ASCII':
    case 'ASCII':
      return Buffer.from(replaceAbove(text, 0x7f), 'latin1')
    default:
      refuse('argument', `${show(name)} is no charset that is known. Use UTF-8, UTF-16, ISO-8859-1 or US-ASCII.`)
  }
}

function replaceAbove(text: string, last: number): string {
  let replaced = ''
  for (const character of text) replaced += character.codePointAt(0)! > last ? '?' : character
  return replaced
}

const digest = (algorithm: string) => () => (input: unknown, charset: unknown) => {
  const text = toText(input, 'input')
  spend(text.length / 16)
  return hash(algorithm, encode(text, charset), 'hex')
}

/** Eight hexadecimal digits, lowest byte first: that is how Guava, and so Data Prep's own example, writes a CRC. */
function checksum(input: unknown, charset: unknown): string {
  const text = toText(input, 'input')
  spend(text.length / 16)
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32LE(crc32(encode(text, charset)))
  return bytes.toString('hex')
}

const hashFunction = (name: string, title: string, result: string): FunctionSpec => ({
  name,
  group: 'Hashes',
  signature: `${name}(input, [charset])`,
  about: `${title} of a text, in hexadecimal. Charsets: UTF-8 (default), UTF-16, ISO-8859-1, US-ASCII.`,
  example: `${name}("my text", "UTF-8")`,
  result,
  arity: [1, 2],
  bind: name === 'crc32' ? () => checksum : digest(name),
})

export const hashFunctions: readonly FunctionSpec[] = [
  hashFunction('sha1', 'SHA-1', 'c3599c11e47719df18a2448690840c5dfcce3c80'),
  hashFunction('sha256', 'SHA-256', '7330d2b39ca35eaf4cb95fc846c21ee6a39af698154a83a586ee270a0d372104'),
  hashFunction(
    'sha512',
    'SHA-512',
    'a3d7e45a0d9be5fd4e4b9a3b8c9c2163c21ef708bf11b4232bb21d2a8704ada2cdcd7b367dd0788a89a5c908cfe377aceb1072a7b386b7d4fd2ff68a8fd24d16',
  ),
  hashFunction('md5', 'MD5', 'd3b96ce8c9fb4e9bd0198d03ba6852c7'),
  hashFunction('crc32', 'CRC-32, lowest byte first,', '8df92e80'),
]
