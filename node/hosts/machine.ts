/** What this machine can spare for a model. */
import { availableParallelism } from 'node:os'

const MEMORY_SHARE = 0.8

/**
 * Threads for the engine: all cores but one.
 *
 * Why: llama.cpp's threads wait for each other by spinning, so one thread too many makes decoding hundreds of times slower.
 */
export function defaultThreads(): number {
  return Math.max(1, availableParallelism() - 1)
}

/**
 * Threads for the engine of an embedding model that runs beside a language model.
 *
 * Why one: it is the core that `defaultThreads` leaves, and it embeds hundreds of texts a second; more would make the language
 * model's threads wait for each other.
 */
export const EMBEDDING_THREADS = 1

/** Bytes that a model may take: most of what is free now, within the limit of a container. */
export function defaultMemoryBytes(): number {
  return Math.floor(process.availableMemory() * MEMORY_SHARE)
}
