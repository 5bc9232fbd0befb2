/** Every bound of the HTTP control plane, named with its unit. */
import { LIMITS } from '../../core/limits.ts'

export const CONTROL_LIMITS = {
  bodyBytesMax: 1_048_576,
  /** A signed intent with its inputs, each behind a four-byte length. */
  signedIntentBytesMax: LIMITS.payloadBytesMax + LIMITS.intentBytesMax + 2_048,
  /** Chats and event streams served at once. */
  streamCountMax: 1_024,
  /** How long a finished answer waits for its verdict before it says `pending`. */
  outcomeWaitMs: 5_000,
  /** A reader that takes nothing for this long is hung up on. */
  stalledReaderMs: 30_000,
  /** A client must have sent its whole request within this. */
  requestMs: 30_000,
  /** How long `stop` waits for streams to say goodbye. */
  drainMs: 2_000,
  /** `n` of one chat or prompt. */
  choicesPerPromptMax: 8,
  promptsMax: 16,
  /** Prompts times `n`: jobs that one request may start. */
  choicesMax: 16,
  embeddingInputsMax: 256,
  pageItemsMax: 200,
  pageItemsDefault: 50,
  /** Jobs of one millisecond that a page may add so that none is lost between pages. */
  pageTiesMax: 64,
  retryAfterSeconds: 1,
  modelIdCharsMax: 128,
  /** Tokens a second: a u16 of the intent. */
  speedMax: 65_535,
} as const
