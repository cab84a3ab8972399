/** The real Web SDK, as its registry has it: fetched once, held to its hash. No dependency of the program. */
import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync } from 'node:fs'
import { mkdir, mkdtemp, readFile, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'

const PACKAGE = '@adobe/alloy@2.33.1'
const SHA512 = 'yg+HD3Oslhrmt3stSwtKc22qbwjR4ehFzXfc8RCEwultr41y85S2dSsojvPt2Mife0IZ4Wp/1EexGp1f6TbWDg=='
const CACHE = join(import.meta.dirname, '..', '..', 'node_modules', '.cache', 'rtml')

const run = promisify(execFile)

/** @throws Error when the registry doesn't answer, or gives other bytes than expected */
export async function webSdk(): Promise<Buffer> {
  const file = join(CACHE, `${PACKAGE.replaceAll('/', '-')}.js`)
  if (!existsSync(file)) await fetchInto(file)
  return readFile(file)
}

async function fetchInto(file: string): Promise<void> {
  await mkdir(CACHE, { recursive: true })
  const folder = await mkdtemp(join(CACHE, 'fetch-'))
  try {
    const { stdout } = await run('npm', ['pack', PACKAGE, '--json'], { cwd: folder })
    const [{ filename }] = JSON.parse(stdout) as [{ filename: string }]
    const archive = join(folder, filename)
    const found = createHash('sha512')
      .update(await readFile(archive))
      .digest('base64')
    if (found !== SHA512) throw new Error(`${PACKAGE} has other bytes than expected: sha512-${found}`)
    await run('tar', ['xzf', archive, 'package/dist/alloy.min.js'], { cwd: folder })
    await rename(join(folder, 'package', 'dist', 'alloy.min.js'), file)
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

/** Chromium of the machine. @throws Error with the remedy */
export function chromiumPath(): string {
  const found = [
    process.env.CHROMIUM_PATH,
    '/usr/bin/chromium',
    '/usr/bin/chromium-browser',
    '/usr/bin/google-chrome',
  ].find((path) => path !== undefined && existsSync(path))
  if (found === undefined) throw new Error('no Chromium here: apt-get install chromium, or set CHROMIUM_PATH')
  return found
}
