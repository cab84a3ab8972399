/** Branded units: a plain number can't be passed where one of these is meant. */

/** Milliseconds since 1970-01-01T00:00:00Z. Event time may be negative. */
export type EpochMs = number & { readonly unit: 'epoch-ms' }
/** A duration in milliseconds, ≥ 0. */
export type Ms = number & { readonly unit: 'ms' }
/** Position in a partition of the log; 0-based, below 2^53. */
export type Offset = number & { readonly unit: 'offset' }
/** Ownership number of a shard; grows by one with each owner. */
export type Epoch = number & { readonly unit: 'epoch' }

export const epochMs = (value: number): EpochMs => value as EpochMs
export const ms = (value: number): Ms => value as Ms
export const offset = (value: number): Offset => value as Offset
export const epoch = (value: number): Epoch => value as Epoch

/** Time, as the core sees it. Nothing in the core calls `Date.now` or `setTimeout`. */
export interface Clock {
  now(): EpochMs
  /** Resolves after `duration`, or at once when `signal` aborts (it doesn't reject). */
  sleep(duration: Ms, signal?: AbortSignal): Promise<void>
  /** Resolves after the work that waits for the event loop: long computations call it so that they don't add up to one long turn. */
  turn(): Promise<void>
}

/** Uniform random numbers in [0, 1). */
export type Random = () => number

/** Marks a case that the type system has excluded. @throws always */
export function unreachable(value: never): never {
  throw new Error(`unreachable: ${JSON.stringify(value)}`)
}
