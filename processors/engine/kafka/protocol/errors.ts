/**
 * Error codes of the protocol that are decided upon here, by number (own requests) and by kafkajs' name (its requests).
 * Source: kafka.apache.org/protocol, "Error Codes".
 */
const NAMES: Readonly<Record<number, string>> = {
  1: 'OFFSET_OUT_OF_RANGE',
  2: 'CORRUPT_MESSAGE',
  3: 'UNKNOWN_TOPIC_OR_PARTITION',
  5: 'LEADER_NOT_AVAILABLE',
  6: 'NOT_LEADER_FOR_PARTITION',
  7: 'REQUEST_TIMED_OUT',
  9: 'REPLICA_NOT_AVAILABLE',
  10: 'MESSAGE_TOO_LARGE',
  14: 'GROUP_LOAD_IN_PROGRESS',
  15: 'GROUP_COORDINATOR_NOT_AVAILABLE',
  16: 'NOT_COORDINATOR_FOR_GROUP',
  18: 'RECORD_LIST_TOO_LARGE',
  19: 'NOT_ENOUGH_REPLICAS',
  20: 'NOT_ENOUGH_REPLICAS_AFTER_APPEND',
  29: 'TOPIC_AUTHORIZATION_FAILED',
  30: 'GROUP_AUTHORIZATION_FAILED',
  31: 'CLUSTER_AUTHORIZATION_FAILED',
  45: 'OUT_OF_ORDER_SEQUENCE_NUMBER',
  46: 'DUPLICATE_SEQUENCE_NUMBER',
  47: 'INVALID_PRODUCER_EPOCH',
  48: 'INVALID_TXN_STATE',
  49: 'INVALID_PRODUCER_ID_MAPPING',
  51: 'CONCURRENT_TRANSACTIONS',
  53: 'TRANSACTIONAL_ID_AUTHORIZATION_FAILED',
  56: 'KAFKA_STORAGE_ERROR',
  59: 'UNKNOWN_PRODUCER_ID',
  74: 'FENCED_LEADER_EPOCH',
  75: 'UNKNOWN_LEADER_EPOCH',
  78: 'OFFSET_NOT_AVAILABLE',
  88: 'UNSTABLE_OFFSET_COMMIT',
  90: 'PRODUCER_FENCED',
}

/** An error code that a broker answered; `type` is named as kafkajs names it. */
export class BrokerRefusal extends Error {
  readonly type: string
  constructor(code: number, place: string) {
    const type = NAMES[code] ?? `ERROR_${code}`
    super(`${place}: ${type}`)
    this.name = 'BrokerRefusal'
    this.type = type
  }
}

/** @throws BrokerRefusal unless the code is 0 */
export function accept(code: number, place: string): void {
  if (code !== 0) throw new BrokerRefusal(code, place)
}

/** The protocol's name of an error, also when kafkajs has wrapped it; '' when a broker didn't answer. */
export function typeOf(error: unknown): string {
  for (let e = error, depth = 0; e instanceof Error && depth < 5; e = e.cause, depth++) {
    if ('type' in e && typeof e.type === 'string') return e.type
  }
  return ''
}

const FENCED: ReadonlySet<string> = new Set(['INVALID_PRODUCER_EPOCH', 'PRODUCER_FENCED'])
const REFUSED: ReadonlySet<string> = new Set([
  'TOPIC_AUTHORIZATION_FAILED',
  'GROUP_AUTHORIZATION_FAILED',
  'CLUSTER_AUTHORIZATION_FAILED',
  'TRANSACTIONAL_ID_AUTHORIZATION_FAILED',
  'SASL_AUTHENTICATION_FAILED',
  'UNSUPPORTED_SASL_MECHANISM',
  'INCONSISTENT_GROUP_PROTOCOL',
  'INVALID_SESSION_TIMEOUT',
  'INVALID_TRANSACTION_TIMEOUT',
  'INVALID_TOPIC_EXCEPTION',
  'INVALID_GROUP_ID',
])
const STALE: ReadonlySet<string> = new Set([
  'UNKNOWN_TOPIC_OR_PARTITION',
  'LEADER_NOT_AVAILABLE',
  'NOT_LEADER_FOR_PARTITION',
  'REPLICA_NOT_AVAILABLE',
  'FENCED_LEADER_EPOCH',
  'UNKNOWN_LEADER_EPOCH',
  'KAFKA_STORAGE_ERROR',
])
const BUSY: ReadonlySet<string> = new Set([
  'REQUEST_TIMED_OUT',
  'GROUP_LOAD_IN_PROGRESS',
  'GROUP_COORDINATOR_NOT_AVAILABLE',
  'NOT_COORDINATOR_FOR_GROUP',
  'NOT_ENOUGH_REPLICAS',
  'NOT_ENOUGH_REPLICAS_AFTER_APPEND',
  'CONCURRENT_TRANSACTIONS',
  'OFFSET_NOT_AVAILABLE',
  'UNSTABLE_OFFSET_COMMIT',
  'CORRUPT_MESSAGE',
])

/** A newer publisher with the same id exists. */
export const isFenced = (error: unknown): boolean => FENCED.has(typeOf(error))

/** The broker will not do this however often it is asked: an authorisation or a setting is missing. */
export const isRefused = (error: unknown): boolean =>
  REFUSED.has(typeOf(error)) || (error instanceof Error && hasName(error, 'KafkaJSSASLAuthenticationError'))

/** Metadata is out of date: refresh and try again. */
export const isStale = (error: unknown): boolean => STALE.has(typeOf(error))

/** The broker says "not now": try again soon. */
export const isBusy = (error: unknown): boolean => BUSY.has(typeOf(error))

/** No answer: the connection failed, or the client gave up waiting. */
export const isSilent = (error: unknown): boolean => typeOf(error) === ''

function hasName(error: Error, name: string): boolean {
  for (let e: unknown = error, depth = 0; e instanceof Error && depth < 5; e = e.cause, depth++) {
    if (e.name === name) return true
  }
  return false
}
