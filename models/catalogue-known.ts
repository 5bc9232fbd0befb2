/**
 * Well-known models that can be pulled by a short name. Data only.
 *
 * A digest stands here only where several independent projects publish the same one for the same file; where it is absent, the one that
 * the hub states when the file is pulled counts from then on. Byte counts likewise.
 */

/** Numbers of the model card from which memory is estimated before the file is at hand. */
export type KnownShape = {
  readonly layers: number
  /** Heads of keys and values in each layer, and the width of one. */
  readonly kvHeads: number
  readonly headWidth: number
  /** Of the embedding, of the feed-forward layers, of the vocabulary. */
  readonly width: number
  readonly inner: number
  readonly vocabulary: number
}

type Known = {
  readonly id: string
  readonly source: string
  /** For people, e.g. `1.5B`. */
  readonly parameters: string
  readonly quantisation: string
  /** What the model was trained with, tokens. */
  readonly contextTokens: number
  /** SPDX, or the licence's own name where SPDX has none. */
  readonly licence: string
  /** sha256, lowercase hex. */
  readonly digest?: string
  readonly bytes?: number
}
export type KnownChat = Known & { readonly task: 'chat'; readonly shape: KnownShape }
/** An ONNX encoder with its `tokenizer.json` in the same repository. */
export type KnownEmbedding = Known & { readonly task: 'embedding'; readonly pooling: 'mean' | 'cls' }
export type KnownModel = KnownChat | KnownEmbedding

