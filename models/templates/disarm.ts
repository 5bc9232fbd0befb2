/**
 * Breaks control tokens in what people and tools wrote.
 *
 * Why: the rendered prompt is tokenised as a whole, and a message must not be able to end its turn or to open the system's.
 */
import { FabricError } from '../../core/errors.ts'

export type Disarm = (content: string) => string

/** Splits a control token's text; the reader does not see it. */
const BREAK = '\u200b'
const DEPTH_MAX = 64
/** A vocabulary whose control tokens are made of the break itself would go on for ever. */
const PASSES_MAX = 16

export function createDisarm(controlTexts: readonly string[]): Disarm {
  if (controlTexts.length === 0) return (content) => content
  const anywhere = new RegExp(controlTexts.map(escaped).join('|'), 'g')
  return (content) => {
    let broken = content
    // Again, because one control token's text may lie within another's.
    for (let pass = 0; broken.search(anywhere) >= 0; pass++) {
      if (pass === PASSES_MAX) throw new FabricError('CF_JOB_INVALID', { field: 'messages', reason: 'control_text' })
      broken = broken.replace(anywhere, split)
    }
    return broken
  }
}

/**
 * The same value with every text in it disarmed, names of members too.
 *
 * @throws FabricError CF_JOB_INVALID when it is nested too deeply to be walked
 */
export function disarmed(value: unknown, disarm: Disarm, field: string, depth = 0): unknown {
  if (typeof value === 'string') return disarm(value)
  if (typeof value !== 'object' || value === null) return value
  if (depth === DEPTH_MAX) throw new FabricError('CF_JOB_INVALID', { field, reason: 'nested_too_deeply' })
  if (Array.isArray(value)) return value.map((item: unknown) => disarmed(item, disarm, field, depth + 1))
  const members: [string, unknown][] = Object.entries(value)
  return Object.fromEntries(members.map(([name, part]) => [disarm(name), disarmed(part, disarm, field, depth + 1)]))
}

function split(text: string): string {
  const [first = '', ...rest] = text
  return first + BREAK + rest.join('')
}

function escaped(text: string): string {
  return text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')
}
