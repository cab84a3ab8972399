import { RtmlError } from '../../app/errors.ts'
import type { SaslSettings } from './config.ts'

type OauthSettings = Extract<SaslSettings, { mechanism: 'oauthbearer' }>

const TOKEN_DEADLINE_MS = 10_000

/**
 * Bearer tokens by the client credentials grant. A token is asked for when a connection authenticates or renews.
 * Source: RFC 6749 section 4.4.
 */
export function oauthTokens(settings: OauthSettings): () => Promise<{ value: string }> {
  const { tokenUrl, clientId, clientSecret, scope } = settings
  const login = Buffer.from(`${encodeURIComponent(clientId)}:${encodeURIComponent(clientSecret)}`).toString('base64')
  const form = new URLSearchParams({ grant_type: 'client_credentials', ...(scope && { scope }) })
  return async () => {
    const answer = await fetch(tokenUrl, {
      method: 'POST',
      headers: { authorization: `Basic ${login}`, accept: 'application/json' },
      body: form,
      signal: AbortSignal.timeout(TOKEN_DEADLINE_MS),
    }).catch((error: unknown) => {
      throw new RtmlError('LOG_DOWN', `no token from ${tokenUrl}: ${String(error)}`, { cause: error })
    })
    if (answer.status === 400 || answer.status === 401 || answer.status === 403) {
      throw new RtmlError('CONFIG', `refuses the client (${answer.status}). Check KAFKA_OAUTH_CLIENT_ID and _SECRET.`, {
        place: tokenUrl,
      })
    }
    if (!answer.ok) throw new RtmlError('LOG_DOWN', `no token from ${tokenUrl}: status ${answer.status}`)
    const body: unknown = await answer.json()
    if (typeof body === 'object' && body !== null && 'access_token' in body && typeof body.access_token === 'string') {
      return { value: body.access_token }
    }
    throw new RtmlError('CONFIG', 'answered without an access_token.', { place: tokenUrl })
  }
}
