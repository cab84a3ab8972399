import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { systemClock } from '../../processors/app/system-clock.ts'
import { openEmbedded } from '../../processors/engine/embedded/engine.ts'
import { describeEngine, describeLog, describeRegistry, describeStore } from './contract.ts'

async function open() {
  const dir = await mkdtemp(join(tmpdir(), 'rtml-embedded-'))
  const engine = await openEmbedded({ dir, clock: systemClock })
  const close = async () => {
    await engine[Symbol.asyncDispose]()
    await rm(dir, { recursive: true })
  }
  return { engine, log: engine.log, store: engine.store, registry: engine.registry, prefix: 't.', close }
}

describeLog('embedded', async () => {
  const fixture = await open()
  return { ...fixture, truncate: (source, before) => fixture.engine.log.truncate(source, before) }
})
describeStore('embedded', open)
describeRegistry('embedded', open)
describeEngine('embedded', open)
