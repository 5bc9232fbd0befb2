/** Keys without files, for tests and simulations. */
import { type KeyPair, keyPairFromSeed } from '../../core/identity/keys.ts'
import { invariant } from '../../core/invariant.ts'
import type { KeyStore, Random } from '../../node/runtime/ports.ts'

export function createMemoryKeyStore(random: Random): KeyStore {
  const keys = new Map<string, KeyPair>()
  return {
    async load(name) {
      invariant(/^[a-z0-9-]{1,40}$/.test(name), 'a key is named by the code, never by a peer')
      const key = keys.get(name) ?? keyPairFromSeed(random.bytes(32))
      keys.set(name, key)
      return key
    },
    list: async () => [...keys.keys()].sort(),
  }
}
