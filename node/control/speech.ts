/** What a model says, told apart: its thoughts, its words to the user, its calls of tools. */
import type { CallPiece } from '../../models/tools/parser.ts'

export type Piece = { readonly text: string; readonly reasoning: string; readonly calls: readonly CallPiece[] }

/** Reads a text that comes in pieces. */
export interface Listener {
  push(text: string): Piece
  /** What was held back, since nothing more comes. */
  end(): Piece
}

const NO_CALLS: readonly CallPiece[] = []
export const SILENCE: Piece = { text: '', reasoning: '', calls: NO_CALLS }

export function isSilent({ text, reasoning, calls }: Piece): boolean {
  return text === '' && reasoning === '' && calls.length === 0
}

export function joined(one: Piece, next: Piece): Piece {
  if (isSilent(next)) return one
  return {
    text: one.text + next.text,
    reasoning: one.reasoning + next.reasoning,
    calls: [...one.calls, ...next.calls],
  }
}

/** Of a model that neither thinks nor calls: all that it says is for the user. */
export const PLAIN_LISTENER: Listener = {
  push: (text) => (text === '' ? SILENCE : { text, reasoning: '', calls: NO_CALLS }),
  end: () => SILENCE,
}
