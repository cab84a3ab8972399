/** AWS Signature Version 4 for one GET without a body. Source: docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html */
import { createHash, createHmac } from 'node:crypto'
import type { EpochMs } from '../app/units.ts'

export interface S3Credentials {
  readonly accessKeyId: string
  readonly secretAccessKey: string
  readonly sessionToken?: string | undefined
}

const EMPTY_SHA256 = 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855'

const hmac = (key: Buffer | string, text: string): Buffer => createHmac('sha256', key).update(text).digest()

/**
 * Headers that sign a GET of `url`; `headers` (lower case) are signed along.
 * @returns the given headers with host left out (the client sets it), plus x-amz-* and authorization
 */
export function signGet(
  url: URL,
  region: string,
  credentials: S3Credentials,
  now: EpochMs,
  headers: Readonly<Record<string, string>> = {},
): Record<string, string> {
  const time = new Date(now).toISOString().replaceAll(/[-:]|\.\d{3}/g, '')
  const scope = `${time.slice(0, 8)}/${region}/s3/aws4_request`
  const signed: Record<string, string> = {
    ...headers,
    'x-amz-content-sha256': EMPTY_SHA256,
    'x-amz-date': time,
    ...(credentials.sessionToken ? { 'x-amz-security-token': credentials.sessionToken } : {}),
  }
  const all: Record<string, string> = { ...signed, host: url.host }
  const names = Object.keys(all).sort()
  const query = [...url.searchParams]
    .map(([name, value]) => `${encode(name)}=${encode(value)}`)
    .sort()
    .join('&')
  const canonical = [
    'GET',
    url.pathname,
    query,
    ...names.map((it) => `${it}:${all[it]?.trim()}`),
    '',
    names.join(';'),
    EMPTY_SHA256,
  ].join('\n')
  const toSign = ['AWS4-HMAC-SHA256', time, scope, createHash('sha256').update(canonical).digest('hex')].join('\n')
  const dateKey = hmac(`AWS4${credentials.secretAccessKey}`, time.slice(0, 8))
  const key = hmac(hmac(hmac(dateKey, region), 's3'), 'aws4_request')
  const signature = createHmac('sha256', key).update(toSign).digest('hex')
  const authorization = `AWS4-HMAC-SHA256 Credential=${credentials.accessKeyId}/${scope},SignedHeaders=${names.join(';')},Signature=${signature}`
  return { ...signed, authorization }
}

/** RFC 3986, as the signature wants it: everything but letters, digits and -._~ in percent form. */
export const encode = (text: string): string =>
  encodeURIComponent(text).replaceAll(/[!'()*]/g, (it) => `%${it.charCodeAt(0).toString(16).toUpperCase()}`)
