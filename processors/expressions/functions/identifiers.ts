import type { Random } from '../../app/units.ts'
import type { FunctionSpec } from './spec.ts'

/** Version 4 of RFC 9562 from 16 random bytes; as good as the random numbers that are given. */
function uuid(random: Random): string {
  let hex = ''
  for (let index = 0; index < 16; index++) {
    let byte = Math.floor(random() * 256)
    if (index === 6) byte = (byte & 0x0f) | 0x40
    if (index === 8) byte = (byte & 0x3f) | 0x80
    hex += byte.toString(16).padStart(2, '0')
  }
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-')
}

export const identifierFunctions: readonly FunctionSpec[] = [
  {
    name: 'uuid',
    aliases: ['guid'],
    group: 'Identifiers',
    signature: 'uuid()',
    about: 'A random UUID. Not available where a replay must give the same result.',
    example: 'uuid()',
    arity: [0, 0],
    needs: 'random',
    bind:
      ({ random }) =>
      () =>
        uuid(random!),
  },
]

/** Names of the page that exist there and can't exist here, with the reason. */
export const REFUSED_FUNCTIONS: ReadonlyMap<string, string> = new Map([
  [
    'fpid_to_ecid',
    'fpid_to_ecid is not available: how an ECID is derived from an FPID is not published, and an invented ECID would never meet the one that the same device has elsewhere. Map the FPID itself: identityMap.FPID[0].id ← fpid.',
  ],
])
