/**
 * Which outputs are audited, by whom, and what follows from the reports: all of it recomputed by every validator, none of it chosen by
 * the edge that collects the reports.
 *
 * Why the beacon is made of the signatures under the commitments: before a quorum has signed which commitments there are, nobody can
 * know it, and after that no output can change any more. An edge may still choose among the subsets of Q signers, and a validator that
 * works with it may try signatures: what both can gain is some throws of a coin that falls against them again in the next job.
 *
 * @see docs/PROTOCOL.md#audits
 */
import { domainHash } from '#core/hash'
import { u16be, u32be } from '../codec/bytes.ts'
import { type Digest, digestBytes, digestOf, type PeerId } from '../ids.ts'
import type { CompactCertificate } from '../quorum/certificate.ts'
import { ROLE, type RosterSnapshot } from '../roster/roster.ts'
import { rank, rendezvousKey } from '../selection/rendezvous.ts'

/** One, two more when it has doubts; where the lot says so three at once. */
export const REPORTS_MAX = 3
/** As many may be silent or lack the model. */
export const AUDITOR_SPARES = 3
/**
 * Of audited outputs so many have a panel: three auditors that are bound to their reports before any of them is shown.
 *
 * Why not two of twice as many, which cost the same: two that differ do not say which of them looked.
 */
export const PANEL_PERMILLE = 100
const PERMILLE = 1_000

/** Names which replicas committed to what. @param hashes  commitment hashes in order of replica, 32 zero bytes for none */
export function commitSetDigest(hashes: readonly Digest[]): Digest {
  return digestOf(domainHash('commit-set', ...hashes.map(digestBytes)))
}

/** @param certificate  over the commit set */
export function auditBeacon(
  jobId: Digest,
  attempt: number,
  commitSet: Digest,
  { bitmap, signatures }: CompactCertificate,
): Digest {
  const about = [digestBytes(jobId), u32be(attempt), digestBytes(commitSet), u16be(bitmap)]
  return digestOf(domainHash('audit-beacon', ...about, signatures))
}

/** Whether a replica's lot falls on it. @param permille  how many of a thousand of its worker's outputs are audited */
export function isDrawn(beacon: Digest, replica: number, permille: number): boolean {
  return lot('audit-draw', beacon, replica) < permille
}

/** Whether three auditors look at once, whatever the first would find. @param first  the class's lowest replica */
export function isPanel(beacon: Digest, first: number): boolean {
  return lot('panel-draw', beacon, first) < PANEL_PERMILLE
}

function lot(domain: string, beacon: Digest, replica: number): number {
  const hash = domainHash(domain, digestBytes(beacon), Uint8Array.of(replica))
  return (new DataView(hash.buffer, hash.byteOffset).getUint32(0) * PERMILLE) / 2 ** 32
}

/** Replicas with one and the same output, ascending. */
export type OutputClass = readonly number[]

/** @param outputs  one name an output, undefined for a replica without a sound one; @returns classes in order of their first replica */
export function classesOf(outputs: readonly (string | undefined)[]): readonly OutputClass[] {
  const classes = new Map<string, number[]>()
  for (const [replica, output] of outputs.entries()) {
    if (output === undefined) continue
    const members = classes.get(output)
    if (members === undefined) classes.set(output, [replica])
    else members.push(replica)
  }
  return [...classes.values()]
}

/**
 * Lists the classes whose output must be audited: those that a member's lot falls on; without a majority among several replicas, all.
 *
 * Why one audit covers a class: the same seed and the same ids give the same margins, whoever computed them.
 *
 * @param permille  of each replica's worker; all 0: the swarm audits nothing
 */
export function auditedClasses(
  beacon: Digest,
  outputs: readonly (string | undefined)[],
  permille: readonly number[],
): readonly OutputClass[] {
  if (permille.length > 0 && permille.every((rate) => rate === 0)) return []
  const classes = classesOf(outputs)
  const needed = Math.ceil((outputs.length + 1) / 2)
  const isUndecided = outputs.length > 1 && !classes.some((members) => members.length >= needed)
  return classes.filter(
    (members) => isUndecided || members.some((replica) => isDrawn(beacon, replica, permille[replica] ?? PERMILLE)),
  )
}

/**
 * Ranks who may audit a class of outputs: members that work or validate, one of an owner, nobody of the owners that have a part in the job,
 * and nobody whose reports others have contradicted too often.
 *
 * @param involved  the job's workers and its edge
 * @param first     the class's lowest replica
 * @returns         best first, at most REPORTS_MAX + AUDITOR_SPARES
 */
export function auditorsFor(
  roster: RosterSnapshot,
  beacon: Digest,
  first: number,
  involved: readonly PeerId[],
): readonly PeerId[] {
  const { members, rankTop } = roster
  const owners = new Set(members.filter(({ peer }) => involved.includes(peer)).map(({ owner }) => owner))
  const key = rendezvousKey(beacon, digestOf(domainHash('audit-rank', digestBytes(beacon), Uint8Array.of(first))))
  const ranked = rankTop === undefined ? rank(key, members) : rankTop(key, members, members.length)
  const auditors: PeerId[] = []
  for (const { peer, owner, roles } of ranked) {
    if (auditors.length === REPORTS_MAX + AUDITOR_SPARES) break
    if (!mayAudit(roles) || owners.has(owner) || involved.includes(peer)) continue
    owners.add(owner)
    auditors.push(peer)
  }
  return auditors
}

function mayAudit(roles: number): boolean {
  return (roles & (ROLE.worker | ROLE.validator)) !== 0 && (roles & ROLE.barred) === 0
}

/** Binds the reports about a replica into its finding. @param envelopes  as they were signed, in the order of the auditors' ranks */
export function auditsHash(envelopes: readonly Uint8Array[]): Digest {
  if (envelopes.length === 0) return digestOf(new Uint8Array(32))
  return digestOf(domainHash('audits', ...envelopes.map((envelope) => domainHash('audit-envelope', envelope))))
}
