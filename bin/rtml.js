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
const source = join(root, 'processors', 'cli', 'main.ts')
const isCheckout = existsSync(source)
if (isCheckout) {
  const code = installIfMissing()
  if (code !== 0) process.exit(code)
}
const main = isCheckout ? source : join(root, 'dist', 'processors', 'cli', 'main.js')
const node = findNode()
const child = spawn(
  node,
  [
    '--disable-warning=ExperimentalWarning',
    '--disable-warning=TimeoutNegativeWarning',
    '--max-semi-space-size=8',
    main,
    ...process.argv.slice(2),
  ],
  {
    stdio: 'inherit',
    env: {
      ...process.env,
      ONNXRUNTIME_NODE_INSTALL: 'skip',
      // Halves the time until a command answers. A folder that can't be written is no failure.
      NODE_COMPILE_CACHE: process.env.NODE_COMPILE_CACHE ?? join(root, 'node_modules', '.cache', 'rtml'),
    },
  },
)
// The terminal sends signals to both; the child drains and decides when it is done.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => child.kill(signal))
child.on('exit', (code, signal) => process.exit(code ?? (signal === 'SIGINT' ? 130 : 1)))

/** The pinned Node; without it (install scripts may be switched off) the running one, when it is new enough. */
function findNode() {
  try {
    return createRequire(import.meta.url).resolve('node/bin/node')
  } catch {
    if (Number(process.versions.node.split('.')[0]) >= 24) return process.execPath
    process.stderr.write(
      `rtml: needs Node.js 24 or later; this is ${process.versions.node}, and the package "node" that brings it is not installed. ` +
        'Install a newer Node.js, or allow install scripts: npm rebuild node\n',
    )
    process.exit(1)
  }
}
