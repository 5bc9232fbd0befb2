/** What native/engine/skin.cc exports: llama.cpp driven by a thread of its own. */

/** Absolute paths. */
export type LibraryPaths = {
  readonly ggmlBase: string
  readonly ggml: string
  readonly llama: string
  /** The processor's variant first. */
  readonly backends: readonly string[]
}

export type NativeDevice = {
  readonly name: string
  readonly description: string
  readonly isCpu: boolean
  readonly freeBytes: number
  readonly totalBytes: number
}

export type OpenedLibraries = {
  /** Bytes of the default-parameter structs, a hexadecimal line each. */
  readonly defaults: string
  readonly version: string
  readonly devices: readonly NativeDevice[]
}

export type NativeModel = {
  readonly vocabSize: number
  readonly contextTrained: number
  readonly stopIds: Uint32Array
  /** '' where the vocabulary has none. */
  readonly bosText: string
  readonly eosText: string
  /** Length of an embedding. */
  readonly vectorSize: number
  readonly architecture: string
  readonly description: string
  readonly parameterCount: number
  readonly bytes: number
  readonly isRecurrent: boolean
  tokenize(text: string, parseSpecial: boolean): Promise<Uint32Array>
  /** Of plain text with the tokens that the model wants around one. */
  tokenizeWhole(text: string): Promise<Uint32Array>
  /** @returns '' where the file has no such key */
  metadata(key: string): string
  piece(id: number, special: boolean): Uint8Array
  controlTexts(): string[]
}

export type NativeSampling =
  | { readonly kind: 'gumbel'; readonly temperature: number; readonly topK: number; readonly seed: Uint8Array }
  | {
      readonly kind: 'llama'
      readonly temperature: number
      readonly topK: number
      readonly topP: number
      readonly minP: number
      readonly frequencyPenalty: number
      readonly presencePenalty: number
      readonly seed: number
      readonly biasIds: Uint32Array
      readonly biases: Float32Array
    }

type NativeJob = {
  readonly call: number
  readonly prompt: Uint32Array
  readonly chunks: Uint32Array
  readonly sampling: NativeSampling
  /** After all jobs that are not. */
  readonly isLow: boolean
}

export type NativeGenerate = NativeJob & {
  /** The output's first ids where another has said them; empty from the beginning. */
  readonly prefix: Uint32Array
  /** '' is none. */
  readonly grammar: string
  readonly maxTokens: number
  readonly stop: readonly string[]
  /** -1: no alternatives. */
  readonly topLogprobs: number
  readonly showControl: boolean
  readonly cacheKey: string
}

export type NativeAudit = NativeJob & { readonly output: Uint32Array }

export type NativeFailure = 'queue_full' | 'decode_failed' | 'grammar_invalid' | 'grammar_stuck'

/** Numbers as bytes of the machine's own order: f64, i32, i32, i32, f32; candidates of all positions in a row. */
export type NativeAudited = {
  readonly call: number
  readonly margins: Uint8Array
  readonly ranks: Uint8Array
  readonly counts: Uint8Array
  readonly ids: Uint8Array
  readonly logits: Uint8Array
}

/** What few steps have. */
export type StepExtra = {
  /** Calls whose generation is over. */
  readonly ended: Uint32Array
  /** Without positions: aborted. */
  readonly audits: readonly NativeAudited[]
  /** Without vectors: aborted. */
  readonly embeds: readonly { readonly call: number; readonly vectors: readonly Float32Array[] }[]
  readonly failures: readonly { readonly call: number; readonly failure: NativeFailure }[]
}

/** @param body  the step's tokens, as models/step-body.ts reads them */
export type OnStep = (body: Uint8Array, extra: StepExtra | undefined) => void

export type NativeMetrics = {
  readonly slotsBusy: number
  readonly jobsWaiting: number
  readonly steps: number
  readonly tokensDecoded: number
  readonly tokensPrefilled: number
  readonly tokensAudited: number
  readonly tokensFromCache: number
  readonly decodeNs: number
  readonly prefillNs: number
  readonly sampleNs: number
  readonly idleNs: number
  readonly kvTokensUsed: number
}

export type NativeEngine = {
  readonly contextTokens: number
  generate(job: NativeGenerate): void
  audit(job: NativeAudit): void
  embed(call: number, texts: readonly Uint32Array[]): void
  cancel(call: number): void
  abortGenerations(): void
  pause(): void
  resume(): void
  /** @returns whether nothing runs or waits any more */
  drain(timeoutMs: number): Promise<boolean>
  metrics(): NativeMetrics
  close(): Promise<void>
}

export type NativeModelSpec = {
  readonly path: string
  /** Layers on the device; -1 is all. */
  readonly gpuLayers: number
  /** Empty lets llama.cpp choose. */
  readonly tensorSplit: Float32Array
  readonly vocabOnly: boolean
}

export type NativeContextSpec = {
  readonly contextTokens: number
  readonly slotCount: number
  readonly threads: number
  readonly prefillTokensMax: number
  readonly kvType: 'f16' | 'q8_0'
  readonly flashAttention: boolean
  readonly offloadKv: boolean
  readonly waitingMax: number
  readonly cachedSequences: number
}

/** Bad arguments throw a TypeError, whatever else goes wrong an Error whose message is a reason. */
export type EngineAddon = {
  /** Once in a process. */
  open(paths: LibraryPaths): OpenedLibraries
  loadModel(spec: NativeModelSpec): Promise<NativeModel>
  createEngine(model: NativeModel, spec: NativeContextSpec, onStep: OnStep): Promise<NativeEngine>
}

export function parseEngineAddon(loaded: object): EngineAddon | undefined {
  const { open, loadModel, createEngine } = loaded as Partial<EngineAddon>
  const isOurs = [open, loadModel, createEngine].every((member) => typeof member === 'function')
  return isOurs ? (loaded as EngineAddon) : undefined
}
