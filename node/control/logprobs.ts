/** Chances of tokens in the two shapes that the OpenAI API has for them. They are the worker's own claim. */
import type { TokenChance, TokenDetail } from '../../models/backend.ts'

/** A token and where its text begins in the answer, UTF-16 units. */
export type PlacedToken = { readonly detail: TokenDetail; readonly offset: number }

/** What the API's reference says for a token that is very unlikely: JSON has no infinity. */
const UNLIKELY = -9999

export function chatLogprobs(tokens: readonly PlacedToken[]): object {
  return {
    content: tokens.map(({ detail }) => ({ ...chanceJson(detail), top_logprobs: detail.top.map(chanceJson) })),
    refusal: null,
  }
}

/** A token that is a part of a character has no bytes of its own to show. */
function chanceJson({ text, logprob }: TokenChance): { token: string; logprob: number; bytes: number[] | null } {
  return { token: text, logprob: shown(logprob), bytes: text === '' ? null : [...Buffer.from(text)] }
}

/** The shape of `/v1/completions`: parallel lists. The token itself is always among the alternatives. */
export function legacyLogprobs(tokens: readonly PlacedToken[]): object {
  return {
    tokens: tokens.map(({ detail }) => detail.text),
    token_logprobs: tokens.map(({ detail }) => shown(detail.logprob)),
    top_logprobs: tokens.map(({ detail }) => alternatives(detail)),
    text_offset: tokens.map(({ offset }) => offset),
  }
}

/** By text; by id where the text is empty or another token has the same. */
function alternatives({ top, ...token }: TokenDetail): Readonly<Record<string, number>> {
  const named = new Map<string, number>()
  for (const { id, text, logprob } of top.some(({ id }) => id === token.id) ? top : [...top, token])
    named.set(text === '' || named.has(text) ? `token_id:${id}` : text, shown(logprob))
  return Object.fromEntries(named)
}

function shown(logprob: number): number {
  return Number.isFinite(logprob) ? logprob : UNLIKELY
}
