/** Changes on their way to everybody: passed on a bounded number of times, the least told first. */
import type { PeerId } from '../ids.ts'
import type { Word } from './word.ts'

/** `accuser` could not reach `accused` while this was its incarnation: a claim, never a verdict. */
export type Accusation = { readonly accused: PeerId; readonly incarnation: bigint; readonly accuser: PeerId }

export type Gossip<W extends Word> = { readonly words: readonly W[]; readonly accusations: readonly Accusation[] }

export const ACCUSATION_BYTES = 80

export type TellCounts = { readonly accusation: number; readonly word: number }

type Rumour<W extends Word> = { readonly about: W | Accusation; told: number }

const isWord = <W extends Word>(about: W | Accusation): about is W => 'peer' in about

export class Rumours<W extends Word> {
  readonly #rumours = new Map<string, Rumour<W>>()
  readonly #countMax: number

  constructor(countMax: number) {
    this.#countMax = countMax
  }

  get count(): number {
    return this.#rumours.size
  }

  /** Tells a peer's newest word instead of any older one, and instead of what was said of its older incarnation. */
  addWord(word: W): void {
    this.dropAccusations(word.peer)
    this.#add(`word/${word.peer}`, word)
  }

  addAccusation(accusation: Accusation): void {
    this.#add(`accusation/${accusation.accused}/${accusation.accuser}`, accusation)
  }

  dropAccusations(accused: PeerId): void {
    for (const [key, { about }] of this.#rumours)
      if (!isWord(about) && about.accused === accused) this.#rumours.delete(key)
  }

  /** What goes into the next message; whoever is told of itself first counts as told. */
  take(bytesMax: number, tellMax: TellCounts, first?: Accusation): Gossip<W> {
    const words: W[] = []
    const accusations: Accusation[] = first === undefined ? [] : [first]
    let room = bytesMax - accusations.length * ACCUSATION_BYTES
    const waiting = [...this.#rumours].sort(([, a], [, b]) => a.told - b.told)
    for (const [key, rumour] of waiting) {
      const { about } = rumour
      const size = isWord(about) ? about.byteCount : ACCUSATION_BYTES
      if (size > room) continue
      room -= size
      if (isWord(about)) words.push(about)
      else accusations.push(about)
      rumour.told += 1
      if (rumour.told >= (isWord(about) ? tellMax.word : tellMax.accusation)) this.#rumours.delete(key)
    }
    return { words, accusations }
  }

  #add(key: string, about: W | Accusation): void {
    this.#rumours.delete(key)
    if (this.#rumours.size >= this.#countMax) this.#dropMostTold()
    this.#rumours.set(key, { about, told: 0 })
  }

  #dropMostTold(): void {
    let [most, toldMost] = ['', -1]
    for (const [key, { told }] of this.#rumours) if (told > toldMost) [most, toldMost] = [key, told]
    this.#rumours.delete(most)
  }
}
