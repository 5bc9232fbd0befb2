/** Browser twin of hash.ts, by noble; a conformance test holds the two equal. */
import { sha256 as nobleSha256 } from '@noble/hashes/sha2.js'
import { concatBytes, domainHead } from './bytes.ts'

export function sha256(...parts: readonly Uint8Array[]): Uint8Array {
  return nobleSha256(concatBytes(...parts))
}

export function domainHash(domain: string, ...parts: readonly Uint8Array[]): Uint8Array {
  return sha256(domainHead(domain), ...parts)
}
