/** Does a model fit the memory of a machine, and with how long a context? */
import type { CatalogueEntry } from './catalogue.ts'
import { KNOWN_MODELS, type KnownChat, type KnownShape } from './catalogue-known.ts'
import { encoderBytes, estimateBytes, type ModelShape } from './memory.ts'

/** What a model needs, whether its file is at hand or not. */
export type Need = { readonly bytes: number; readonly shape: ModelShape; readonly contextTokens: number }

/** Longer contexts than this are not offered unasked: eight sequences of them would take most of the memory. */
const CONTEXT_TOKENS_MAX = 8_192
/** With less than this a conversation ends before it has begun. */
export const CONTEXT_TOKENS_MIN = 1_024
/** What is worth suggesting. */
const COMFORT_TOKENS = 4_096
const F16_BYTES = 2
const F32_BYTES = 4
/** Bits of one weight, scales included. */
const WEIGHT_BITS: Readonly<Record<string, number>> = { Q4_K_M: 4.9, Q8_0: 8.5, F32: 32 }

/** @returns tokens of one sequence; undefined when not even a short context fits */
export function contextThatFits(need: Need, slotCount: number, memoryBytesMax: number): number | undefined {
  const longest = Math.min(need.contextTokens, CONTEXT_TOKENS_MAX)
  const shortest = Math.min(longest, CONTEXT_TOKENS_MIN)
  for (let contextTokens = longest; contextTokens >= shortest; contextTokens = Math.floor(contextTokens / 2)) {
    if (estimateBytes(need.shape, need.bytes, { contextTokens, slotCount }) <= memoryBytesMax) return contextTokens
  }
  return undefined
}

/** Estimates what a model takes in memory. */
export function entryBytes({ format, bytes, shape, contextTokens }: CatalogueEntry, slotCount: number): number {
  if (format === 'onnx' || shape === undefined) return encoderBytes(bytes)
  return estimateBytes(shape, bytes, { contextTokens, slotCount })
}

/** The largest model that fits with a comfortable context; of equals the one whose digest is pinned. */
export function suggestModel(slotCount: number, memoryBytesMax: number): KnownChat | undefined {
  const chats = KNOWN_MODELS.flatMap((model) => (model.task === 'chat' ? [model] : []))
  return chats.findLast((model) => {
    const context = contextThatFits(needOf(model), slotCount, memoryBytesMax)
    return model.digest !== undefined && context !== undefined && context >= COMFORT_TOKENS
  })
}

export function needOf(model: KnownChat): Need {
  return { bytes: bytesOf(model), shape: shapeOfKnown(model.shape), contextTokens: model.contextTokens }
}

/** The file's size, or an estimate from the number of weights where the size is not known. */
export function bytesOf(model: Pick<KnownChat, 'bytes' | 'parameters' | 'quantisation'>): number {
  const [, count = '0', unit] = /^([\d.]+)([MB])$/.exec(model.parameters) ?? []
  const weights = Number(count) * (unit === 'B' ? 1e9 : 1e6)
  return model.bytes ?? Math.round((weights * (WEIGHT_BITS[model.quantisation] ?? 32)) / 8)
}

function shapeOfKnown({ layers, kvHeads, headWidth, width, inner, vocabulary }: KnownShape): ModelShape {
  return {
    keyValueBytes: 2 * layers * kvHeads * headWidth * F16_BYTES,
    activationBytes: F32_BYTES * (vocabulary + 4 * inner + 8 * width),
    isEncoder: false,
  }
}
