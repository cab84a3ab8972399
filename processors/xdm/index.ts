/** XDM: the composed event schema, its checks and its wire form. */

export { EVENT_TYPES, FIELD_GROUPS } from './catalog.ts'
export { type ConformLimits, DEFAULT_LIMITS } from './conform.ts'
export { primaryKey } from './identity.ts'
export { parsePath } from './path.ts'
export { composeSchema, type XdmSchema } from './schema.ts'
export { formatTime, parseRfc3339, parseTime, type TimeUnit } from './time.ts'
export type { RecordType, XdmType } from './types.ts'
export { describeType } from './types.ts'
export { unprefix } from './unprefix.ts'
