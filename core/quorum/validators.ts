/** The validator set of an epoch: whose votes count, in which order, and how many make a quorum. */
import { domainHash } from '#core/hash'
import { u64be } from '../codec/bytes.ts'
import { type Digest, digestOf, keyOf, type PeerId } from '../ids.ts'
import { invariant } from '../invariant.ts'
import { LIMITS } from '../limits.ts'

export type ValidatorSet = {
  readonly epoch: bigint
  /** As listed in the genesis or in the entry that installed the set: the place is the bit in a certificate. */
  readonly keys: readonly PeerId[]
  /** Binds epoch, quorum and ordered keys; every vote names it, so a vote never counts in another set. */
  readonly hash: Digest
  readonly quorum: number
}

/**
 * Gives the votes that a set of `n` needs.
 *
 * Why so: with n = 3f + 1 any two quorums share f + 1 validators, hence an honest one, who signs one digest only.
 */
export function quorumOf(validatorCount: number): number {
  return Math.floor((2 * validatorCount) / 3) + 1
}

/** Says whether a list may be a validator set: 1 to 13 different keys. Ask this of outside data before `validatorSet`. */
export function isValidatorList(keys: readonly PeerId[]): boolean {
  return keys.length >= 1 && keys.length <= LIMITS.validatorCountMax && new Set(keys).size === keys.length
}

export function validatorSet(
  epoch: bigint,
  keys: readonly PeerId[],
  quorum: number = quorumOf(keys.length),
): ValidatorSet {
  invariant(isValidatorList(keys), 'a validator set has 1 to 13 different keys')
  invariant(Number.isInteger(quorum) && quorum >= 1 && quorum <= keys.length, 'a quorum can be reached')
  const header = Uint8Array.of(quorum, keys.length)
  const hash = digestOf(domainHash('validator-set', u64be(epoch), header, ...keys.map(keyOf)))
  return { epoch, keys: [...keys], hash, quorum }
}
