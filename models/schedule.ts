/** How a prompt is cut into forward passes: part of a worker's commitment, replayed by an audit. */

/**
 * Tokens that one sequence may add to a batch.
 *
 * Why 63: from 64 on, llama.cpp's tiled flash attention gives other logits (5.5e-3 on average for q8_0); up to 63 every chunk size
 * gives the same bits, so a verifier's pass equals the worker's.
 */
export const CHUNK_TOKENS_MAX = 63

/** Lists the chunk sizes in tokens; they sum to `promptTokens`. */
export function promptSchedule(promptTokens: number): readonly number[] {
  const chunks: number[] = []
  for (let left = promptTokens; left > 0; left -= CHUNK_TOKENS_MAX) chunks.push(Math.min(left, CHUNK_TOKENS_MAX))
  return chunks
}
