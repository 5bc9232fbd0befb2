/** Whether a grammar allows any text that comes to an end. */
import { invariant } from '../../core/invariant.ts'
import type { Gbnf } from './parse.ts'

type Alternative = { readonly rule: number; open: number }

/**
 * Works from what needs nothing to what needs it: an alternative is done when all rules in it are, a rule when one of its
 * alternatives is. Every element is looked at once.
 */
export function allowsSomething({ elements, rules, root }: Omit<Gbnf, 'allowsSomething'>): boolean {
  const waiting = new Map<number, Alternative[]>()
  const done = new Set<number>()
  const found: number[] = []
  const settle = (rule: number): void => {
    if (done.has(rule)) return
    done.add(rule)
    found.push(rule)
  }
  for (const [rule, starts] of rules.entries())
    for (const start of starts) {
      const needed = neededBy(elements, start)
      if (needed === undefined) continue
      const alternative = { rule, open: needed.size }
      if (needed.size === 0) settle(rule)
      for (const other of needed) {
        const list = waiting.get(other)
        if (list === undefined) waiting.set(other, [alternative])
        else list.push(alternative)
      }
    }
  for (let at = 0; at < found.length; at++) {
    const rule = found[at]
    invariant(rule !== undefined, 'a place within the list')
    for (const alternative of waiting.get(rule) ?? []) {
      alternative.open -= 1
      if (alternative.open === 0) settle(alternative.rule)
    }
  }
  return done.has(root)
}

/** @returns the rules in an alternative; undefined where a class in it has no characters */
function neededBy(elements: Gbnf['elements'], start: number): ReadonlySet<number> | undefined {
  const needed = new Set<number>()
  for (let at = start; ; at++) {
    const element = elements[at]
    if (element === undefined || element.kind === 'end') return needed
    if (element.kind === 'rule') needed.add(element.rule)
    else if (element.ranges.length === 0) return undefined
  }
}
