/** Epochs as the log has them: each began with a beacon that nobody knew when its roster was fixed. */
import { domainHash } from '#core/hash'
import { u16be, u64be } from '../codec/bytes.ts'
import { type Digest, digestBytes, digestOf, type SwarmId } from '../ids.ts'
import { invariant } from '../invariant.ts'
import type { DrawSource } from './draw.ts'
import type { LoggedJob, LogState } from './state.ts'

export type EpochStart = {
  readonly epoch: bigint
  readonly beacon: Digest
  readonly rosterRoot: Digest
  /** Log time of the entry that began it; the genesis's for epoch 0. */
  readonly startedMs: bigint
  /** Index of that entry. */
  readonly startedIndex: bigint
  readonly proof: EpochProof
}

/** Bodies of the two entries that an epoch rests on; a receipt carries them. Empty for epoch 0, which rests on the genesis. */
export type EpochProof = { readonly roster: Uint8Array; readonly beacon: Uint8Array }
export const NO_PROOF: EpochProof = { roster: new Uint8Array(), beacon: new Uint8Array() }

/** @returns undefined for an epoch that has not begun */
export function epochStart(state: LogState, epoch: bigint): EpochStart | undefined {
  const logged = state.epochs.get(`${epoch}`)
  if (logged !== undefined || epoch !== state.epoch) return logged
  // A state that stands for a log, as a receipt's does, has scalars and no rows.
  const { beacon, rosterRoot, genesis } = state
  return { epoch, beacon, rosterRoot, startedMs: genesis.createdMs, startedIndex: 0n, proof: NO_PROOF }
}

/** The epoch that a job was held in: its draw, its workers and its receipt stay with that one, however many begin meanwhile. */
export function epochOfJob(state: LogState, job: Pick<LoggedJob, 'epoch'>): EpochStart {
  const start = epochStart(state, job.epoch)
  invariant(start !== undefined, 'a job is held in an epoch that has begun')
  return start
}

/** What a job's draw needs of the log. */
export function drawSource(state: LogState, job: Pick<LoggedJob, 'epoch'>): DrawSource {
  return { genesis: state.genesis, beacon: epochOfJob(state, job).beacon }
}

export function recordEpoch(state: LogState, start: EpochStart): void {
  state.epochs.set(`${start.epoch}`, start)
}

/** What a roster vote is about: the members, and the commitments to the next beacon, both before anyone reveals. */
export function rosterDigest(swarmId: SwarmId, epoch: bigint, root: Digest, commits: Digest): Digest {
  const parts = [digestBytes(swarmId), u64be(epoch), digestBytes(root), digestBytes(commits)]
  return digestOf(domainHash('roster-vote', ...parts))
}

/** What a beacon vote is about: the beacon, and which validators of the set committed and did not reveal. */
export function beaconDigest(swarmId: SwarmId, epoch: bigint, beacon: Digest, forfeits: number): Digest {
  const parts = [digestBytes(swarmId), u64be(epoch), digestBytes(beacon), u16be(forfeits)]
  return digestOf(domainHash('beacon-vote', ...parts))
}
