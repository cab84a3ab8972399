#!/usr/bin/env node
// Installs the locked dependencies when they are missing, then runs the given command with the pinned Node first on
// PATH. Plain JavaScript for Node >= 20: it runs before anything is installed.
import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { delimiter, dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = join(dirname(fileURLToPath(import.meta.url)), '..')
const bin = join(root, 'node_modules', '.bin')
const env = { ...process.env, ONNXRUNTIME_NODE_INSTALL: 'skip', PATH: `${bin}${delimiter}${process.env.PATH}` }

/** @returns exit code */
export function installIfMissing() {
  if (existsSync(join(bin, 'node')) && existsSync(join(root, 'node_modules', '.package-lock.json'))) return 0
  process.stderr.write('rtml: installing locked dependencies (npm ci)…\n')
  // stdout belongs to the command that follows (it may print JSON), so npm's words go to stderr.
  const done = spawnSync('npm', ['ci', '--no-audit', '--no-fund', '--loglevel=error'], {
    cwd: root,
    env,
    stdio: ['ignore', 2, 2],
  })
  if (done.status === 0 && existsSync(join(bin, 'node'))) return 0
  process.stderr.write('rtml: npm ci failed; see above. Check the network or proxy settings of npm and run it again.\n')
  return done.status || 1
}

if (process.argv[1] && fileURLToPath(import.meta.url) === process.argv[1]) {
  const [command, ...args] = process.argv.slice(2)
  let code = installIfMissing()
  if (code === 0) code = spawnSync(command, args, { cwd: root, env, stdio: 'inherit' }).status ?? 1
  process.exit(code)
}
