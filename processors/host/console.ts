/** Where the built console is. */
import { createHash } from 'node:crypto'
import { existsSync, globSync, readFileSync } from 'node:fs'
import { chmod, mkdtemp, rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { PACKAGE_ROOT } from './package-root.ts'

const SOURCE = join(PACKAGE_ROOT, 'console')
const DIST = join(SOURCE, 'dist')
const HASH = 'sources.sha256'

/**
 * Folder of the built console. A package brings it along; a checkout builds it when its sources have changed, in some
 * seconds, into a folder that takes the place of the old one when it is whole: several processes may start at once.
 * @throws Error when it isn't built and Vite isn't installed
 */
export function consoleDir(): Promise<string> {
  building ??= build()
  building.catch(() => {
    building = undefined
  })
  return building
}

let building: Promise<string> | undefined

async function build(): Promise<string> {
  if (!existsSync(join(SOURCE, 'vite.config.ts'))) return DIST
  const hash = hashOfSources()
  if (existsSync(join(DIST, HASH)) && readFileSync(join(DIST, HASH), 'utf8') === hash) return DIST
  const { build: viteBuild } = await import('vite')
  const fresh = await mkdtemp(join(SOURCE, '.dist-'))
  try {
    await viteBuild({
      configFile: join(SOURCE, 'vite.config.ts'),
      logLevel: 'error',
      build: { outDir: fresh, emptyOutDir: true },
    })
    await writeFile(join(fresh, HASH), hash)
    // A package made from it is read by others.
    await chmod(fresh, 0o755)
    const old = `${fresh}-old`
    await rename(DIST, old).catch(() => {})
    await rename(fresh, DIST).catch((error: NodeJS.ErrnoException) => {
      // Another process was faster with the same sources.
      if (error.code !== 'ENOTEMPTY' && error.code !== 'EEXIST') throw error
    })
    await rm(old, { recursive: true, force: true })
  } finally {
    await rm(fresh, { recursive: true, force: true })
  }
  return DIST
}

function hashOfSources(): string {
  const hash = createHash('sha256')
  const files = globSync(['index.html', 'vite.config.ts', 'src/**/*'], { cwd: SOURCE, withFileTypes: false }).sort()
  for (const file of files) {
    const path = join(SOURCE, file)
    if (/\.[a-z]+$/.test(file)) hash.update(file).update('\0').update(readFileSync(path)).update('\0')
  }
  return hash.digest('hex')
}
