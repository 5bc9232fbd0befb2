import * as assert from 'uvu/assert'
import * as noble from '../../core/identity/ed25519.noble.ts'
import * as ed25519 from '../../core/identity/ed25519.ts'
import { admitKey } from '../../core/identity/keys.ts'
import { acceptedOf, bytesOf, type VectorCase } from './vector.ts'

export const file = 'keys.json'

/** A case with a signature asks both verifiers; one without asks whether the key is admitted. */
export function check(vector: VectorCase): void {
  const publicKey = bytesOf(vector.input, 'publicKey')
  if (vector.input['signature'] === undefined) {
    const peer = acceptedOf(admitKey(publicKey), vector)
    if (peer !== undefined) assert.is(peer, vector.expect['peer'])
    return
  }
  const [message, signature] = [bytesOf(vector.input, 'message'), bytesOf(vector.input, 'signature')]
  assert.is(ed25519.verifyBytes(publicKey, message, signature), vector.accept, 'node:crypto')
  assert.is(noble.verifyBytes(publicKey, message, signature), vector.accept, 'noble')
  if (vector.input['seed'] === undefined) return
  for (const { keyFromSeed, signBytes } of [ed25519, noble]) {
    const seed = bytesOf(vector.input, 'seed')
    assert.equal(keyFromSeed(seed).publicKey, publicKey)
    assert.equal(signBytes(seed, message), signature)
  }
}
