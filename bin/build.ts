// Compiles the sources to dist/ for the npm package: Node strips no types inside node_modules. A checkout never needs it.
import { spawnSync } from 'node:child_process'
import { cpSync, globSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { consoleDir } from '../processors/host/console.ts'

const ROOT = join(import.meta.dirname, '..')
const DIST = join(ROOT, 'dist')

rmSync(DIST, { recursive: true, force: true })
if (!process.argv.includes('--clean')) {
  // Types are checked by `npm run check`; here they are only taken out.
  const { status } = spawnSync('tsc', ['--project', 'tsconfig.build.json'], { cwd: ROOT, stdio: 'inherit' })
  if (status !== 0) process.exit(status ?? 1)
  // Read at run time, beside the code that reads them.
  for (const file of globSync('processors/**/*.lua', { cwd: ROOT })) cpSync(join(ROOT, file), join(DIST, file))
  await consoleDir()
}
