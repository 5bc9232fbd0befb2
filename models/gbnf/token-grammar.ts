/** What a grammar allows among a model's tokens: what native/engine/grammar.cc does, for the driver without it. */
import { FabricError } from '../../core/errors.ts'
import type { GenerateRequest, LoadedModel } from '../backend.ts'
import type { Piece } from '../pieces.ts'
import type { Candidates } from '../run.ts'
import { GrammarMatcher } from './matcher.ts'
import { parseGbnf } from './parse.ts'

/** For one token's choice and its acceptance, each: a thousand times what a usual grammar needs. */
const STEPS_MAX = 8_000_000
const CANDIDATES_MAX = 64
const BYTE_COUNT = 256

export class TokenGrammar {
  readonly #matcher: GrammarMatcher
  readonly #stopIds: ReadonlySet<number>
  readonly #pieceOf: (id: number) => Uint8Array

  constructor(matcher: GrammarMatcher, stopIds: readonly number[], pieceOf: (id: number) => Uint8Array) {
    this.#matcher = matcher
    this.#stopIds = new Set(stopIds)
    this.#pieceOf = pieceOf
  }

  /** Nothing is allowed any more because finding out would take too long. */
  get isSpent(): boolean {
    return this.#matcher.isSpent
  }

  /** Drops what may not come next, and all but the best of the rest; a stop token stays only where the text may end. */
  restricted({ ids, logits }: Candidates): Candidates {
    this.#matcher.afford(STEPS_MAX)
    const mayBegin = ids.length > CANDIDATES_MAX ? this.#beginnings() : undefined
    const kept: number[] = []
    for (let place = 0; place < ids.length && kept.length < CANDIDATES_MAX; place++)
      if (
        (logits[place] ?? Number.NEGATIVE_INFINITY) > Number.NEGATIVE_INFINITY &&
        this.#allows(ids[place] ?? 0, mayBegin)
      )
        kept.push(place)
    if (this.isSpent) return { ids: [], logits: [] }
    return { ids: kept.flatMap((place) => ids[place] ?? []), logits: kept.flatMap((place) => logits[place] ?? []) }
  }

  /** Takes a token as said: one that was allowed. */
  accept(id: number): void {
    if (this.#stopIds.has(id)) return
    this.#matcher.afford(STEPS_MAX)
    this.#matcher.accept(this.#pieceOf(id))
  }

  #allows(id: number, mayBegin: readonly boolean[] | undefined): boolean {
    if (this.#stopIds.has(id)) return this.#matcher.mayEnd
    const piece = this.#pieceOf(id)
    return mayBegin?.[piece[0] ?? 0] !== false && this.#matcher.allows(piece)
  }

  /** With which bytes a piece may begin: so that few of a whole vocabulary's pieces need to be followed. */
  #beginnings(): readonly boolean[] {
    return Array.from({ length: BYTE_COUNT }, (_, byte) => this.#matcher.allows(Uint8Array.of(byte)))
  }
}

/**
 * @returns undefined for a request without a grammar
 * @throws  FabricError CF_JOB_INVALID for a text that is no grammar, or one that allows nothing; CF_MODEL_UNSUPPORTED without pieces
 */
export function createTokenGrammar(
  { grammar = '', showControl = false }: Pick<GenerateRequest, 'grammar' | 'showControl'>,
  { stopIds }: Pick<LoadedModel, 'stopIds'>,
  piece: Piece | undefined,
): TokenGrammar | undefined {
  if (grammar === '') return undefined
  if (piece === undefined) throw new FabricError('CF_MODEL_UNSUPPORTED', { grammar: 'needs the native engine' })
  const parsed = parseGbnf(grammar)
  if (parsed?.allowsSomething !== true) throw new FabricError('CF_JOB_INVALID', { field: 'grammar' })
  return new TokenGrammar(new GrammarMatcher(parsed), stopIds, (id) => piece(id, showControl))
}
