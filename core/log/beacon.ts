/**
 * The beacon of an epoch by commit and reveal: validators commit before the roster is fixed, and reveal after it is in the log, so
 * nobody can choose members by their luck or their luck by the members.
 *
 * @see docs/PROTOCOL.md#epochs-and-standing
 */
import { domainHash } from '#core/hash'
import { equalBytes, u64be } from '../codec/bytes.ts'
import { type BodyOf, bytes, bytesMax, defineBody, digest, list, u16, u32, u64 } from '../codec/schema.ts'
import { openAs, sealAs } from '../identity/envelope.ts'
import type { KeyPair } from '../identity/keys.ts'
import { type Digest, digestBytes, digestOf, keyOf, type PeerId, type SwarmId } from '../ids.ts'
import { LIMITS } from '../limits.ts'
import type { ValidatorSet } from '../quorum/validators.ts'

/** One validator's commitment, signed, so that no leader can commit for another. */
export const beaconCommitCodec = defineBody(
  'beacon-commit',
  { epoch: u64(), setHash: digest(), commit: bytes(32) },
  128,
)

/** Asks a validator for its commitment to the beacon of this epoch. */
export const commitRequestCodec = defineBody('commit-request', { epoch: u64() }, 16)
export const revealCodec = defineBody('beacon-reveal', { epoch: u64(), nonce: bytes(32) }, 64)
/** Commitments of a set in its order; empty for a validator that gave none. */
export const commitListCodec = defineBody(
  'beacon-commits',
  { commits: list(bytesMax(32), LIMITS.validatorCountMax) },
  640,
)
/** Asks for the commitments with this digest. */
export const commitListRequestCodec = defineBody('commits-request', { commits: digest() }, 64)

export const rosterProposalCodec = defineBody(
  'roster-proposal',
  {
    attempt: u32(),
    /** The proposer's head: a validator that lags behind waits for it. */
    headIndex: u64(),
    roster: bytesMax(LIMITS.rosterBytesMax),
    /** Envelopes `peer-record` of members, as many as there is room for. */
    records: list(bytesMax(1_280), LIMITS.memberCountMax),
    /** Envelopes `beacon-commit` in the set's order; empty for a validator that gave none. */
    commits: list(bytesMax(320), LIMITS.validatorCountMax),
  },
  LIMITS.envelopeBytesMax,
)
export type RosterProposal = BodyOf<typeof rosterProposalCodec>

export const beaconProposalCodec = defineBody(
  'beacon-proposal',
  {
    epoch: u64(),
    attempt: u32(),
    headIndex: u64(),
    commits: list(bytesMax(32), LIMITS.validatorCountMax),
    /** In the set's order; empty for a validator that committed to nothing or did not reveal. */
    reveals: list(bytesMax(32), LIMITS.validatorCountMax),
    forfeits: u16(),
  },
  2_048,
)
export type BeaconProposal = BodyOf<typeof beaconProposalCodec>

/**
 * A validator's part of a beacon.
 *
 * Why it follows from the key: a validator that restarts must still be able to reveal what it committed to, and one that asks itself
 * twice must not get two parts to choose from.
 */
export function nonceOf(key: KeyPair, swarmId: SwarmId, epoch: bigint, set: ValidatorSet): Uint8Array {
  return domainHash('beacon-nonce', key.seed, digestBytes(swarmId), u64be(epoch), digestBytes(set.hash))
}

export function commitOf(
  swarmId: SwarmId,
  epoch: bigint,
  set: ValidatorSet,
  peer: PeerId,
  nonce: Uint8Array,
): Uint8Array {
  const about = [digestBytes(swarmId), u64be(epoch), digestBytes(set.hash), keyOf(peer)]
  return domainHash('beacon-commitment', ...about, nonce)
}

export function sealCommit(key: KeyPair, swarmId: SwarmId, epoch: bigint, set: ValidatorSet): Uint8Array {
  const commit = commitOf(swarmId, epoch, set, key.peer, nonceOf(key, swarmId, epoch, set))
  return sealAs(beaconCommitCodec, { epoch, setHash: set.hash, commit }, swarmId, key)
}

/** @returns the 32 bytes that this validator signed for this epoch; undefined when the envelope is anything else */
export function openCommit(
  envelope: Uint8Array,
  swarmId: SwarmId,
  epoch: bigint,
  set: ValidatorSet,
  peer: PeerId,
): Uint8Array | undefined {
  const opened = openAs(beaconCommitCodec, envelope, swarmId)
  if (opened.action !== 'accept' || opened.value.signer !== peer) return undefined
  const { value } = opened.value
  return value.epoch === epoch && value.setHash === set.hash ? value.commit : undefined
}

const NONE = new Uint8Array(32)

/** @param commits  in the set's order, empty for none */
export function commitsDigest(commits: readonly Uint8Array[]): Digest {
  return digestOf(domainHash('beacon-commits', ...commits.map((commit) => (commit.length === 0 ? NONE : commit))))
}

export type BeaconTerms = {
  readonly swarmId: SwarmId
  /** The epoch that it begins. */
  readonly epoch: bigint
  readonly set: ValidatorSet
  readonly previous: Digest
  readonly rosterRoot: Digest
}

/** @param reveals  in the set's order, empty for none */
export function beaconOf(terms: BeaconTerms, reveals: readonly Uint8Array[]): Digest {
  const { swarmId, epoch, set, previous, rosterRoot } = terms
  const about = [swarmId, set.hash, previous, rosterRoot].map(digestBytes)
  const parts = reveals.map((reveal) => (reveal.length === 0 ? NONE : reveal))
  return digestOf(domainHash('beacon', u64be(epoch), ...about, ...parts))
}

/** Whether a nonce is what a validator committed to. */
export function isReveal(
  { swarmId, epoch, set }: Pick<BeaconTerms, 'swarmId' | 'epoch' | 'set'>,
  peer: PeerId,
  commit: Uint8Array,
  nonce: Uint8Array,
): boolean {
  return equalBytes(commitOf(swarmId, epoch, set, peer, nonce), commit)
}

/** Reveals that a beacon needs: with n = 3f + 1 one of f + 1 is an honest validator's, which nobody knew. */
export function revealsNeeded(set: ValidatorSet): number {
  return set.keys.length - set.quorum + 1
}

/** Bit i: the set's key i committed and nothing is here that it revealed. */
export function forfeitsOf(commits: readonly Uint8Array[], reveals: readonly Uint8Array[]): number {
  return commits.reduce((bits, commit, place) => {
    const silent = commit.length > 0 && (reveals[place]?.length ?? 0) === 0
    return silent ? bits | (1 << place) : bits
  }, 0)
}
