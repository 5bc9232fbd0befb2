/** The votes inside an entry that was just applied: what a validator said there it may not say otherwise elsewhere. */
import { type CompactCertificate, votersOf } from '../quorum/certificate.ts'
import { type CheckedVote, checkVote, type Statement } from '../quorum/vote.ts'
import { findingCodec } from '../verification/finding.ts'
import type { Applied } from './apply.ts'
import { numberedSubject, statementOf } from './authority.ts'
import { assignmentEntryCodec, beaconEntryCodec, resultEntryCodec, rosterEntryCodec } from './bodies-certified.ts'
import { beaconDigest, rosterDigest } from './epochs.ts'
import type { LogState } from './state.ts'

const SIGNATURE_BYTES = 64

type Signed = { readonly statement: Statement; readonly certificate: CompactCertificate }

/**
 * @param state  right after the entry was applied
 * @returns      none for entries of other kinds: a settlement's statement needs the state before it
 */
export function certifiedVotes(state: LogState, applied: Applied): readonly CheckedVote[] {
  const signed = signedOf(state, applied)
  if (signed === undefined) return []
  const { statement, certificate } = signed
  return votersOf(state.validators, certificate.bitmap).flatMap((voter, place) => {
    const signature = certificate.signatures.slice(place * SIGNATURE_BYTES, (place + 1) * SIGNATURE_BYTES)
    const checked = checkVote(state.swarmId, state.validators, { voter, statement, signature })
    return checked.action === 'accept' ? [checked.value] : []
  })
}

function signedOf(state: LogState, { kind, entry, jobId }: Applied): Signed | undefined {
  const job = jobId === null ? undefined : state.jobs.get(jobId)
  switch (kind) {
    case 'assignment': {
      const decoded = assignmentEntryCodec.decode(entry.body)
      if (decoded.action !== 'accept' || job === undefined) return undefined
      const parts = { subject: job.id, attempt: decoded.value.attempt, index: 0, digest: job.assignmentHash }
      return { statement: statementOf(state, 'assignment', parts), certificate: decoded.value }
    }
    case 'result': {
      const decoded = resultEntryCodec.decode(entry.body)
      const finding = decoded.action === 'accept' ? findingCodec.decode(decoded.value.finding) : decoded
      if (decoded.action !== 'accept' || finding.action !== 'accept' || job === undefined) return undefined
      const digest = findingCodec.digest(state.swarmId, decoded.value.finding)
      const { attempt, replica: index } = finding.value
      const parts = { subject: job.id, attempt, index, digest }
      return { statement: statementOf(state, 'finding', parts), certificate: decoded.value }
    }
    case 'roster': {
      const decoded = rosterEntryCodec.decode(entry.body)
      if (decoded.action !== 'accept') return undefined
      const { epoch, root, commits, attempt } = decoded.value
      const digest = rosterDigest(state.swarmId, epoch, root, commits)
      const parts = { subject: numberedSubject(state, 'roster', epoch), attempt, index: 0, digest }
      return { statement: statementOf(state, 'roster', parts), certificate: decoded.value }
    }
    case 'beacon': {
      const decoded = beaconEntryCodec.decode(entry.body)
      if (decoded.action !== 'accept') return undefined
      const { epoch, beacon, forfeits, attempt } = decoded.value
      const digest = beaconDigest(state.swarmId, epoch, beacon, forfeits)
      const parts = { subject: numberedSubject(state, 'beacon', epoch), attempt, index: 0, digest }
      return { statement: statementOf(state, 'beacon', parts), certificate: decoded.value }
    }
    default:
      return undefined
  }
}
