/**
 * What runs a model: one interface, fixed from the start, one contract suite run over every implementation.
 * The frames between the daemon and its compute host are these types; nothing here may hold a native handle.
 */

/** A call that the model asked for. `arguments` is JSON text, as the OpenAI API has it. */
export type ToolCall = { readonly id: string; readonly name: string; readonly arguments: string }

export type ChatMessage = {
  readonly role: 'system' | 'user' | 'assistant' | 'tool'
  readonly content: string
  /** Of an assistant's turn. */
  readonly toolCalls?: readonly ToolCall[]
  /** Of a `tool` message: the call that it answers. */
  readonly toolCallId?: string
}

/** A function that the model may call; `parameters` is a JSON Schema object. */
export type ToolSpec = {
  readonly name: string
  readonly description: string
  readonly parameters: Readonly<Record<string, unknown>>
}

export type RenderOptions = {
  readonly tools?: readonly ToolSpec[]
  /** Of models that can think first: whether they should. Absent leaves it to the template. */
  readonly thinking?: boolean
}

/** How a model writes a call of a tool; told from its template. `none`: it has no template of its own.
 * `json`: its template knows no tools, or has it call them in a way that is not read here; ours tells of them, and a call is JSON. */
export const TOOL_FORMATS = ['none', 'hermes', 'llama3', 'mistral', 'mistral11', 'gemma', 'phi', 'json'] as const
export type ToolFormat = (typeof TOOL_FORMATS)[number]

/** How a model that thinks first marks its thoughts, and whether a prompt ends with the opening mark, by RenderOptions.thinking. */
export type ThinkFormat = {
  readonly open: string
  readonly close: string
  readonly startsOpen: { readonly default: boolean; readonly on: boolean; readonly off: boolean }
}

/** What drives the engine's libraries; `lockstep` goes through node-llama-cpp. */
export const DRIVER_KINDS = ['native', 'lockstep', 'onnx'] as const
export type DriverKind = (typeof DRIVER_KINDS)[number]
/** `reason`: why this one, in words that `status` and `doctor` show; '' when it is the best there is. */
export type Driver = { readonly kind: DriverKind; readonly reason: string }

/**
 * `gumbel-v1` is checkable by anyone with the model. `llama` is the sampler with the parameters that llama.cpp and the OpenAI API
 * have, over the 64 best tokens (models/sampler.ts): its choices cannot be audited.
 */
export type SamplingSpec =
  | { readonly kind: 'gumbel-v1'; readonly temperatureMilli: number; readonly topK: number }
  | {
      readonly kind: 'llama'
      readonly temperature: number
      readonly topK: number
      readonly topP: number
      readonly minP: number
      /** -2..2, as the OpenAI API means them; 0 is off. */
      readonly frequencyPenalty: number
      readonly presencePenalty: number
      readonly seed: number
      /** Added to a token's logit before anything else, -100..100 as the OpenAI API has it; at most 300 ids. */
      readonly logitBias?: readonly (readonly [id: number, bias: number])[]
    }

export type FinishReason = 'stop' | 'length' | 'aborted'

