/** Device identities as the Experience Cloud writes them, and the cookie that carries them. */
import { createHash, randomBytes } from 'node:crypto'

/** An ECID: two numbers of 63 bits, 19 decimal digits each. */
export const newEcid = (): string => digitsOf(randomBytes(16))

/** The ECID of a first-party device id: the same id gives the same ECID for one organisation, and says nothing about it. */
export const ecidOfFpid = (organization: string, fpid: string): string =>
  digitsOf(createHash('sha256').update(organization).update('\0').update(fpid).digest())

const HALF = (1n << 63n) - 1n
const HALF_DIGITS = 19

function digitsOf(bytes: Buffer): string {
  const half = (at: number) => (bytes.readBigUInt64BE(at) & HALF).toString().padStart(HALF_DIGITS, '0')
  return half(0) + half(8)
}

export const isEcid = (text: string): boolean => /^\d{38}$/.test(text)

/** `kndctr_<organisation, @ as _>_<name>`. Source: the Web SDK's cookie names. */
export const cookieName = (organization: string, name: string): string =>
  `kndctr_${organization.replaceAll('@', '_')}_${name}`

/** 395 days. */
export const IDENTITY_MAX_AGE_S = 34_128_000

const FIELD_ECID = 1
const FIELD_METADATA = 10
const FIELD_WRITE_TIME = 30
const METADATA_CREATED_AT = 1
const METADATA_DEVICE_TYPE = 3
const DEVICE_BROWSER = 1n

/**
 * Value of the identity cookie: Base64 of the protobuf message {1: ecid, 10: {1: created at, 3: device type}, 30: write time}.
 * Source: field numbers in adobe/alloy, packages/core/src/components/Identity/createDecodeKndctrCookie.js
 * @param now milliseconds since 1970
 */
export function identityCookie(ecid: string, now: number): string {
  const metadata = Buffer.concat([
    varintField(METADATA_CREATED_AT, BigInt(now)),
    varintField(METADATA_DEVICE_TYPE, DEVICE_BROWSER),
  ])
  return Buffer.concat([
    bytesField(FIELD_ECID, Buffer.from(ecid)),
    bytesField(FIELD_METADATA, metadata),
    varintField(FIELD_WRITE_TIME, BigInt(now)),
  ]).toString('base64')
}

/** The ECID of an identity cookie. @returns undefined when the value isn't one: it comes from outside */
export function ecidOfCookie(value: string): string | undefined {
  if (value.length > 512) return undefined
  // The SDK decodes the value as a URI component; Base64 may come in its URL form.
  const text = value.replaceAll('%2B', '+').replaceAll('%2F', '/').replaceAll('%3D', '=')
  const bytes = Buffer.from(text.replaceAll('-', '+').replaceAll('_', '/'), 'base64')
  // The field stands first wherever it was written: tag 0x0a, length 38, 38 digits.
  if (bytes[0] !== 0x0a || bytes[1] !== 38 || bytes.length < 40) return undefined
  const ecid = bytes.toString('latin1', 2, 40)
  return isEcid(ecid) ? ecid : undefined
}

function varint(value: bigint): Buffer {
  const bytes: number[] = []
  let rest = value
  for (; rest > 0x7fn; rest >>= 7n) bytes.push(Number(rest & 0x7fn) | 0x80)
  bytes.push(Number(rest))
  return Buffer.from(bytes)
}

const varintField = (field: number, value: bigint): Buffer => Buffer.concat([varint(BigInt(field << 3)), varint(value)])

const bytesField = (field: number, value: Buffer): Buffer =>
  Buffer.concat([varint(BigInt((field << 3) | 2)), varint(BigInt(value.length)), value])
