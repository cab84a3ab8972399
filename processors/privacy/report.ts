/** The report on an erasure: what was found and removed, what is left until when; signed, so that it can be shown later. */
import {
  createHmac,
  createPrivateKey,
  createPublicKey,
  type KeyObject,
  sign,
  timingSafeEqual,
  verify,
} from 'node:crypto'
import { readFileSync } from 'node:fs'
import { RtmlError } from '../app/errors.ts'
import { canonicalJson } from '../features/canonical.ts'
import type { ErasureReport } from './report-schema.ts'

type Env = (name: string) => string | undefined

/** Every variable, for docs and messages. */
export const REPORT_VARIABLES = {
  RTML_REPORT_KEY: 'secret of at least 32 characters: reports are signed with HMAC-SHA256',
  RTML_REPORT_KEY_FILE:
    'PEM file with an Ed25519 private key: reports are signed with it; its public key is enough to verify',
} as const

const SECRET_CHARS = 32

type ReportKey =
  | { readonly kind: 'secret'; readonly secret: string }
  | { readonly kind: 'pair'; readonly privateKey: KeyObject | undefined; readonly publicKey: KeyObject }

/** @throws RtmlError CONFIG when a setting isn't valid */
function keyFrom(env: Env): ReportKey | undefined {
  const file = env('RTML_REPORT_KEY_FILE')
  const secret = env('RTML_REPORT_KEY')
  if (file) return pairFrom(file)
  if (!secret) return undefined
  if (secret.length >= SECRET_CHARS) return { kind: 'secret', secret }
  const message = `has ${secret.length} characters; a secret that can't be guessed has at least ${SECRET_CHARS}. Make one: openssl rand -hex 32`
  throw new RtmlError('CONFIG', message, { place: 'RTML_REPORT_KEY' })
}

function pairFrom(file: string): ReportKey {
  try {
    const pem = readFileSync(file)
    const isPublic = pem.includes('PUBLIC KEY')
    const privateKey = isPublic ? undefined : createPrivateKey(pem)
    const publicKey = createPublicKey(pem)
    if (publicKey.asymmetricKeyType !== 'ed25519') throw new Error(`it is a key for ${publicKey.asymmetricKeyType}`)
    return { kind: 'pair', privateKey, publicKey }
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause)
    const message = `${file} is no Ed25519 key in PEM (${reason}). Make one: openssl genpkey -algorithm ed25519 -out report.pem`
    throw new RtmlError('CONFIG', message, { place: 'RTML_REPORT_KEY_FILE', cause })
  }
}

/** Signs a report with the key that the environment names; without one it stays unsigned. @throws RtmlError CONFIG */
export function signed(report: Omit<ErasureReport, 'signature'>, env: Env): ErasureReport {
  const key = keyFrom(env)
  if (key === undefined) return { ...report, signature: null }
  const bytes = bytesOf(report)
  if (key.kind === 'secret') {
    const value = createHmac('sha256', key.secret).update(bytes).digest('base64')
    return { ...report, signature: { algorithm: 'HMAC-SHA256', keyId: keyId(key), value } }
  }
  if (key.privateKey === undefined)
    throw new RtmlError('CONFIG', 'a public key can verify reports, but not sign them.', {
      place: 'RTML_REPORT_KEY_FILE',
    })
  const value = sign(null, bytes, key.privateKey).toString('base64')
  return { ...report, signature: { algorithm: 'Ed25519', keyId: keyId(key), value } }
}

/** `none`: the report carries no signature, or there is no key to check it with. */
export function checkSignature({ signature, ...report }: ErasureReport, env: Env): 'valid' | 'wrong' | 'none' {
  const key = keyFrom(env)
  if (signature === null || key === undefined) return 'none'
  const bytes = bytesOf(report)
  const value = Buffer.from(signature.value, 'base64')
  if (key.kind === 'pair') {
    return signature.algorithm === 'Ed25519' && verify(null, bytes, key.publicKey, value) ? 'valid' : 'wrong'
  }
  const expected = createHmac('sha256', key.secret).update(bytes).digest()
  const isEqual = value.length === expected.length && timingSafeEqual(value, expected)
  return signature.algorithm === 'HMAC-SHA256' && isEqual ? 'valid' : 'wrong'
}

const bytesOf = (report: Omit<ErasureReport, 'signature'>): Buffer => Buffer.from(canonicalJson(report))

const KEY_ID_CHARS = 16

function keyId(key: ReportKey): string {
  const bytes = key.kind === 'secret' ? key.secret : key.publicKey.export({ type: 'spki', format: 'der' })
  return createHmac('sha256', 'rtml report key').update(bytes).digest('hex').slice(0, KEY_ID_CHARS)
}
