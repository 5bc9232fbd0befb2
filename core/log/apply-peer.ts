/** Entries about peers: proof that a validator voted twice, and the use of an invite. */
import { domainHash } from '#core/hash'
import { equalBytes, toHex, utf8 } from '../codec/bytes.ts'
import { openAs } from '../identity/envelope.ts'
import { keyOf } from '../ids.ts'
import { checkEvidence, type Evidence } from '../quorum/evidence.ts'
import { subjectKey } from '../quorum/vote.ts'
import { mayInvite } from './authority.ts'
import { inviteCodec, inviteSpendCodec } from './bodies.ts'
import { evidenceEntryCodec } from './bodies-certified.ts'
import { type Handler, without } from './effects.ts'
import { refuse, refuseInvalid } from './refusal.ts'

/** Records an equivocation once per validator and subject, whichever two of its votes prove it. */
export const applyEvidence: Handler = (state, entry) => {
  const decoded = evidenceEntryCodec.decode(entry.body)
  if (decoded.action !== 'accept') return refuse('body_malformed')
  const checked = checkEvidence(state.swarmId, state.validators, decoded.value.evidence)
  if (checked.action !== 'accept') return refuse('evidence_invalid')
  const key = evidenceKey(checked.value)
  if (state.evidence.has(key)) return refuse('evidence_repeated')
  state.evidence.set(key, checked.value.first.voter)
  return without()
}

export function evidenceKey({ first }: Evidence): string {
  return toHex(domainHash('evidence-key', keyOf(first.voter), utf8(subjectKey(first.statement))))
}

/** Uses an invite up: whoever comes second is refused, on every node alike. */
export const applyInvite: Handler = (state, entry) => {
  const spend = openAs(inviteSpendCodec, entry.body, state.swarmId)
  if (spend.action !== 'accept') return refuseInvalid(spend)
  const invite = openAs(inviteCodec, spend.value.value.invite, state.swarmId)
  if (invite.action !== 'accept') return refuseInvalid(invite)
  const { id, expiresMs, forPeer } = invite.value.value
  const { signer } = spend.value
  const bound = forPeer.length > 0 && !equalBytes(forPeer, keyOf(signer))
  if (bound || !mayInvite(state, invite.value.signer)) return refuse('authority_missing')
  if (expiresMs <= entry.timeMs) return refuse('invite_expired')
  // Ids are the issuer's own: another issuer cannot use one up.
  const key = `${invite.value.signer}/${toHex(id)}`
  if (state.invites.has(key)) return refuse('invite_spent')
  state.invites.set(key, signer)
  return without()
}
