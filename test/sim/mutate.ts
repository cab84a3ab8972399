import { registerHooks } from 'node:module'
import { fileURLToPath } from 'node:url'
import type { Patch } from './mutants.ts'

const PROCESSORS = new URL('../../processors/', import.meta.url)

/**
 * Replaces lines of the program while its files are loaded, so that the real code is tried without one of its safeguards
 * and has no switch for it. To be called before anything of `processors` is imported.
 */
export function applyPatches(patches: readonly Patch[]): void {
  const byFile = new Map<string, Patch[]>()
  for (const patch of patches) {
    const file = fileURLToPath(new URL(patch.file, PROCESSORS))
    byFile.set(file, [...(byFile.get(file) ?? []), patch])
  }
  registerHooks({
    load(url, context, nextLoad) {
      const loaded = nextLoad(url, context)
      const wanted = url.startsWith('file:') ? byFile.get(fileURLToPath(url)) : undefined
      if (!wanted) return loaded
      let source = String(loaded.source)
      for (const { file, find, replace } of wanted) {
        if (source.split(find).length !== 2)
          throw new Error(`processors/${file} no longer has exactly one ${JSON.stringify(find)}. Renew the mutant.`)
        source = source.replace(find, () => replace)
      }
      return { ...loaded, source }
    },
  })
}
