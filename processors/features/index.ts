export { createFeatureSet } from './feature-set.ts'
export type * from './types.ts'
export { resolveWindow } from './windows.ts'
