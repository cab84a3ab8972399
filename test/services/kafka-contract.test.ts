/** The contract suite of the engine ports, against real Kafka, Redis and a real registry. */
import { describe } from 'vitest'
import { describeEngine, describeLog, describeRegistry, describeStore } from '../engine/contract.ts'
import { openFixture, SERVICE_PATIENCE } from './fixtures.ts'
import { unavailable } from './harness.ts'

describe.skipIf(await unavailable())('on real services', () => {
  describeLog('kafka', openLog, SERVICE_PATIENCE)
  describeStore('redis', openStore, SERVICE_PATIENCE)
  describeRegistry('registry', openRegistry, SERVICE_PATIENCE)
  describeEngine('kafka', openFixture, SERVICE_PATIENCE)
})

async function openLog() {
  const { engine, ...rest } = await openFixture()
  return { log: engine.log, ...rest }
}

async function openStore() {
  const { engine, prefix, close } = await openFixture()
  return { store: engine.store, prefix, close }
}

async function openRegistry() {
  const { engine, prefix, close } = await openFixture()
  return { registry: engine.registry, prefix, close }
}