/** Smallest first. */
export const KNOWN_MODELS: readonly KnownModel[] = [
  {
    id: 'smollm2-135m',
    task: 'chat',
    source: 'hf:bartowski/SmolLM2-135M-Instruct-GGUF/SmolLM2-135M-Instruct-Q8_0.gguf',
    parameters: '135M',
    quantisation: 'Q8_0',
    contextTokens: 8_192,
    licence: 'Apache-2.0',
    shape: { layers: 30, kvHeads: 3, headWidth: 64, width: 576, inner: 1_536, vocabulary: 49_152 },
  },
  {
    id: 'smollm2-360m',
    task: 'chat',
    source: 'hf:HuggingFaceTB/SmolLM2-360M-Instruct-GGUF/smollm2-360m-instruct-q8_0.gguf',
    parameters: '362M',
    quantisation: 'Q8_0',
    contextTokens: 8_192,
    licence: 'Apache-2.0',
    shape: { layers: 32, kvHeads: 5, headWidth: 64, width: 960, inner: 2_560, vocabulary: 49_152 },
  },
  {
    id: 'qwen2.5-0.5b',
    task: 'chat',
    source:
      'hf:Qwen/Qwen2.5-0.5B-Instruct-GGUF/qwen2.5-0.5b-instruct-q4_k_m.gguf@9217f5db79a29953eb74d5343926648285ec7e67',
    digest: '74a4da8c9fdbcd15bd1f6d01d621410d31c6fc00986f5eb687824e7b93d7a9db',
    bytes: 491_400_032,
    parameters: '494M',
    quantisation: 'Q4_K_M',
    contextTokens: 32_768,
    licence: 'Apache-2.0',
    shape: { layers: 24, kvHeads: 2, headWidth: 64, width: 896, inner: 4_864, vocabulary: 151_936 },
  },
  {
    id: 'qwen3-0.6b',
    task: 'chat',
    source: 'hf:Qwen/Qwen3-0.6B-GGUF/Qwen3-0.6B-Q8_0.gguf@23749fefcc72300e3a2ad315e1317431b06b590a',
    digest: '9465e63a22add5354d9bb4b99e90117043c7124007664907259bd16d043bb031',
    bytes: 639_446_688,
    parameters: '596M',
    quantisation: 'Q8_0',
    contextTokens: 40_960,
    licence: 'Apache-2.0',
    shape: { layers: 28, kvHeads: 8, headWidth: 128, width: 1_024, inner: 3_072, vocabulary: 151_936 },
  },
  {
    id: 'gemma-3-1b',
    task: 'chat',
    source: 'hf:ggml-org/gemma-3-1b-it-GGUF/gemma-3-1b-it-Q4_K_M.gguf@f9c28bcd85737ffc5aef028638d3341d49869c27',
    digest: '8ccc5cd1f1b3602548715ae25a66ed73fd5dc68a210412eea643eb20eb75a135',
    bytes: 806_058_240,
    parameters: '1.0B',
    quantisation: 'Q4_K_M',
    contextTokens: 32_768,
    licence: 'Gemma Terms of Use',
    shape: { layers: 26, kvHeads: 1, headWidth: 256, width: 1_152, inner: 6_912, vocabulary: 262_144 },
  },
  {
    id: 'llama-3.2-1b',
    task: 'chat',
    source: 'hf:bartowski/Llama-3.2-1B-Instruct-GGUF/Llama-3.2-1B-Instruct-Q4_K_M.gguf',
    digest: '6f85a640a97cf2bf5b8e764087b1e83da0fdb51d7c9fab7d0fece9385611df83',
    bytes: 807_694_464,
    parameters: '1.2B',
    quantisation: 'Q4_K_M',
    contextTokens: 131_072,
    licence: 'Llama 3.2 Community License',
    shape: { layers: 16, kvHeads: 8, headWidth: 64, width: 2_048, inner: 8_192, vocabulary: 128_256 },
  },
  {
    id: 'smollm2-1.7b',
    task: 'chat',
    source:
      'hf:HuggingFaceTB/SmolLM2-1.7B-Instruct-GGUF/smollm2-1.7b-instruct-q4_k_m.gguf@6a7e79393ef2957e087f11fce1e50476799e313c',
    digest: 'decd2598bc2c8ed08c19adc3c8fdd461ee19ed5708679d1c54ef54a5a30d4f33',
    bytes: 1_055_609_536,
    parameters: '1.7B',
    quantisation: 'Q4_K_M',
    contextTokens: 8_192,
    licence: 'Apache-2.0',
    shape: { layers: 24, kvHeads: 32, headWidth: 64, width: 2_048, inner: 8_192, vocabulary: 49_152 },
  },
  {
    id: 'qwen2.5-1.5b',
    task: 'chat',
    source:
      'hf:Qwen/Qwen2.5-1.5B-Instruct-GGUF/qwen2.5-1.5b-instruct-q4_k_m.gguf@91cad51170dc346986eccefdc2dd33a9da36ead9',
    digest: '6a1a2eb6d15622bf3c96857206351ba97e1af16c30d7a74ee38970e434e9407e',
    bytes: 1_117_320_736,
    parameters: '1.5B',
    quantisation: 'Q4_K_M',
    contextTokens: 32_768,
    licence: 'Apache-2.0',
    shape: { layers: 28, kvHeads: 2, headWidth: 128, width: 1_536, inner: 8_960, vocabulary: 151_936 },
  },
  {
    id: 'qwen3-1.7b',
    task: 'chat',
    source: 'hf:Qwen/Qwen3-1.7B-GGUF/Qwen3-1.7B-Q8_0.gguf@90862c4b9d2787eaed51d12237eafdfe7c5f6077',
    digest: '061b54daade076b5d3362dac252678d17da8c68f07560be70818cace6590cb1a',
    bytes: 1_834_426_016,
    parameters: '1.7B',
    quantisation: 'Q8_0',
    contextTokens: 40_960,
    licence: 'Apache-2.0',
    shape: { layers: 28, kvHeads: 8, headWidth: 128, width: 2_048, inner: 6_144, vocabulary: 151_936 },
  },
  {
    id: 'llama-3.2-3b',
    task: 'chat',
    source:
      'hf:bartowski/Llama-3.2-3B-Instruct-GGUF/Llama-3.2-3B-Instruct-Q4_K_M.gguf@5ab33fa94d1d04e903623ae72c95d1696f09f9e8',
    digest: '6c1a2b41161032677be168d354123594c0e6e67d2b9227c84f296ad037c728ff',
    bytes: 2_019_377_696,
    parameters: '3.2B',
    quantisation: 'Q4_K_M',
    contextTokens: 131_072,
    licence: 'Llama 3.2 Community License',
    shape: { layers: 28, kvHeads: 8, headWidth: 128, width: 3_072, inner: 8_192, vocabulary: 128_256 },
  },
  {
    id: 'gemma-3-4b',
    task: 'chat',
    source: 'hf:ggml-org/gemma-3-4b-it-GGUF/gemma-3-4b-it-Q4_K_M.gguf@d0976223747697cb51e056d85c532013931fe52e',
    digest: '882e8d2db44dc554fb0ea5077cb7e4bc49e7342a1f0da57901c0802ea21a0863',
    bytes: 2_489_757_856,
    parameters: '3.9B',
    quantisation: 'Q4_K_M',
    contextTokens: 131_072,
    licence: 'Gemma Terms of Use',
    shape: { layers: 34, kvHeads: 4, headWidth: 256, width: 2_560, inner: 10_240, vocabulary: 262_144 },
  },
  {
    id: 'phi-4-mini',
    task: 'chat',
    source: 'hf:unsloth/Phi-4-mini-instruct-GGUF/Phi-4-mini-instruct-Q4_K_M.gguf',
    digest: '88c00229914083cd112853aab84ed51b87bdf6b9ce42f532d8c85c7c63b1730a',
    bytes: 2_491_874_272,
    parameters: '3.8B',
    quantisation: 'Q4_K_M',
    contextTokens: 131_072,
    licence: 'MIT',
    shape: { layers: 32, kvHeads: 8, headWidth: 128, width: 3_072, inner: 8_192, vocabulary: 200_064 },
  },
  {
    id: 'qwen3-4b',
    task: 'chat',
    source: 'hf:unsloth/Qwen3-4B-GGUF/Qwen3-4B-Q4_K_M.gguf@22c9fc8a8c7700b76a1789366280a6a5a1ad1120',
    digest: 'f6f851777709861056efcdad3af01da38b31223a3ba26e61a4f8bf3a2195813a',
    bytes: 2_497_281_312,
    parameters: '4.0B',
    quantisation: 'Q4_K_M',
    contextTokens: 40_960,
    licence: 'Apache-2.0',
    shape: { layers: 36, kvHeads: 8, headWidth: 128, width: 2_560, inner: 9_728, vocabulary: 151_936 },
  },
  {
    id: 'mistral-7b',
    task: 'chat',
    source:
      'hf:bartowski/Mistral-7B-Instruct-v0.3-GGUF/Mistral-7B-Instruct-v0.3-Q4_K_M.gguf@61fd4167fff3ab01ee1cfe0da183fa27a944db48',
    digest: '1270d22c0fbb3d092fb725d4d96c457b7b687a5f5a715abe1e818da303e562b6',
    bytes: 4_372_812_000,
    parameters: '7.2B',
    quantisation: 'Q4_K_M',
    contextTokens: 32_768,
    licence: 'Apache-2.0',
    shape: { layers: 32, kvHeads: 8, headWidth: 128, width: 4_096, inner: 14_336, vocabulary: 32_768 },
  },
  {
    id: 'all-minilm-l6-v2',
    task: 'embedding',
    source: 'hf:sentence-transformers/all-MiniLM-L6-v2/onnx/model.onnx@1110a243fdf4706b3f48f1d95db1a4f5529b4d41',
    digest: '6fd5d72fe4589f189f8ebc006442dbb529bb7ce38f8082112682524616046452',
    bytes: 90_405_214,
    parameters: '23M',
    quantisation: 'F32',
    contextTokens: 256,
    licence: 'Apache-2.0',
    pooling: 'mean',
  },
  {
    id: 'bge-small-en-v1.5',
    task: 'embedding',
    source: 'hf:BAAI/bge-small-en-v1.5/onnx/model.onnx',
    parameters: '33M',
    quantisation: 'F32',
    contextTokens: 512,
    licence: 'MIT',
    pooling: 'cls',
  },
]

export function findKnown(id: string): KnownModel | undefined {
  return KNOWN_MODELS.find((model) => model.id === id)
}
