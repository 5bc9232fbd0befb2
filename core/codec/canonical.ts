/** Values to bytes and back, one encoding per value: the MessagePack that msgpackr writes for fixed arrays. */
import { Packr } from 'msgpackr/pack'
import { invariant } from '../invariant.ts'
import { LIMITS } from '../limits.ts'
import { accept, type Validation } from '../validation.ts'
import { scan } from './guard.ts'
import { readScanned } from './read.ts'

/** What may be signed: a number is an integer of 0..2^32-1, a bigint one of -2^63..2^64-1; no float, map, nil or extension. */
export type Wire = number | bigint | boolean | string | Uint8Array | readonly Wire[]

const packr = new Packr({ useRecords: false, int64AsType: 'bigint' })

/** @throws InvariantError on a value that has no canonical form: a float, a lone surrogate, a value too deep or too large */
export function encodeWire(value: Wire): Uint8Array {
  const bytes = new Uint8Array(packr.pack(value))
  const { action } = scan(bytes, boundsOf(bytes.length))
  invariant(action === 'accept', 'what is encoded is canonical')
  return bytes
}

/**
 * Scans, then decodes. Byte strings in the result are copies: they neither keep the input alive nor change with it.
 *
 * @param bytesMax  refuses more before looking at a byte
 */
export function decodeWire(bytes: Uint8Array, bytesMax: number): Validation<Wire> {
  const scanned = scan(bytes, boundsOf(bytesMax))
  return scanned.action === 'accept' ? accept(readScanned(bytes)) : scanned
}

function boundsOf(bytesMax: number): { bytesMax: number; depthMax: number; itemsMax: number } {
  return { bytesMax, depthMax: LIMITS.wireDepthMax, itemsMax: LIMITS.wireItemsMax }
}
