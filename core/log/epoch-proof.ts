/** Checks an epoch without the log: the two entries that it rests on carry a quorum's votes. */
import type { Digest } from '../ids.ts'
import { type CompactCertificate, checkCertificate } from '../quorum/certificate.ts'
import type { VoteKind } from '../quorum/vote.ts'
import { accept, reject, type Validation } from '../validation.ts'
import { numberedSubject, statementOf } from './authority.ts'
import { beaconEntryCodec, rosterEntryCodec } from './bodies-certified.ts'
import { beaconDigest, type EpochProof, type EpochStart, rosterDigest } from './epochs.ts'
import { genesisRoster } from './genesis.ts'
import type { LogState } from './state.ts'

/**
 * Reads what an epoch's draws use out of its proof.
 *
 * @param state  gives the swarm and the validator set whose votes count; for epoch 0 the genesis
 * @returns      the certified beacon and roster root; reject names the entry that does not hold
 */
export function checkEpochProof(
  state: LogState,
  epoch: bigint,
  proof: EpochProof,
): Validation<Pick<EpochStart, 'epoch' | 'beacon' | 'rosterRoot'>> {
  if (epoch === 0n) return checkFirst(state, proof)
  const [roster, beacon] = [rosterEntryCodec.decode(proof.roster), beaconEntryCodec.decode(proof.beacon)]
  if (roster.action !== 'accept' || roster.value.epoch !== epoch) return reject('body_malformed', 'epoch.roster')
  if (beacon.action !== 'accept' || beacon.value.epoch !== epoch) return reject('body_malformed', 'epoch.beacon')
  const { swarmId } = state
  const { root, commits } = roster.value
  if (!isCertified(state, 'roster', epoch, rosterDigest(swarmId, epoch, root, commits), roster.value))
    return reject('certificate_without_quorum', 'epoch.roster')
  const digest = beaconDigest(swarmId, epoch, beacon.value.beacon, beacon.value.forfeits)
  if (!isCertified(state, 'beacon', epoch, digest, beacon.value))
    return reject('certificate_without_quorum', 'epoch.beacon')
  return accept({ epoch, beacon: beacon.value.beacon, rosterRoot: root })
}

function checkFirst(state: LogState, { roster, beacon }: EpochProof): ReturnType<typeof checkEpochProof> {
  if (roster.length + beacon.length > 0) return reject('bytes_trailing', 'epoch')
  const { genesis } = state
  return accept({ epoch: 0n, beacon: genesis.beacon, rosterRoot: genesisRoster(genesis).root })
}

function isCertified(
  state: LogState,
  kind: VoteKind,
  epoch: bigint,
  digest: Digest,
  value: CompactCertificate & { readonly attempt: number },
): boolean {
  const parts = { subject: numberedSubject(state, kind, epoch), attempt: value.attempt, index: 0, digest }
  return checkCertificate(state.swarmId, state.validators, statementOf(state, kind, parts), value).action === 'accept'
}
