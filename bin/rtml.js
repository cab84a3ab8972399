#!/usr/bin/env node
// The `rtml` command: plain JavaScript for Node >= 20 that hands over to the pinned Node. In a checkout the TypeScript
// sources run as they are; an installed package carries them compiled in dist/ (Node strips no types in node_modules).
import { spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { installIfMissing } from './with-deps.js'

const root = join(dirname(fileURLToPath(import.meta.url)), '..')
const compiled = join(root, 'dist', 'cli', 'main.js')
const main = existsSync(compiled) ? compiled : join(root, 'processors', 'cli', 'main.ts')
if (main !== compiled) {
  const code = installIfMissing()
  if (code !== 0) process.exit(code)
}
const node = createRequire(import.meta.url).resolve('node/bin/node')
const child = spawn(node, ['--disable-warning=ExperimentalWarning', main, ...process.argv.slice(2)], {
  stdio: 'inherit',
  env: { ...process.env, ONNXRUNTIME_NODE_INSTALL: 'skip' },
})
// The terminal sends signals to both; the child drains and decides when it is done.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => child.kill(signal))
child.on('exit', (code, signal) => process.exit(code ?? (signal === 'SIGINT' ? 130 : 1)))
