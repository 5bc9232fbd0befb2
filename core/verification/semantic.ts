/**
 * Layer L3: which of several sound answers stands for them all. It chooses and never fails anybody.
 *
 * Why so: embeddings put a role swap or a changed digit nearer than a true paraphrase. What has a form is therefore compared by its
 * form first, and what differs there is never called alike, however close its vectors are.
 *
 * @see docs/PROTOCOL.md#choosing-among-answers
 */
import { invariant } from '../invariant.ts'

/** Permille: two answers mean the same from here on, unless their form says otherwise. */
export const ALIKE_PERMILLE = 800
export const SAME_PERMILLE = 1_000
/** Nesting of a JSON answer that is still compared as JSON. */
const JSON_DEPTH_MAX = 64
const FENCE = /```[^\n]*\n([\s\S]*?)```/g
const NUMBER = /-?\d+(?:[.,]\d+)*(?:e[+-]?\d+)?/gi
const WORD_BEFORE = /[\p{L}_]/u

export type Form = 'same' | 'different' | 'open'

/**
 * Compares what two answers say in a form that a machine can read.
 *
 * @returns  `same`: JSON values, or texts but for white space, that are equal; `different`: JSON that is not equal, or other code or
 *           other numbers; `open`: nothing of that kind decides
 */
export function compareForms(one: string, other: string): Form {
  const [left, right] = [parseJson(one), parseJson(other)]
  if (left !== undefined && right !== undefined) return left === right ? 'same' : 'different'
  if (words(one) === words(other)) return 'same'
  if ((left === undefined) !== (right === undefined)) return 'different'
  const codes = [codeOf(one), codeOf(other)] as const
  if (codes[0] !== codes[1]) return 'different'
  return numbersOf(one) === numbersOf(other) ? 'open' : 'different'
}

/** One text for equal values, whatever the order of their keys; undefined when the answer is no JSON object or array. */
function parseJson(answer: string): string | undefined {
  const inner = answer.trim().replace(/^```(?:json)?\s*\n([\s\S]*)\n```$/, '$1')
  if (!/^[[{]/.test(inner)) return undefined
  try {
    return canonical(JSON.parse(inner), 0)
  } catch {
    return undefined
  }
}

function canonical(value: unknown, depth: number): string {
  if (depth > JSON_DEPTH_MAX) throw new RangeError('nested too deep')
  if (Array.isArray(value)) return `[${value.map((item) => canonical(item, depth + 1)).join()}]`
  if (typeof value !== 'object' || value === null) return JSON.stringify(value)
  const fields = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0))
  return `{${fields.map(([key, item]) => `${JSON.stringify(key)}:${canonical(item, depth + 1)}`).join()}}`
}

function words(answer: string): string {
  return answer.normalize('NFC').trim().split(/\s+/).join(' ')
}

/** Fenced blocks without their language and trailing white space. */
function codeOf(answer: string): string {
  return [...answer.matchAll(FENCE)].map(([, code = '']) => code.replace(/[ \t]+$/gm, '').trimEnd()).join('\0')
}

/** Numbers in ascending order of their text; part of a name such as `x2` is none. */
function numbersOf(answer: string): string {
  const found = [...answer.matchAll(NUMBER)].filter(({ index }) => !WORD_BEFORE.test(answer.charAt(index - 1)))
  return found
    .map(([number]) => number.replaceAll(',', ''))
    .sort()
    .join()
}

/** Permille of each pair of answers, symmetric; place `i * count + j`. */
export type Similarities = readonly number[]

/** How many numbers the pairs of so many answers are, each pair once. */
export function pairCount(count: number): number {
  return (count * (count - 1)) / 2
}

/**
 * Puts forms and cosines together.
 *
 * @param cosines  permille of the pairs (0,1), (0,2), ..., (1,2), ...; each from 0 to 1,000
 */
export function similaritiesOf(answers: readonly string[], cosines: readonly number[]): Similarities {
  const count = answers.length
  invariant(cosines.length === pairCount(count), 'every pair of answers has its cosine')
  const all = new Array<number>(count * count).fill(SAME_PERMILLE)
  let pair = 0
  for (let i = 0; i < count; i += 1)
    for (let j = i + 1; j < count; j += 1) {
      const form = compareForms(answers[i] ?? '', answers[j] ?? '')
      const value = form === 'same' ? SAME_PERMILLE : form === 'different' ? 0 : (cosines[pair] ?? 0)
      all[i * count + j] = value
      all[j * count + i] = value
      pair += 1
    }
  return all
}

/**
 * Groups answers so that every two of a group are alike (complete linkage): a chain of small steps joins nothing.
 *
 * @param places  the answers that may be chosen
 * @returns       groups in order of their first member, members ascending
 */
export function clustersOf(
  similarities: Similarities,
  count: number,
  places: readonly number[],
): readonly (readonly number[])[] {
  let groups = places.toSorted((a, b) => a - b).map((place): readonly number[] => [place])
  const between = (left: readonly number[], right: readonly number[]): number =>
    Math.min(...left.flatMap((i) => right.map((j) => similarities[i * count + j] ?? 0)))
  for (;;) {
    let best: { readonly left: number; readonly right: number; readonly value: number } | undefined
    for (let left = 0; left < groups.length; left += 1)
      for (let right = left + 1; right < groups.length; right += 1) {
        const value = between(groups[left] ?? [], groups[right] ?? [])
        if (value >= ALIKE_PERMILLE && value > (best?.value ?? -1)) best = { left, right, value }
      }
    if (best === undefined) return groups
    const { left, right } = best
    const merged = [...(groups[left] ?? []), ...(groups[right] ?? [])].sort((a, b) => a - b)
    groups = groups.flatMap((group, place) => (place === left ? [merged] : place === right ? [] : [group]))
  }
}

/**
 * Chooses the answer in the middle of the largest group.
 *
 * Why weights are capped: reputation may break a tie between equals, and nobody's is worth more than twice what is usual.
 * Why an answer counts for itself: else each lacks its own worker's weight, and among answers that are nearly alike the worker who is
 * trusted least would be chosen before two who agree.
 *
 * @param weights  of each answer's worker, above 0; the group counts by heads, weights count within it
 * @param places   the answers that may be chosen, at least one
 * @returns        the place; ties go to the lowest; undefined where no two are alike, and nothing stands for them
 */
export function chooseAmong(
  similarities: Similarities,
  weights: readonly number[],
  places: readonly number[],
): number | undefined {
  invariant(places.length > 0, 'there is an answer to choose')
  const count = weights.length
  const [group = []] = clustersOf(similarities, count, places).toSorted((a, b) => b.length - a.length)
  if (group.length < 2 && places.length > 1) return undefined
  const capped = cappedWeights(weights, places)
  const closeness = (i: number): number =>
    group.reduce((sum, j) => sum + (capped[j] ?? 0) * (similarities[i * count + j] ?? 0), 0)
  return group.reduce((best, place) => (closeness(place) > closeness(best) ? place : best), group[0] ?? 0)
}

function cappedWeights(weights: readonly number[], places: readonly number[]): readonly number[] {
  const sorted = places.map((place) => weights[place] ?? 0).sort((a, b) => a - b)
  const most = 2 * (sorted[(sorted.length - 1) >> 1] ?? 0)
  return weights.map((weight) => Math.min(weight, most))
}
