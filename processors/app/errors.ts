/**
 * The one table of codes. `severity` says what happens: `reject` = the event goes to a dead-letter topic, `fatal` = the
 * process stops with exit code 1, `wait` = retried with backoff until it works, `info` = counted and logged.
 * A message says what happened, where, and what to do.
 */
export const CODES = {
  // application file and plan
  CONFIG: { severity: 'fatal', about: 'the application file is not valid' },
  MODEL_INPUT: { severity: 'fatal', about: 'a model wants an input that the feature set does not give' },
  BUNDLE: { severity: 'fatal', about: 'a bundle is damaged, incomplete, too large, or fails its own tests' },
  GRAPH: { severity: 'fatal', about: 'a graph does not fit together: the message names node and port' },
  MODEL_LOAD: { severity: 'fatal', about: 'an ONNX file cannot be loaded' },
  MODEL_ROUTING: { severity: 'fatal', about: 'a model cannot get the role that is asked for' },
  MODEL_CONFLICT: { severity: 'fatal', about: 'somebody else has changed the routing of the service meanwhile' },
  TOPIC_SETTING: { severity: 'fatal', about: 'an existing topic has settings that the application cannot work with' },
  // raw records
  DECODE: { severity: 'reject', about: 'the bytes are not what the source format says' },
  LIMIT: { severity: 'reject', about: 'the record is larger, deeper or longer than a limit' },
  SCHEMA_ID: { severity: 'reject', about: 'the registry does not know the schema id' },
  MAP_TYPE: { severity: 'reject', about: 'a mapped value does not fit the type of its XDM path' },
  MAP_EXPRESSION: { severity: 'reject', about: 'a mapping expression failed' },
  MAP_REQUIRED: { severity: 'reject', about: 'a required XDM field is missing' },
  XDM_INVALID: { severity: 'reject', about: 'the mapped event is not a valid XDM ExperienceEvent' },
  IDENTITY: { severity: 'reject', about: 'no usable identity, or more than one primary' },
  FUTURE: { severity: 'reject', about: 'the event time is too far after the record time' },
  POISON: {
    severity: 'reject',
    about: 'processing the record failed unexpectedly; a defect of rtml or of the application',
  },
  // features
  LATE: { severity: 'reject', about: 'the event is older than the lateness bound of its key' },
  // protocol
  FENCED: { severity: 'info', about: 'a newer owner has taken the shard' },
  STORE_BEHIND: { severity: 'info', about: 'the store lost its tail and is rebuilt from the log' },
  LOG_TRUNCATED: { severity: 'fatal', about: 'events were deleted by retention before they were read' },
  PARTITIONS_CHANGED: { severity: 'fatal', about: 'the partition count of a keyed topic changed' },
  // dependencies
  LOG_DOWN: { severity: 'wait', about: 'the event log does not answer' },
  STATE_LAYOUT: { severity: 'wait', about: 'packed states have a layout that nothing in the store describes' },
  STORE_DOWN: { severity: 'wait', about: 'the feature store does not answer' },
  REGISTRY_DOWN: { severity: 'wait', about: 'the schema registry does not answer' },
} as const

export type Code = keyof typeof CODES

/** An error with a code of the table. `place` names where, as precisely as is known: a file position or topic[p]@offset. */
export class RtmlError extends Error {
  readonly code: Code
  readonly place: string | undefined
  constructor(code: Code, message: string, options: { place?: string; cause?: unknown } = {}) {
    super(`${code} ${options.place ? `${options.place}: ` : ''}${message}`, { cause: options.cause })
    this.name = 'RtmlError'
    this.code = code
    this.place = options.place
  }
  /** Worth retrying: a dependency is away and nothing is lost. */
  get isTransient(): boolean {
    return CODES[this.code].severity === 'wait'
  }
}

/** Why a raw record or an event was refused; becomes the headers of its dead letter. */
export interface Rejection {
  readonly code: Code
  /** Field path, or '' for the whole record. */
  readonly path: string
  readonly message: string
}
