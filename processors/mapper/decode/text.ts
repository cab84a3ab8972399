import { isAscii, isUtf8 } from 'node:buffer'
import { refuse } from './types.ts'

/**
 * Bytes as text: strict UTF-8, a byte order mark is left out.
 * @returns the text, or a DECODE rejection
 */
export function textOf(bytes: Buffer): { ok: true; text: string } | ReturnType<typeof refuse> {
  // latin1 decoding of ASCII is about twice as fast as UTF-8 decoding
  if (isAscii(bytes)) return { ok: true, text: bytes.toString('latin1') }
  if (bytes.length >= 2 && ((bytes[0] === 0xff && bytes[1] === 0xfe) || (bytes[0] === 0xfe && bytes[1] === 0xff)))
    return refuse('DECODE', '', 'the text is UTF-16; send UTF-8')
  if (!isUtf8(bytes)) return refuse('DECODE', '', 'the bytes are not valid UTF-8')
  const hasMark = bytes[0] === 0xef && bytes[1] === 0xbb && bytes[2] === 0xbf
  return { ok: true, text: bytes.toString('utf8', hasMark ? 3 : 0) }
}