export type LoadRequest = {
  /** `onnx` models embed; what a `gguf` model does is in its header. */
  readonly format: 'gguf' | 'onnx'
  readonly path: string
  /** Vocabulary of an `onnx` model, with its own digest; a GGUF has it inside. */
  readonly tokenizer?: { readonly path: string; readonly digest: string }
  /** How an `onnx` model's vectors of tokens become one of the text; absent: `mean`. */
  readonly pooling?: 'mean' | 'cls'
  /** Expected sha256 of the file, lowercase hex; a different file is refused. */
  readonly digest: string
  /** Tokens per sequence. */
  readonly contextTokens: number
  /** Sequences decoded together. */
  readonly slotCount: number
  /** Always explicit: llama.cpp's own default is 200-470 times slower on two cores. */
  readonly threads: number
  /** Refuse the load when the estimate exceeds this. */
  readonly memoryBytesMax: number
  readonly gpu: 'off' | 'auto' | 'cuda' | 'vulkan' | 'metal'
  /** `auto` takes the native engine where its libraries are the pinned ones, else lock-step. Absent: `auto`. */
  readonly driver?: 'auto' | 'native' | 'lockstep'
  /** Folder of llama.cpp's libraries in place of those of node-llama-cpp, for the native engine: the same bytes, elsewhere. */
  readonly libraries?: string
  /** Kernels in place of those made for this processor, such as `haswell`: slower, and another engine id. Only natively. */
  readonly kernels?: string
  /** Layers on the device; absent or `auto`: as many as fit `vramBytesMax`. */
  readonly gpuLayers?: number | 'auto'
  /** Device memory that may be taken; absent: what is free. */
  readonly vramBytesMax?: number
  /** Share of the layers for each device, in the order of `gpus`; absent: by free memory. */
  readonly tensorSplit?: readonly number[]
  /** Type of keys and values in memory; absent: f16. Others give other logits, and the engine another id. */
  readonly kvType?: 'f16' | 'q8_0'
  /** Absent: true. Without it logits are others, and so is the engine's id. */
  readonly flashAttention?: boolean
  /** Sequences kept for later prompts with the same beginning; absent: 0, off. */
  readonly cachedSequences?: number
}

export type LoadedModel = {
  /** sha256 of the model file, lowercase hex. */
  readonly digest: string
  /** Engine, version and device: goes into receipts. At most 96 ASCII characters. */
  readonly engineId: string
  readonly vocabSize: number
  readonly contextTokens: number
  readonly slotCount: number
  /** sha256 of what turns messages or texts into ids: a chat template's text, an encoder's vocabulary file or its whole GGUF; lowercase hex. */
  readonly templateDigest: string
  readonly toolFormat: ToolFormat
  /** Absent: the model does not think in words of its own. */
  readonly thinkFormat?: ThinkFormat
  readonly driver: Driver
  readonly stopIds: readonly number[]
  /** Length of one embedding vector; 0 for a model that generates. */
  readonly dimensions: number
}

export type GenerateRequest = {
  readonly promptIds: Uint32Array
  readonly sampling: SamplingSpec
  /** 32 bytes: SHA-256("cfab/seed/v1" || jobId || seedNonce); ignored by `llama`. */
  readonly seed: Uint8Array
  readonly maxTokens: number
  /**
   * The output's first ids, said already by another worker: the output goes on after them as if they had been chosen here (the same
   * seed position, text and stop strings across the border), and only what is new is told. Fewer than `maxTokens`, which counts them;
   * none that ends an output. Absent or empty: from the beginning.
   */
  readonly prefixIds?: Uint32Array
  /** Generation ends with `stop` after the token that completes one of these; the output's text still contains it. At most 4. */
  readonly stop: readonly string[]
  /** 0..20 alternatives wanted for each token; absent: no `details` at all. */
  readonly topLogprobs?: number
  /** GBNF with the rule `root` that the output must follow; only with `llama` sampling. Absent or '': none. */
  readonly grammar?: string
  /** Control tokens that do not end the output appear in its text: tool calls begin with them. */
  readonly showControl?: boolean
  /** Whose prompts may share what was computed for a common beginning; absent or '' shares nothing. Never set for a verifiable job. */
  readonly cacheKey?: string
}

/** A token as it may be shown. `text` is empty where its bytes are part of a character that other tokens complete. */
export type TokenChance = { readonly id: number; readonly text: string; readonly logprob: number }
export type TokenDetail = TokenChance & { readonly top: readonly TokenChance[] }

/** One step's tokens of one sequence. Concatenated `text` is the output's text; a character is never split over two batches. */
export type TokenBatch = {
  readonly slot: number
  readonly ids: readonly number[]
  /** Natural-log probability of each id under the model at temperature 1 over its top-64, same length as `ids`. */
  readonly logprobs: readonly number[]
  /** One for each id, when the request asked for them: the worker's own claim, not part of what it commits to. */
  readonly details?: readonly TokenDetail[]
  readonly text: string
  /** Present on the last batch only. */
  readonly finish?: FinishReason
}

