/** SHA-256 (FIPS 180-4) by node:crypto; hash.noble.ts takes its place in a browser, chosen by `imports` of package.json. */
import { hash } from 'node:crypto'
import { concatBytes, domainHead } from './bytes.ts'

/** Hashes the concatenation of the parts; callers prefix lengths where parts could shift. */
export function sha256(...parts: readonly Uint8Array[]): Uint8Array {
  const [only] = parts
  const input = parts.length === 1 && only !== undefined ? only : concatBytes(...parts)
  return new Uint8Array(hash('sha256', input, 'buffer'))
}

/** SHA-256("cfab/<domain>/v1" || 0x00 || parts...): a hash of one domain never equals one of another. */
export function domainHash(domain: string, ...parts: readonly Uint8Array[]): Uint8Array {
  return sha256(domainHead(domain), ...parts)
}
