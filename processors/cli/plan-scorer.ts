import { systemClock } from '../app/system-clock.ts'
import { createModelPool, createScorer, type ModelScorer } from '../scorer/index.ts'
import type { Plan } from '../topology.ts'

/**
 * Loads the models of a plan and binds them to its features, for a command: no deadline, so that a slow moment never
 * turns a score into a fallback.
 * @throws RtmlError MODEL_LOAD, MODEL_INPUT
 */
export async function withScorer<T>(plan: Plan, work: (scorer: ModelScorer) => T | Promise<T>): Promise<T> {
  await using pool = await createModelPool({})
  const { models, featureSet } = plan
  await using scorer = await createScorer({ plan: { models }, featureSet, pool, clock: systemClock, deadlines: 'off' })
  return await work(scorer)
}
