const M = 0x5bd1e995
const SEED = 0x9747b28c | 0

/**
 * Signed 32-bit murmur2 of `bytes`, as org.apache.kafka.common.utils.Utils computes it, so that records of a key are in
 * the partition where every other Kafka client puts them.
 * Source: Austin Appleby's MurmurHash2 with seed 0x9747b28c.
 */
export function murmur2(bytes: Uint8Array): number {
  const length = bytes.length
  const whole = length & ~3
  let hash = SEED ^ length
  for (let i = 0; i < whole; i += 4) {
    let k = bytes[i]! | (bytes[i + 1]! << 8) | (bytes[i + 2]! << 16) | (bytes[i + 3]! << 24)
    k = Math.imul(k, M)
    k ^= k >>> 24
    hash = Math.imul(hash, M) ^ Math.imul(k, M)
  }
  const rest = length - whole
  if (rest > 2) hash ^= bytes[whole + 2]! << 16
  if (rest > 1) hash ^= bytes[whole + 1]! << 8
  if (rest > 0) hash = Math.imul(hash ^ bytes[whole]!, M)
  hash = Math.imul(hash ^ (hash >>> 13), M)
  return hash ^ (hash >>> 15)
}

/** Partition of a key among `partitions` (≥ 1), equal to the Java client's choice. */
export const partitionOf = (key: Uint8Array, partitions: number): number => (murmur2(key) & 0x7fffffff) % partitions
