/** Entries about peers: proof that a validator voted twice, and the use of an invite, which lets a peer in. */
import { domainHash } from '#core/hash'
import { equalBytes, toHex, utf8 } from '../codec/bytes.ts'
import { type Opened, openAs } from '../identity/envelope.ts'
import { keyOf, MINT_ACCOUNT, type PeerId, userAccount } from '../ids.ts'
import type { TransferDraft } from '../ledger/transfer.ts'
import { checkEvidence, type Evidence } from '../quorum/evidence.ts'
import { subjectKey } from '../quorum/vote.ts'
import { isMintKey, mayInvite } from './authority.ts'
import { type Invite, type InviteSpend, inviteCodec, inviteSpendCodec, ownCodec } from './bodies.ts'
import { evidenceEntryCodec } from './bodies-certified.ts'
import { book, type Handler, without } from './effects.ts'
import { refuse, refuseInvalid } from './refusal.ts'
import { freshStanding, isAdmitted, JOINED_WEIGHT, markEquivocated, ownerNamed } from './standing.ts'
import type { LogState } from './state.ts'

/** Records an equivocation once per validator and subject, whichever two of its votes prove it. */
export const applyEvidence: Handler = (state, entry) => {
  const decoded = evidenceEntryCodec.decode(entry.body)
  if (decoded.action !== 'accept') return refuse('body_malformed')
  const checked = checkEvidence(state.swarmId, state.validators, decoded.value.evidence)
  if (checked.action !== 'accept') return refuse('evidence_invalid')
  const key = evidenceKey(checked.value)
  if (state.evidence.has(key)) return refuse('evidence_repeated')
  state.evidence.set(key, checked.value.first.voter)
  markEquivocated(state, checked.value.first.voter)
  return without()
}

export function evidenceKey({ first }: Evidence): string {
  return toHex(domainHash('evidence-key', keyOf(first.voter), utf8(subjectKey(first.statement))))
}

/** Uses an invite up: whoever comes second is refused, on every node alike. */
export const applyInvite: Handler = (state, entry, hash) => {
  const opened = openAs(inviteSpendCodec, entry.body, state.swarmId)
  if (opened.action !== 'accept') return refuseInvalid(opened)
  const { value: spend, signer } = opened.value
  const invite = openAs(inviteCodec, spend.invite, state.swarmId)
  if (invite.action !== 'accept') return refuseInvalid(invite)
  const { id, expiresMs, grant } = invite.value.value
  if (grant < 0n) return refuse('body_malformed')
  if (!isInvited(state, invite.value, signer) || !hasConsent(state, spend, signer)) return refuse('authority_missing')
  if (expiresMs <= entry.timeMs) return refuse('invite_expired')
  // Ids are the issuer's own: another issuer cannot use one up.
  const key = `${invite.value.signer}/${toHex(id)}`
  if (state.invites.has(key)) return refuse('invite_spent')
  state.invites.set(key, signer)
  admit(state, signer, spend.user)
  return book(state, entry, hash, grant === 0n ? [] : [grantDraft(spend.user, grant, key)], null)
}

function isInvited(state: LogState, { value, signer: issuer }: Opened<Invite>, peer: PeerId): boolean {
  const bound = value.forPeer.length > 0 && !equalBytes(value.forPeer, keyOf(peer))
  // A validator lets others in; only a mint key makes credit.
  return !bound && (value.grant > 0n ? isMintKey(state, issuer) : mayInvite(state, issuer))
}

function hasConsent(state: LogState, { user, consent }: InviteSpend, peer: PeerId): boolean {
  if (user === peer) return consent.length === 0
  const opened = openAs(ownCodec, consent, state.swarmId)
  return opened.action === 'accept' && opened.value.signer === user && opened.value.value.peer === peer
}

/** A peer that is in already keeps its owner and what it has done: another invite is no way out of either. */
function admit(state: LogState, peer: PeerId, user: PeerId): void {
  if (isAdmitted(state, peer)) return
  const standing = { owner: ownerNamed(user), user, joinedEpoch: state.epoch, base: JOINED_WEIGHT }
  state.peers.set(peer, freshStanding(standing))
}

function grantDraft(user: PeerId, amount: bigint, key: string): TransferDraft {
  return {
    ...{ op: 'direct', kind: 'mint', debit: MINT_ACCOUNT, credit: userAccount(user), amount, reason: 'invite' },
    ...{ jobId: null, nodeId: null, idempotencyKey: `invite/${key}`, vestsAtMs: 0n },
  }
}
