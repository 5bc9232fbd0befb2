/** Browser twin of hash.ts, by noble; a conformance test holds the two equal. */
import { sha256 as nobleSha256 } from '@noble/hashes/sha2.js'
import { concatBytes, utf8 } from './bytes.ts'

const SEPARATOR = new Uint8Array(1)

export function sha256(...parts: readonly Uint8Array[]): Uint8Array {
  return nobleSha256(concatBytes(...parts))
}

export function domainHash(domain: string, ...parts: readonly Uint8Array[]): Uint8Array {
  return sha256(utf8(`cfab/${domain}/v1`), SEPARATOR, ...parts)
}
