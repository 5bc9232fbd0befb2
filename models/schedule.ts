/** How token ids are cut into forward passes: for a prompt part of a worker's commitment, replayed by an audit. */

/**
 * Prompt tokens of one pass.
 *
 * Why so many: from 64 tokens on llama.cpp's attention works in tiles, and a prompt is read 1.7 times as fast (125M parameters) to 16 times
 * (the bundled model). Tiles give other logits than single tokens do, so such a chunk runs in a pass of its own, and whoever replays the
 * same chunks gets the same bits; with other chunks 0 to 7 of 131 best tokens differed.
 */
export const PROMPT_CHUNK_TOKENS = 512

/** Up to so many tokens a pass gives each token the bits that it has alone, whatever else is in the pass: from 64 on tiles are used. */
export const EXACT_CHUNK_TOKENS = 63

/** Lists a prompt's chunk sizes in tokens; they sum to `promptTokens`. */
export function promptSchedule(promptTokens: number): readonly number[] {
  return chunksOf(promptTokens, PROMPT_CHUNK_TOKENS)
}

/** Lists the chunks in which output that was generated token by token is fed again: by an audit, or by who goes on with it. */
export function outputSchedule(tokens: number): readonly number[] {
  return chunksOf(tokens, EXACT_CHUNK_TOKENS)
}

function chunksOf(tokens: number, widthMax: number): readonly number[] {
  const count = Math.ceil(tokens / widthMax)
  return Array.from({ length: count }, (_, index) => Math.min(widthMax, tokens - index * widthMax))
}
