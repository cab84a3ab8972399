/** The pages about the edge tell the truth: their commands run, and their tables hold what the program has. */
import { execFile } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { mkdtemp, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { SCOPES } from '../../processors/edge/auth/scopes.ts'
import { SECURITY_VARIABLES } from '../../processors/edge/auth/security.ts'
import { PROBLEMS } from '../../processors/edge/problem.ts'
import { type Fixture, fixture } from './fixture.ts'

const run = promisify(execFile)
const read = (name: string) => readFileSync(new URL(`../../docs/${name}`, import.meta.url), 'utf8')
const edge = read('edge.md')
const security = read('security.md')

let shop: Fixture
let address: string
let folder: string
beforeAll(async () => {
  shop = await fixture()
  address = await shop.server.listen({ host: '127.0.0.1', port: 0 })
  folder = await mkdtemp(join(tmpdir(), 'rtml-docs-'))
  const event = JSON.stringify({
    events: [{ xdm: { _id: 'a', eventType: 'x', identityMap: { ECID: [{ id: '42' }] } } }],
  })
  await writeFile(join(folder, 'events.jsonl'), `${event}\n${event.replace('"a"', '"b"')}\n`)
  await writeFile(join(folder, 'events.json'), event)
})
afterAll(() => shop[Symbol.asyncDispose]())

const commands = [...edge.matchAll(/```sh\n([\s\S]*?)```/g)].flatMap(([, block]) =>
  block!.trim().split(/\n(?=curl|gzip)/),
)

describe('docs/edge.md', () => {
  it.each(commands)('has a command that works: %s', async (command) => {
    const script = command
      .replaceAll('localhost:8080', address.replace('http://', ''))
      .replace('predict/propensity', 'predict/buy')
    const { stdout } = await run('bash', ['-c', script], { cwd: folder })
    const answer = JSON.parse(stdout)
    expect(answer.requestId, stdout).toBeDefined()
    expect(answer.status, stdout).toBeUndefined()
  })

  it('names every kind of route', async () => {
    const { paths } = (await shop.server.inject('/openapi.json')).json() as { paths: Record<string, unknown> }
    for (const path of Object.keys(paths)) {
      const plain = path
        .replace('/{locationHint}', '')
        .replace(/\{service\}$|\{source\}$/, '')
        .replace(/\/(why|export)$/, '')
      expect(edge, path).toContain(plain)
    }
  })

  it('names every status that a problem has', () => {
    const named = edge.slice(edge.indexOf('## Errors'))
    for (const { status } of Object.values(PROBLEMS)) {
      if (![408, 431, 500].includes(status)) expect(named, String(status)).toContain(String(status))
    }
  })
})

describe('docs/security.md', () => {
  it('lists every scope and every variable', () => {
    for (const [scope, about] of Object.entries(SCOPES)) expect(security).toContain(`| \`${scope}\` | ${about} |`)
    for (const name of Object.keys(SECURITY_VARIABLES)) expect(security).toContain(name)
  })
})
