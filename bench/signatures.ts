/** Which Ed25519 verifications some work comes down to, so that the same can be done barely. */
import crypto, { type KeyObject, verify } from 'node:crypto'
import { syncBuiltinESMExports } from 'node:module'

type Verification = { readonly message: Uint8Array; readonly key: KeyObject; readonly signature: Uint8Array }

/** Notes every call of node:crypto's `verify` while the work runs. */
export function verificationsOf(work: () => void): readonly Verification[] {
  const noted: Verification[] = []
  const original = crypto.verify
  const noting = new Proxy(original, {
    apply(target, self, [algorithm, message, key, signature]: [null, Uint8Array, KeyObject, Uint8Array]) {
      noted.push({ message: message.slice(), key, signature: signature.slice() })
      return Reflect.apply(target, self, [algorithm, message, key, signature])
    },
  })
  crypto.verify = noting
  syncBuiltinESMExports()
  try {
    work()
  } finally {
    crypto.verify = original
    syncBuiltinESMExports()
  }
  return noted
}

/** Does them with nothing around. */
export function verifyBarely(verifications: readonly Verification[]): void {
  for (const { message, key, signature } of verifications)
    if (!verify(null, message, key, signature)) throw new Error('a signature does not hold')
}
