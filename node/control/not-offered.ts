/** Parameters of the OpenAI API that are known and not offered: refused by name unless they ask for nothing special. */
import type { Fields } from './fields.ts'
import { unsupported } from './problem.ts'

/** Whether a value asks for what happens anyway; null always does. */
export type Neutral = (value: unknown) => boolean

export const only =
  (...values: readonly unknown[]): Neutral =>
  (value) =>
    values.includes(value)
export const emptyList: Neutral = (value) => Array.isArray(value) && value.length === 0
export const textOnly: Neutral = (value) => Array.isArray(value) && value.length === 1 && value[0] === 'text'
/** @throws CF_CONTROL_UNSUPPORTED with `param` */
export function refuseNotOffered(fields: Fields, notOffered: Readonly<Record<string, Neutral>>): void {
  for (const [name, neutral] of Object.entries(notOffered)) {
    const value = fields[name]
    if (value !== undefined && value !== null && !neutral(value)) throw unsupported(name, 'its default value')
  }
}
