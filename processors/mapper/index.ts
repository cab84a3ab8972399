/** The mapper's public face: raw records of one source → XDM events. */
export { loadMapping, mappingFile, READY_MAPPINGS, type ReadFile } from './load-mapping.ts'
export { createMapper, type MapperOptions } from './mapper.ts'
export type { Mapper, MapResult, RawRecord } from './types.ts'
