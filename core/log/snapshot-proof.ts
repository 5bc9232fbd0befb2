/** Proof that a snapshot is the swarm's: its certificate, and every change of the validator set since the genesis. */
import type { Digest } from '../ids.ts'
import { accept, reject, type Validation } from '../validation.ts'
import { applyValidatorSet } from './apply-epoch.ts'
import { certificateFault, numberedSubject, statementOf } from './authority.ts'
import { snapshotEntryCodec } from './bodies-certified.ts'
import type { Genesis } from './genesis.ts'
import { createState, forkState, type LogState } from './state.ts'

export type SnapshotProof = {
  /** Body of the `snapshot` entry. */
  readonly entry: Uint8Array
  /** Bodies of the `validator-set` entries before it, in order. */
  readonly setChanges: readonly Uint8Array[]
}

/**
 * Checks the certificates from the genesis set to the snapshot's.
 *
 * @returns where the snapshot was taken and the digest of its manifest
 */
export function checkSnapshotProof(
  genesis: Genesis,
  proof: SnapshotProof,
): Validation<{ readonly index: bigint; readonly digest: Digest }> {
  const state = createState(genesis)
  for (const body of proof.setChanges) if (!changesSet(state, body)) return reject('body_malformed', 'setChanges')
  const decoded = snapshotEntryCodec.decode(proof.entry)
  if (decoded.action !== 'accept') return decoded
  const { index, digest, attempt } = decoded.value
  const subject = numberedSubject(state, 'snapshot', index)
  const statement = statementOf(state, 'snapshot', { subject, attempt, index: 0, digest })
  if (certificateFault(state, statement, decoded.value) !== undefined) return reject('signature_invalid')
  return accept({ index, digest })
}

function changesSet(state: LogState, body: Uint8Array): boolean {
  const fork = forkState(state)
  const { head } = state
  const entry = { kind: 'validator-set', index: 0n, previous: head.hash, timeMs: head.timeMs, body } as const
  if (applyValidatorSet(fork, entry, head.hash).status === 'refused') return false
  state.validators = fork.validators
  return true
}
