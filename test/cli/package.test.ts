/** The package as npm makes it, in a folder of its own; and the example that embeds it. */
import { spawnSync } from 'node:child_process'
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { rtml } from './rtml.ts'

const ROOT = join(import.meta.dirname, '../..')
const EXAMPLE = join(ROOT, 'examples/embed/main.ts')
const SCORED = {
  scored: 500,
  features: 23,
  highest: { key: expect.stringMatching(/^ECID:/), score: expect.any(Number) },
}
/** An installation from npm's cache on a busy machine; without the cache it fetches about 100 MB. */
const SLOW_MS = 240_000

it('runs the example that embeds an application, in the checkout', async () => {
  const cwd = mkdtempSync(join(tmpdir(), 'rtml-embed-'))
  try {
    const result = await rtml(['data'], { cwd, node: ['--conditions=rtml-source', EXAMPLE] })
    expect(result.stderr).toBe('luma runs on the embedded engine\n')
    expect(JSON.parse(result.stdout)).toMatchObject(SCORED)
  } finally {
    rmSync(cwd, { recursive: true, force: true })
  }
})

describe('the packed package', () => {
  let dir: string
  let app: string
  const run = (command: string, args: readonly string[], cwd = app) => {
    const done = spawnSync(command, args, {
      cwd,
      encoding: 'utf8',
      env: { ...process.env, NODE_ENV: undefined, NODE_OPTIONS: undefined },
    })
    if (done.status !== 0)
      throw new Error(`${command} ${args.join(' ')} ended with ${done.status}: ${done.stderr.slice(-2_000)}`)
    return done
  }

  beforeAll(() => {
    dir = mkdtempSync(join(tmpdir(), 'rtml-package-'))
    app = join(dir, 'app')
    mkdirSync(app)
    const [packed] = JSON.parse(run('npm', ['pack', '--json', '--silent', '--pack-destination', dir], ROOT).stdout) as [
      { filename: string },
    ]
    writeFileSync(join(app, 'package.json'), '{"name":"app","private":true,"type":"module"}')
    run('npm', ['install', '--prefer-offline', '--no-audit', '--no-fund', join(dir, packed.filename)])
  }, SLOW_MS)
  afterAll(() => rmSync(dir, { recursive: true, force: true }))

  it(
    'replays the demo with npx, and prints nothing but its line',
    () => {
      const { stdout } = run('npx', ['rtml', 'demo', '--once', '--json'])
      expect(stdout.trimEnd().split('\n')).toHaveLength(1)
      expect(JSON.parse(stdout)).toMatchObject({
        mapped: 23_055,
        rejected: 0,
        scored: 23_055,
        events: 23_055,
        // What training found on the same events, with a program of its own.
        auc: JSON.parse(readFileSync(join(ROOT, 'models/luma/metrics.json'), 'utf8')).auc,
      })
    },
    SLOW_MS,
  )

  it(
    'makes, checks and tests an application',
    () => {
      run('npx', ['rtml', 'init', 'shop'])
      expect(run('npx', ['rtml', 'check', '--app', 'shop/rtml.yaml']).stdout).toContain('shop is valid')
      expect(run('npx', ['rtml', 'test', '--app', 'shop/rtml.yaml']).stdout).toContain('1 passed, 0 failed')
    },
    SLOW_MS,
  )

  it(
    'is a library with types: the example runs as it stands',
    () => {
      const installed = join(app, 'node_modules/rtml')
      cpSync(join(installed, 'examples/luma'), join(app, 'examples/luma'), { recursive: true })
      cpSync(join(installed, 'models'), join(app, 'models'), { recursive: true })
      cpSync(EXAMPLE, join(app, 'examples/embed/main.ts'))
      const { stdout } = run(process.execPath, ['examples/embed/main.ts', 'data'])
      expect(JSON.parse(stdout)).toMatchObject(SCORED)
      expect(readFileSync(join(installed, 'dist/processors/index.d.ts'), 'utf8')).toContain('loadApp')
    },
    SLOW_MS,
  )
})
