import { existsSync } from 'node:fs'
import { dirname, join } from 'node:path'

/** Folder of the package: schemas, console and models are looked up from here, in a checkout and in an installed package. */
export const PACKAGE_ROOT = findRoot(import.meta.dirname)

function findRoot(start: string): string {
  for (let dir = start; ; dir = dirname(dir)) {
    if (existsSync(join(dir, 'schemas', 'mappings')) && existsSync(join(dir, 'package.json'))) return dir
    if (dir === dirname(dir)) throw new Error(`${start} is not inside the rtml package`)
  }
}
