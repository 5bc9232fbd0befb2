/**
 * Follows a text through a grammar, character by character, and says which pieces may come next: what native/engine/matcher.cc does,
 * for the driver without it.
 *
 * All ways to read the text so far are followed side by side. What they have in common is kept once: a rule's caller is a node of a
 * graph that all callers at one place of the text share. So the work grows with a low power of the text's length, also for grammars
 * that are ambiguous or left-recursive.
 *
 * @see Tomita 1986 (graph-structured stack); Scott and Johnstone 2010 (GLL)
 */
import { invariant } from '../../core/invariant.ts'
import type { CharacterClass, Element, Gbnf } from './parse.ts'
import { headOf } from './utf8-head.ts'

/** Where a rule was entered: the element behind it, and who waits for that one's alternative. `undefined` is the end of `root`. */
type Node = { readonly element: number; readonly callers: Set<Node | undefined>; left: boolean }
/** The element that comes next, and where to go on at its alternative's end. */
type Way = { readonly element: number; readonly node: Node | undefined }
type Place = { readonly ways: readonly Way[]; readonly mayEnd: boolean }

const NOWHERE: Place = { ways: [], mayEnd: false }
const NO_BYTES = new Uint8Array()
/** For the start; later the caller says. */
const FIRST_STEPS = 1_000_000

export class GrammarMatcher {
  readonly #grammar: Gbnf
  #place: Place
  /** Bytes of an unfinished character. */
  #held: Uint8Array = NO_BYTES
  #stepsLeft = FIRST_STEPS

  constructor(grammar: Gbnf) {
    this.#grammar = grammar
    const starts = grammar.rules[grammar.root] ?? []
    this.#place = this.#closed(starts.map((element) => ({ element, node: undefined })))
  }

  /** What can be afforded from here on; with nothing left nothing is allowed, so that a hostile grammar ends its own job. */
  afford(steps: number): void {
    this.#stepsLeft = steps
  }

  get isSpent(): boolean {
    return this.#stepsLeft <= 0
  }

  /** Whether the text may end here. */
  get mayEnd(): boolean {
    return this.#place.mayEnd && this.#held.length === 0
  }

  /** Whether the text may go on with these bytes, which may end inside a character. No bytes are no piece. */
  allows(bytes: Uint8Array): boolean {
    if (bytes.length === 0) return false
    const text = joined(this.#held, bytes)
    const [place, done] = this.#walk(text)
    if (place === undefined || this.isSpent) return false
    if (done === text.length) return true
    const head = headOf(text, done)
    return (
      head.kind !== 'broken' && place.ways.some(({ element }) => takesSome(this.#element(element), head.min, head.max))
    )
  }

  /** Takes bytes that are allowed. */
  accept(bytes: Uint8Array): void {
    const text = joined(this.#held, bytes)
    const [place, done] = this.#walk(text)
    this.#place = place === undefined || this.isSpent ? NOWHERE : place
    this.#held = text.subarray(done)
  }

  /** @returns where the whole characters lead, undefined for nowhere, and how many bytes they have */
  #walk(text: Uint8Array): readonly [Place | undefined, number] {
    let place = this.#place
    let done = 0
    while (done < text.length) {
      const head = headOf(text, done)
      if (head.kind === 'unfinished') break
      if (head.kind === 'broken') return [undefined, done]
      place = this.#stepped(place, head.min)
      if (place.ways.length === 0 && !place.mayEnd) return [undefined, done]
      done += head.bytes
    }
    return [place, done]
  }

  #stepped({ ways }: Place, code: number): Place {
    this.#stepsLeft -= ways.length
    const taken = ways.filter(({ element }) => takesSome(this.#element(element), code, code))
    return this.#closed(taken.map(({ element, node }) => ({ element: element + 1, node })))
  }

  /** Follows ways through rules and ends until only those are left that wait for a character. */
  #closed(start: readonly Way[]): Place {
    const walk: Walk = { todo: [...start], seen: new Map(), nodes: new Map(), ways: [], mayEnd: false }
    for (let way = walk.todo.pop(); way !== undefined && !this.isSpent; way = walk.todo.pop()) {
      this.#stepsLeft -= 1
      if (isSeen(walk, way)) continue
      const element = this.#element(way.element)
      if (element.kind === 'rule') this.#enter(walk, way, element.rule)
      else if (element.kind === 'end') leave(walk, way.node)
      else walk.ways.push(way)
    }
    return { ways: walk.ways, mayEnd: walk.mayEnd }
  }

  #enter(walk: Walk, way: Way, rule: number): void {
    const behind = way.element + 1
    // Behind the last element of an alternative comes what comes behind the alternative: no node, so that repetitions stay flat.
    const isLast = this.#element(behind).kind === 'end'
    const node = isLast ? way.node : pushed(walk, behind, way.node)
    for (const element of this.#grammar.rules[rule] ?? []) walk.todo.push({ element, node })
  }

  #element(at: number): Element {
    const element = this.#grammar.elements[at]
    invariant(element !== undefined, 'every alternative is closed by an end')
    return element
  }
}

/** What one place needs while it is worked out. */
type Walk = {
  readonly todo: Way[]
  readonly seen: Map<number, Set<Node | undefined>>
  readonly nodes: Map<number, Node>
  readonly ways: Way[]
  mayEnd: boolean
}

function isSeen({ seen }: Walk, { element, node }: Way): boolean {
  const nodes = seen.get(element)
  if (nodes === undefined) seen.set(element, new Set([node]))
  else if (nodes.has(node)) return true
  else nodes.add(node)
  return false
}

function leave(walk: Walk, node: Node | undefined): void {
  if (node === undefined) {
    walk.mayEnd = true
    return
  }
  // A node of this place may get callers later: they are told when they come.
  if (walk.nodes.get(node.element) === node) node.left = true
  for (const caller of node.callers) walk.todo.push({ element: node.element, node: caller })
}

/** The node of this place for an element, with one more caller. */
function pushed(walk: Walk, element: number, caller: Node | undefined): Node {
  const known = walk.nodes.get(element)
  const node = known ?? { element, callers: new Set(), left: false }
  if (known === undefined) walk.nodes.set(element, node)
  node.callers.add(caller)
  // The rule can be empty, and this caller came too late to be told.
  if (node.left) walk.todo.push({ element, node: caller })
  return node
}

/** Whether the element takes one of the characters from min to max. */
function takesSome(element: Element, min: number, max: number): boolean {
  return element.kind === 'class' && overlaps(element.ranges, min, max)
}

function overlaps(ranges: CharacterClass, min: number, max: number): boolean {
  for (let at = 0; at < ranges.length; at += 2) {
    if (max < (ranges[at] ?? 0)) return false
    if (min <= (ranges[at + 1] ?? 0)) return true
  }
  return false
}

function joined(first: Uint8Array, second: Uint8Array): Uint8Array {
  if (first.length === 0) return second
  const both = new Uint8Array(first.length + second.length)
  both.set(first)
  both.set(second, first.length)
  return both
}