export type AuditRequest = {
  readonly promptIds: Uint32Array
  readonly outputIds: Uint32Array
  readonly sampling: SamplingSpec
  readonly seed: Uint8Array
  /** The committed prompt chunk schedule in tokens; its sum is the prompt's length. */
  readonly chunks: readonly number[]
}

/** An output whose text is wanted, as `generate` would have given it out. */
export type DetokenizeRequest = Pick<AuditRequest, 'promptIds' | 'outputIds'> & Pick<GenerateRequest, 'showControl'>

/** One output position under the verifier's own forward pass. */
export type AuditPosition = {
  /** Nats by which the claimed token loses against the verifier's choice under the job's seed; 0 when they agree. */
  readonly margin: number
  /** 0-based rank of the claimed token by logit, or 64 when it is not among the top 64. */
  readonly rank: number
  /** The 64 best by logit, best first, fewer in a smaller vocabulary. */
  readonly topIds: ArrayLike<number>
  readonly topLogits: ArrayLike<number>
}

/** Unit vectors in the order of the texts, and how many tokens each text took. */
export type Embedded = { readonly vectors: readonly Float32Array[]; readonly tokenCounts: readonly number[] }

export type BackendMetrics = {
  readonly slotsBusy: number
  readonly slotCount: number
  readonly tokensDecoded: number
  readonly tokensPrefilled: number
  /** Resident memory of the process that runs the model, bytes. */
  readonly residentBytes: number
  readonly jobsWaiting: number
  /** Forward passes since the load, and what they took, milliseconds. */
  readonly steps: number
  readonly stepMs: number
  /** Prompt tokens that needed no computing. */
  readonly tokensFromCache: number
}

/**
 * Calls beyond the slots wait in a bounded line.
 *
 * @throws FabricError CF_MODEL_* from any method; CF_JOB_INVALID, CF_JOB_CONTEXT_EXCEEDED for what cannot be computed;
 *         CF_WORKER_QUEUE_FULL; CF_WORKER_HOST_LOST, after which the same Backend works again once its host is back
 */
export interface Backend {
  /** In place of the model before, if any; what still runs on that ends as `aborted`. */
  load(request: LoadRequest): Promise<LoadedModel>
  /** The chat template applied to the messages, with the assistant turn opened. A message cannot end its turn or open another. */
  render(messages: readonly ChatMessage[], options?: RenderOptions): Promise<string>
  /** @param parseSpecial  true for rendered templates, false for plain user text */
  tokenize(text: string, parseSpecial: boolean): Promise<Uint32Array>
  /** The text of an output, to the byte what `generate` streams for the same ids: an auditor compares it with what was shown. */
  detokenize(request: DetokenizeRequest): Promise<string>
  /** The prompt's chunk schedule that `generate` uses for a prompt of this many tokens: part of the commitment. */
  schedule(promptTokens: number): readonly number[]
  /** Ends with a batch that carries `finish`. Aborting the signal ends it within one step with `aborted`. */
  generate(request: GenerateRequest, signal: AbortSignal): AsyncIterable<TokenBatch>
  /** One position for each output id. `llama` sampling cannot be replayed: CF_MODEL_UNSUPPORTED. Rejects with the signal's reason. */
  audit(request: AuditRequest, signal: AbortSignal): Promise<readonly AuditPosition[]>
  /**
   * Calls that come together are computed together; the same text gives the same bytes alone and in any batch within 1e-6.
   *
   * @throws FabricError CF_JOB_CONTEXT_EXCEEDED for a text longer than the model reads (never cut in silence), CF_MODEL_UNSUPPORTED
   *         when the model generates instead
   */
  embed(texts: readonly string[], signal: AbortSignal): Promise<Embedded>
  /** Resolves when every generation, running or waiting, has ended as `aborted`; the model stays loaded. */
  abort(): Promise<void>
  metrics(): Promise<BackendMetrics>
  close(): Promise<void>
}
