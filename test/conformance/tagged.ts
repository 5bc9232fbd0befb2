/** Wire values as JSON: each is an object of one member that names its kind, since JSON has neither bytes nor wide integers. */
import { toHex } from '../../core/codec/bytes.ts'
import type { Wire } from '../../core/codec/canonical.ts'

export type Tagged =
  | { readonly uint: number }
  | { readonly wide: string }
  | { readonly flag: boolean }
  | { readonly text: string }
  | { readonly bytes: string }
  | { readonly list: readonly Tagged[] }

export function taggedOf(value: Wire): Tagged {
  if (typeof value === 'number') return { uint: value }
  if (typeof value === 'bigint') return { wide: value.toString() }
  if (typeof value === 'boolean') return { flag: value }
  if (typeof value === 'string') return { text: value }
  return value instanceof Uint8Array ? { bytes: toHex(value) } : { list: value.map(taggedOf) }
}
