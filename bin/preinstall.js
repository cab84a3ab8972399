// Runs before the install scripts of our dependencies. On Linux x64 onnxruntime-node wants to download a few hundred
// megabytes of CUDA libraries from a second registry, and fails the whole installation behind a proxy that doesn't know
// it. rtml runs models on the CPU, whose libraries are in the package. There is no setting that a dependent package could
// make, but the script leaves files alone that exist; these are only ever opened by a session that asks for CUDA.
// ONNXRUNTIME_NODE_INSTALL=cuda12 npm rebuild onnxruntime-node   brings them after all.
import { existsSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'

if (!process.env.ONNXRUNTIME_NODE_INSTALL && process.platform === 'linux' && process.arch === 'x64') {
  try {
    const root = dirname(createRequire(import.meta.url).resolve('onnxruntime-node/package.json'))
    const folder = join(root, 'bin', 'napi-v6', 'linux', 'x64')
    if (existsSync(join(folder, 'onnxruntime_binding.node'))) {
      for (const name of ['cuda', 'shared', 'tensorrt']) {
        const file = join(folder, `libonnxruntime_providers_${name}.so`)
        if (!existsSync(file)) writeFileSync(file, '')
      }
    }
  } catch {
    // Not there yet, or read-only: its script then decides by itself.
  }
}
