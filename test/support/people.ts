/** Names to keys and digests: the same name is the same key in every test. */
import { domainHash } from '#core/hash'
import { utf8 } from '../../core/codec/bytes.ts'
import { type KeyPair, keyPairFromSeed } from '../../core/identity/keys.ts'
import { type Digest, digestOf, type JobId, parseJobId, parseSwarmId, type SwarmId } from '../../core/ids.ts'
import { invariant } from '../../core/invariant.ts'
import { type ValidatorSet, validatorSet } from '../../core/quorum/validators.ts'
import type { Member } from '../../core/roster/roster.ts'

export function keyNamed(name: string): KeyPair {
  return keyPairFromSeed(domainHash('test-key', utf8(name)))
}

export function digestNamed(name: string): Digest {
  return digestOf(domainHash('test-digest', utf8(name)))
}

export function swarmNamed(name: string): SwarmId {
  const swarmId = parseSwarmId(digestNamed(name))
  invariant(swarmId !== undefined, 'a digest is a swarm id')
  return swarmId
}

export function jobNamed(name: string): JobId {
  const jobId = parseJobId(digestNamed(name))
  invariant(jobId !== undefined, 'a digest is a job id')
  return jobId
}

/** v0, v1, ...: the keys of a validator set of `count`, in its order. */
export function validatorKeys(count: number): readonly KeyPair[] {
  return Array.from({ length: count }, (_, place) => keyNamed(`v${place}`))
}

export function validatorsOf(keys: readonly KeyPair[], epoch = 0n): ValidatorSet {
  return validatorSet(
    epoch,
    keys.map((key) => key.peer),
  )
}

export function memberNamed(name: string, parts: Partial<Member> = {}): Member {
  return { peer: keyNamed(name).peer, weight: 1, roles: 1, owner: digestNamed(`owner of ${name}`), block: 0, ...parts }
}
