/** Real payloads of each ready mapping, from the golden files: what mutations begin with. */
import { readdirSync, readFileSync } from 'node:fs'
import { headers, testdata } from '../unit/mapper/harness.ts'

export interface Payload {
  readonly file: string
  readonly headers: Readonly<Record<string, Buffer>>
  /** Text of a format that isn't JSON; else `body`. */
  readonly text: string | undefined
  readonly body: unknown
}

export function payloadsOf(mapping: string): Payload[] {
  const folder = new URL(`${mapping}/`, testdata)
  return readdirSync(folder)
    .filter((file) => file.endsWith('.in.json'))
    .map((file) => {
      const parsed = JSON.parse(readFileSync(new URL(file, folder), 'utf8')) as {
        headers?: Record<string, string>
        text?: string
        body?: unknown
      }
      return { file, headers: headers(parsed.headers ?? {}), text: parsed.text, body: parsed.body }
    })
}
