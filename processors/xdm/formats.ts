import { fullFormats } from 'ajv-formats/dist/formats.js'
import type { TextFormat } from './types.ts'

const matcher = (name: 'uri' | 'ipv4' | 'ipv6'): ((text: string) => boolean) => {
  const format = fullFormats[name] as RegExp | ((text: string) => boolean)
  return typeof format === 'function' ? format : (text) => format.test(text)
}

/** The one definition of each text format: `conform` and `validate` share it. */
export const FORMATS: Readonly<Record<TextFormat, (text: string) => boolean>> = {
  uri: matcher('uri'),
  'uri-reference': () => true,
  ipv4: matcher('ipv4'),
  ipv6: matcher('ipv6'),
}
