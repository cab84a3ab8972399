/** The scorer's public face. */
export { isBundle } from '../graph/bundle.ts'
export { type FetchModelOptions, fetchModel, type ModelSource } from './fetch-model.ts'
export { bindGraph } from './graph-model.ts'
export { RULE_VARIABLES, type ScorerModel, scorerModel } from './plan.ts'
export { createModelPool, PoolBusy, WorkerCrashed, type WorkerPool } from './pool.ts'
export {
  describeDifference,
  openBundle,
  type Replay,
  replayTests,
  tensorsFor,
} from './replay-bundle.ts'
export { createScorer, ModelRefused, type ModelScorer, type ScorerOptions, type ServingModel } from './scorer.ts'
export { type Verification, verifyModels } from './verify.ts'
