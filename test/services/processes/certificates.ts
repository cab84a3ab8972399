import { execFile } from 'node:child_process'
import { readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { dataFolder } from './tools.ts'

/** A private authority and one certificate of it for `localhost`, for servers and clients alike. */
export interface Certificates extends AsyncDisposable {
  /** Has ca.pem, cert.pem and key.pem. */
  readonly folder: string
  readonly ca: string
  readonly cert: string
  readonly key: string
}

export async function makeCertificates(): Promise<Certificates> {
  const folder = await dataFolder('certificates')
  const at = (name: string) => join(folder, name)
  const openssl = (...args: string[]) => promisify(execFile)('openssl', args)
  const newKey = ['-newkey', 'rsa:2048', '-nodes']
  await openssl(
    ...['req', '-x509', ...newKey, '-days', '2', '-subj', '/CN=rtml test authority'],
    ...['-addext', 'basicConstraints=critical,CA:TRUE', '-keyout', at('ca.key'), '-out', at('ca.pem')],
  )
  await openssl('req', ...newKey, '-subj', '/CN=localhost', '-keyout', at('key.pem'), '-out', at('request.pem'))
  await writeFile(at('extensions'), 'subjectAltName=DNS:localhost,IP:127.0.0.1\n')
  await openssl(
    ...['x509', '-req', '-in', at('request.pem'), '-CA', at('ca.pem'), '-CAkey', at('ca.key'), '-CAcreateserial'],
    ...['-days', '2', '-extfile', at('extensions'), '-out', at('cert.pem')],
  )
  const [ca, cert, key] = await Promise.all(['ca.pem', 'cert.pem', 'key.pem'].map((name) => readFile(at(name), 'utf8')))
  return {
    folder,
    ca: ca!,
    cert: cert!,
    key: key!,
    [Symbol.asyncDispose]: () => rm(folder, { recursive: true, force: true }),
  }
}
