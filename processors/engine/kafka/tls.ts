import { readFile } from 'node:fs/promises'
import type { ConnectionOptions } from 'node:tls'
import { RtmlError } from '../../app/errors.ts'
import type { TlsSettings } from './config.ts'

/** Options for `tls.connect`. @throws RtmlError CONFIG when a file can't be read */
export async function tlsOptions(settings: TlsSettings): Promise<ConnectionOptions> {
  const { ca, cert, key, passphrase, servername, verify } = settings
  return {
    rejectUnauthorized: verify,
    ...(ca && { ca: await pem(ca) }),
    ...(cert && { cert: await pem(cert) }),
    ...(key && { key: await pem(key) }),
    ...(passphrase && { passphrase }),
    ...(servername && { servername }),
  }
}

/** The text itself when it is PEM, else the file of that path. */
async function pem(textOrPath: string): Promise<string> {
  if (textOrPath.includes('-----BEGIN')) return textOrPath.replaceAll('\\n', '\n')
  return readFile(textOrPath, 'utf8').catch((error: unknown) => {
    throw new RtmlError('CONFIG', `cannot read this certificate or key file: ${String(error)}`, {
      place: textOrPath,
      cause: error,
    })
  })
}
