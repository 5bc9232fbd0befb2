/** From text to the ids that an embedding model reads. */

export interface Tokenizer {
  readonly vocabSize: number
  /** Fills a row of a batch behind a shorter text; the model does not read it. */
  readonly padId: number
  /** What the file says that the model reads at most, special tokens included; undefined when it says nothing. */
  readonly contextTokens?: number
  /** @returns ids; none for a text with nothing in it to read */
  encode(text: string): Uint32Array
}
