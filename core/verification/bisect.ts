/**
 * Finds where two vectors of margins begin to differ, from their roots down: each step asks both sides for one level of their trees,
 * and what they answer must hash to what they have said before. So log2(n) small answers take the place of two whole vectors, and a
 * side that answers anything else than what it signed is found out on the way.
 *
 * @see docs/PROTOCOL.md#disputes
 */
import { sha256 } from '#core/hash'
import { equalBytes, u16be, u32be } from '../codec/bytes.ts'
import { type Digest, digestBytes } from '../ids.ts'
import { marginLeaves, marginParents, stepsOf } from './audit.ts'

const LEAF_MARGINS = 32
const LEAF = Uint8Array.of(0)
/** Leaves whose margins differ by noise alone are passed over, but not for ever. */
const QUESTION_COUNT_MAX = 256

/** `nodes`: the two below node `index` of `level`, or the only one. `margins`: those of leaf `index`, in 256ths of a nat. */
export type BisectQuestion = { readonly ask: 'nodes' | 'margins'; readonly level: number; readonly index: number }
export type BisectAnswer = { readonly nodes: readonly Uint8Array[]; readonly margins: readonly number[] }

export type BisectResult =
  /** `one` and `other` are 256ths of a nat. */
  | { readonly found: 'position'; readonly position: number; readonly one: number; readonly other: number }
  /** No two margins are further apart than the tolerance. */
  | { readonly found: 'nothing' }
  /** An answer is not what the root, or an earlier answer, binds this side to. */
  | { readonly found: 'lie'; readonly side: 'one' | 'other' }
  | { readonly found: 'too_many' }

type Pair = { readonly level: number; readonly index: number; readonly one: Uint8Array; readonly other: Uint8Array }

/**
 * Asks and judges: send the answers of both sides to each question to `next`.
 *
 * @param positions      margins of each side
 * @param toleranceSteps  256ths of a nat that two margins may differ by
 * @returns              at most 256 questions, ceil(log2(leaves)) + 1 when noise does not lie before
 */
export function* bisect(
  one: Digest,
  other: Digest,
  positions: number,
  toleranceSteps: number,
): Generator<BisectQuestion, BisectResult, readonly [BisectAnswer, BisectAnswer]> {
  const widths = levelWidths(positions)
  const open: Pair[] = [{ level: widths.length - 1, index: 0, one: digestBytes(one), other: digestBytes(other) }]
  for (let count = 0; count < QUESTION_COUNT_MAX; count += 1) {
    const at = open.pop()
    if (at === undefined || positions === 0) return { found: 'nothing' }
    if (equalBytes(at.one, at.other)) continue
    const { level, index } = at
    const [first, second] = yield { ask: level === 0 ? 'margins' : 'nodes', level, index }
    const fits = level === 0 ? isLeaf(index, leafSize(positions, index)) : isParent(childCount(widths, level, index))
    if (!fits(first, at.one)) return { found: 'lie', side: 'one' }
    if (!fits(second, at.other)) return { found: 'lie', side: 'other' }
    if (level > 0) {
      open.push(...below(at, first, second))
      continue
    }
    const place = first.margins.findIndex((margin, step) => isApart(margin, second.margins[step], toleranceSteps))
    if (place >= 0) return differing(index * LEAF_MARGINS + place, first.margins[place], second.margins[place])
  }
  return { found: 'too_many' }
}

function differing(position: number, one = 0, other = 0): BisectResult {
  return { found: 'position', position, one, other }
}

function isApart(one: number, other = 0, toleranceSteps: number): boolean {
  return Math.abs(one - other) > toleranceSteps
}

/** The left one last, so that it is looked at first. */
function below({ level, index }: Pair, first: BisectAnswer, second: BisectAnswer): readonly Pair[] {
  return first.nodes
    .flatMap((one, step) => {
      const other = second.nodes[step]
      return other === undefined ? [] : [{ level: level - 1, index: 2 * index + step, one, other }]
    })
    .reverse()
}

type Fits = (answer: BisectAnswer, node: Uint8Array) => boolean

function isParent(count: number): Fits {
  return ({ nodes }, node) => {
    const [parent] = nodes.length === count ? marginParents(nodes) : []
    return parent !== undefined && nodes.every(({ length }) => length === 32) && equalBytes(parent, node)
  }
}

function isLeaf(index: number, size: number): Fits {
  return ({ margins }, node) => margins.length === size && equalBytes(leafOf(index, margins), node)
}

function leafOf(index: number, steps: readonly number[]): Uint8Array {
  return sha256(LEAF, u32be(index), ...steps.map((step) => u16be(Math.min(0xffff, Math.max(0, step)))))
}

/** Nodes of each level, leaves first. */
function levelWidths(positions: number): readonly number[] {
  const widths = [Math.max(1, Math.ceil(positions / LEAF_MARGINS))]
  for (let last = widths[0] ?? 1; last > 1; last = Math.ceil(last / 2)) widths.push(Math.ceil(last / 2))
  return widths
}

function childCount(widths: readonly number[], level: number, index: number): number {
  return Math.min(2, (widths[level - 1] ?? 0) - 2 * index)
}

function leafSize(positions: number, index: number): number {
  return Math.min(LEAF_MARGINS, positions - index * LEAF_MARGINS)
}

/**
 * Answers questions about one's own margins.
 *
 * @returns undefined for a question about a node that the tree does not have
 */
export function bisectAnswerer(margins: readonly number[]): (question: BisectQuestion) => BisectAnswer | undefined {
  const levels: (readonly Uint8Array[])[] = [marginLeaves(margins)]
  for (let last = levels[0] ?? []; last.length > 1; last = levels.at(-1) ?? []) levels.push(marginParents(last))
  return ({ ask, level, index }) => {
    if (index < 0 || index >= (levels[level]?.length ?? 0)) return undefined
    if (ask === 'nodes') {
      const nodes = levels[level - 1]?.slice(2 * index, 2 * index + 2)
      return nodes === undefined ? undefined : { nodes, margins: [] }
    }
    const start = index * LEAF_MARGINS
    return level === 0 ? { nodes: [], margins: margins.slice(start, start + LEAF_MARGINS).map(stepsOf) } : undefined
  }
}
