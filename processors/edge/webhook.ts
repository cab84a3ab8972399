import { createHmac, timingSafeEqual } from 'node:crypto'

/**
 * Whether a webhook was signed with the secret: Base64 of HMAC-SHA-256 over the body's bytes, as Shopify sends it in
 * X-Shopify-Hmac-Sha256. Source: Shopify, "Verify webhooks".
 */
export function isSignedBy(secret: string, body: Buffer, signature: unknown): boolean {
  if (typeof signature !== 'string' || signature.length > 128) return false
  const expected = createHmac('sha256', secret).update(body).digest()
  const given = Buffer.from(signature, 'base64')
  return given.length === expected.length && timingSafeEqual(given, expected)
}
