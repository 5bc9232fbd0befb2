/** Every bound of the protocol, named with its unit. Refusal at a bound is spoken: a coded error or a reject reason. */
export const LIMITS = {
  /** One log entry, encoded (DESIGN 5). */
  entryBytesMax: 1024,
  genesisBytesMax: 4096,
  intentBytesMax: 640,
  /** Salt and messages, which travel point to point. */
  payloadBytesMax: 1_048_576,
  messageCountMax: 256,
  messageBytesMax: 262_144,
  receiptBytesMax: 8_192,
  /** Output text and token ids that a receipt file may carry beside the receipt. */
  receiptOutputBytesMax: 1_048_576,
  /** Structural pre-scan of untrusted bytes. */
  wireDepthMax: 8,
  wireItemsMax: 65_536,
  envelopeBytesMax: 1_114_112,
  validatorCountMax: 13,
  memberCountMax: 2_048,
  /** A roster of that many, 78 bytes each. */
  rosterBytesMax: 163_840,
  /** Rosters that a node keeps: of the shortest epochs these last longer than any job does. */
  rosterEpochsMax: 512,
  replicaCountMax: 5,
  spareCountMax: 3,
  rendezvousWeightMax: 64,
  attemptCountMax: 3,
  /** Each replica of each attempt may be heard once. */
  segmentCountMax: 15,
  maxTokensMax: 131_072,
  promptTokensMax: 131_072,
  /** A prompt given as token ids. */
  promptIdsBytesMax: 524_288,
  chunkTokensMax: 64,
  chunkMs: 250,
  /** A chunk may echo a nonce that is at most this many chunks old: the worker may run that far ahead of its acks. */
  nonceWindowChunks: 4,
  /** Prompt chunks that a commitment may list: 96,768 prompt tokens at 63 a chunk. */
  scheduleChunkCountMax: 1_536,
  outputIdsBytesMax: 524_288,
  outputTextBytesMax: 524_288,
  topKMax: 40,
  temperatureMilliMax: 2_000,
  topPMilliMax: 1_000,
  /** Frequency and presence penalty, either way. */
  penaltyMilliMax: 2_000,
  stopCountMax: 4,
  /** Each stop string, UTF-8. */
  stopBytesMax: 48,
  /** JSON text of a chat's tools; also of one call's arguments. */
  toolsBytesMax: 65_536,
  toolCallCountMax: 32,
  /** GBNF text of one job. */
  grammarBytesMax: 65_536,
  logitBiasCountMax: 300,
  /** Either way, added to a token's logit. */
  logitBiasMilliMax: 100_000,
  toolNameBytesMax: 64,
  toolCountMax: 128,
  /** Arrays and objects within each other, of the tools' JSON text. */
  toolsDepthMax: 48,
  /** Alternatives shown beside each token. */
  topLogprobsCountMax: 20,
  /** Tokens whose alternatives travel in one frame. */
  detailCountMax: 8,
  /** A token's own text beside its likelihood, UTF-8. */
  tokenTextBytesMax: 256,
  /** Texts of one embedding job. */
  embeddingTextCountMax: 64,
  reasonBytesMax: 128,
  idempotencyKeyBytesMax: 128,
  /** An intent may not be admitted later than this after it was signed. */
  intentLifetimeMsMax: 3_600_000,
  /** Any single amount: 2^53 micro-credits, so that JSON readers without bigint can still hold it. */
  amountMicroMax: 9_007_199_254_740_992n,
  linkedTransferCountMax: 48,
  /** Log time after a job's settlement in which its findings may be disputed; its edge keeps what referees need that long. */
  disputeWindowMs: 600_000,
  /** Log time after which a dispute that nobody has brought to a ruling may be closed by anybody. */
  disputeRulingMs: 3_600_000,
  /** Log time that silent referees have before a dispute may end without them. */
  refereeMs: 120_000,
  disputesPerOpenerMax: 2,
  disputesPerJobMax: 8,
  admittedKeyCacheMax: 4_096,
  /** Signatures found valid that are not computed again: 64 hexadecimal digits each. */
  verifiedSignatureCacheMax: 8_192,
} as const
