/** Reads one step's tokens from the bytes that the native engine wrote: native/engine/skin_frame.h has the layout. */
import type { FinishReason, TokenBatch, TokenChance } from './backend.ts'
import type { CallBatch } from './frames.ts'

const HEAD_BYTES = 8
const TOKEN_BYTES = 28
const ALTERNATIVE_BYTES = 16
const UNITS_AT = 12
const CHANCES_AT = 26
/** By the number that the engine has for it; 0 goes on. */
const FINISHES: readonly (FinishReason | undefined)[] = [undefined, 'stop', 'length', 'aborted']

type Cursor = { readonly view: DataView; readonly text: string; at: number; textAt: number }

/** @returns undefined where the counts do not fit the bytes: an engine that writes such a step is out of its mind */
export function readStepBody(body: Uint8Array): CallBatch[] | undefined {
  const view = new DataView(body.buffer, body.byteOffset, body.byteLength)
  if (body.byteLength < HEAD_BYTES) return undefined
  const tokenCount = view.getUint32(0, true)
  const alternativeCount = view.getUint32(4, true)
  const alternativesAt = HEAD_BYTES + tokenCount * TOKEN_BYTES
  const textAt = alternativesAt + alternativeCount * ALTERNATIVE_BYTES
  if (textAt > body.byteLength || sumOf(view, tokenCount, CHANCES_AT) !== alternativeCount) return undefined
  const text = Buffer.from(body.buffer, body.byteOffset, body.byteLength).toString('utf8', textAt)
  const tokens: Cursor = { view, text, at: HEAD_BYTES, textAt: 0 }
  const alternatives: Cursor = { view, text, at: alternativesAt, textAt: sumOf(view, tokenCount, UNITS_AT) }
  const batches: CallBatch[] = []
  for (let index = 0; index < tokenCount; index++) batches.push(readToken(tokens, alternatives))
  return batches
}

/** Of all tokens: where the alternatives' texts begin is behind theirs. */
function sumOf(view: DataView, tokenCount: number, field: typeof UNITS_AT | typeof CHANCES_AT): number {
  let sum = 0
  for (let index = 0; index < tokenCount; index++) {
    const at = HEAD_BYTES + index * TOKEN_BYTES + field
    sum += field === UNITS_AT ? view.getUint32(at, true) : view.getUint16(at, true)
  }
  return sum
}

function readToken(cursor: Cursor, alternatives: Cursor): CallBatch {
  const { view, at } = cursor
  cursor.at += TOKEN_BYTES
  const id = view.getInt32(at + 8, true)
  const logprob = view.getFloat64(at + 16, true)
  const finish = FINISHES[view.getUint16(at + 24, true)]
  const chanceCount = view.getUint16(at + CHANCES_AT, true)
  const isToken = id >= 0
  const batch: TokenBatch = {
    slot: view.getUint32(at + 4, true),
    ids: isToken ? [id] : [],
    logprobs: isToken ? [logprob] : [],
    text: take(cursor, view.getUint32(at + UNITS_AT, true)),
    ...(chanceCount === 0 ? {} : detailsOf(alternatives, chanceCount)),
    ...(finish === undefined ? {} : { finish }),
  }
  return { call: view.getUint32(at, true), batch }
}

/** The chosen token comes first, then the best. */
function detailsOf(cursor: Cursor, count: number): Pick<TokenBatch, 'details'> {
  const chosen = readChance(cursor)
  const top = Array.from({ length: count - 1 }, () => readChance(cursor))
  return { details: [{ ...chosen, top }] }
}

function readChance(cursor: Cursor): TokenChance {
  const { view, at } = cursor
  cursor.at += ALTERNATIVE_BYTES
  return {
    id: view.getInt32(at, true),
    logprob: view.getFloat64(at + 8, true),
    text: take(cursor, view.getUint32(at + 4, true)),
  }
}

function take(cursor: Cursor, units: number): string {
  const from = cursor.textAt
  cursor.textAt += units
  return cursor.text.slice(from, cursor.textAt)
}
