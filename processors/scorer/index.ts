/** The scorer's public face. */
export { type Binding, type BoundInput, type BoundOutput, bindModel } from './bind.ts'
export {
  type FetchedModel,
  type FetchModelOptions,
  fetchModel,
  type ModelSource,
  type S3Options,
} from './fetch-model.ts'
export {
  type Fallback,
  type ModelParts,
  poolKey,
  RULE_VARIABLES,
  type ScorerModel,
  type ScorerPlan,
  scorerModel,
} from './plan.ts'
export {
  createModelPool,
  type ModelPoolOptions,
  PoolBusy,
  type PoolStats,
  WorkerCrashed,
  type WorkerPool,
} from './pool.ts'
export { createScorer, type ModelScorer, type ScorerCounters, type ScorerOptions, type ServingModel } from './scorer.ts'
export { type Mismatch, type Verification, verifyModels } from './verify.ts'
