import { generateKeyPairSync } from 'node:crypto'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, it } from 'vitest'
import { checkSignature, signed } from '../../../processors/privacy/report.ts'
import type { ErasureReport } from '../../../processors/privacy/report-schema.ts'

const dir = mkdtempSync(join(tmpdir(), 'rtml-report-'))
afterAll(() => rmSync(dir, { recursive: true }))

const REPORT: Omit<ErasureReport, 'signature'> = {
  report: 'rtml-erasure',
  version: 1,
  request: 'r1',
  application: 'shop',
  engine: 'embedded',
  status: 'done',
  requestedAt: '2026-01-01T10:00:00.000Z',
  reportedAt: '2026-01-01T10:00:01.000Z',
  by: 'test',
  why: null,
  identities: ['ECID:1'],
  removed: [],
  remaining: [],
  retrain: [],
  notes: [],
}

function keyFiles(type: 'ed25519' | 'x25519'): { privateFile: string; publicFile: string } {
  const { privateKey, publicKey } = generateKeyPairSync(type as 'ed25519')
  const [privateFile, publicFile] = [join(dir, `${type}.pem`), join(dir, `${type}.pub.pem`)]
  writeFileSync(privateFile, privateKey.export({ type: 'pkcs8', format: 'pem' }))
  writeFileSync(publicFile, publicKey.export({ type: 'spki', format: 'pem' }))
  return { privateFile, publicFile }
}

const env = (variables: Record<string, string>) => (name: string) => variables[name]

it('is signed with an Ed25519 key, and checked with the public half alone', () => {
  const { privateFile, publicFile } = keyFiles('ed25519')
  const report = signed(REPORT, env({ RTML_REPORT_KEY_FILE: privateFile }))
  expect(report.signature).toMatchObject({ algorithm: 'Ed25519', keyId: expect.stringMatching(/^[0-9a-f]{16}$/) })
  const holder = env({ RTML_REPORT_KEY_FILE: publicFile })
  // As it comes back from a file, members in another order.
  const { signature, ...rest } = JSON.parse(JSON.stringify(report)) as ErasureReport
  expect(checkSignature({ ...rest, signature }, holder)).toBe('valid')
  expect(checkSignature({ ...report, identities: ['ECID:2'] }, holder)).toBe('wrong')
  expect(() => signed(REPORT, holder)).toThrow(/can verify reports, but not sign them/)
})

it('tells another key from the right one, and no key from both', () => {
  const secret = env({ RTML_REPORT_KEY: 'x'.repeat(32) })
  const report = signed(REPORT, secret)
  expect(checkSignature(report, secret)).toBe('valid')
  expect(checkSignature(report, env({ RTML_REPORT_KEY: 'y'.repeat(32) }))).toBe('wrong')
  expect(checkSignature(report, env({}))).toBe('none')
  expect(checkSignature(signed(REPORT, env({})), secret)).toBe('none')
})

it('refuses keys that are none, naming what to do', () => {
  expect(() => signed(REPORT, env({ RTML_REPORT_KEY: 'short' }))).toThrow(/RTML_REPORT_KEY.*openssl rand/)
  const { privateFile } = keyFiles('x25519')
  expect(() => signed(REPORT, env({ RTML_REPORT_KEY_FILE: privateFile }))).toThrow(/x25519.*openssl genpkey/)
  expect(() => signed(REPORT, env({ RTML_REPORT_KEY_FILE: join(dir, 'none.pem') }))).toThrow(/RTML_REPORT_KEY_FILE/)
})
