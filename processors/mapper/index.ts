/** The mapper's public face: raw records of one source → XDM events. */
export { loadMapping, READY_MAPPINGS, type ReadFile } from './load-mapping.ts'
export { createMapper } from './mapper.ts'
export type { Mapper, RawRecord } from './types.ts'
