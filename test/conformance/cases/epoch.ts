import { sealAs } from '../../../core/identity/envelope.ts'
import { nodeAccount } from '../../../core/ids.ts'
import { buildEntry } from '../../../core/log/apply.ts'
import { inviteSpendCodec } from '../../../core/log/bodies.ts'
import { beaconEntryCodec, rosterEntryCodec } from '../../../core/log/bodies-certified.ts'
import type { EntryKind } from '../../../core/log/entry.ts'
import { type InviteTerms, sealInvite, sealSpend } from '../../../core/log/invites.ts'
import { ALICE, applied, BOB, LogSwarm, MINT_KEY, NO_SIGNATURES, START_MS } from '../../support/log-swarm.ts'
import { digestNamed, keyNamed } from '../../support/people.ts'
import { acceptedEntry, refusedEntry } from '../log-case.ts'
import type { VectorCase, VectorFile } from '../vector.ts'

const [ROOT, BEACON] = [digestNamed('roster 1'), digestNamed('beacon 1')]
const NEWCOMER = keyNamed('newcomer')

function next(swarm: LogSwarm, kind: EntryKind, body: Uint8Array): Uint8Array {
  return buildEntry(swarm.state, kind, body, swarm.nowMs).bytes
}

function epochCases(): VectorCase[] {
  const swarm = new LogSwarm()
  applied(swarm.apply('mint', swarm.mint(nodeAccount(keyNamed('v1').peer), 5n, 'node')))
  const uncertified = { epoch: 1n, root: ROOT, commits: ROOT, attempt: 0, ...NO_SIGNATURES }
  const early = [
    refusedEntry('a beacon without a roster', 'roster_missing', swarm, next(swarm, 'beacon', swarm.beacon(BEACON, 1n))),
    refusedEntry('a roster of epoch 2', 'epoch_mismatch', swarm, next(swarm, 'roster', swarm.roster(ROOT, 2n))),
    refusedEntry(
      'a roster without votes',
      'certificate_invalid',
      swarm,
      next(swarm, 'roster', rosterEntryCodec.encode(uncertified)),
    ),
  ]
  const roster = acceptedEntry('a roster', swarm, next(swarm, 'roster', swarm.roster(ROOT, 1n)))
  const certificate = swarm.numbered('beacon', 1n, BEACON)
  const bare = beaconEntryCodec.encode({ epoch: 1n, beacon: BEACON, forfeits: 0, attempt: 0, ...certificate })
  const late = [
    refusedEntry('a second roster', 'epoch_mismatch', swarm, next(swarm, 'roster', swarm.roster(ROOT, 1n))),
    refusedEntry('votes on the beacon alone', 'certificate_invalid', swarm, next(swarm, 'beacon', bare)),
  ]
  const beacon = swarm.beacon(BEACON, 1n, 0b0110)
  return [
    ...early,
    roster,
    ...late,
    acceptedEntry('a beacon with two forfeits, of which one can pay', swarm, next(swarm, 'beacon', beacon)),
    refusedEntry('the same beacon again', 'epoch_mismatch', swarm, next(swarm, 'beacon', beacon)),
  ]
}

function inviteCases(): VectorCase[] {
  const swarm = new LogSwarm()
  const { swarmId } = swarm.state
  const terms: InviteTerms = { id: new Uint8Array(16), expiresMs: START_MS + 1n, forPeer: null, grant: 0n }
  const spend = (parts: Partial<InviteTerms>, issuer = MINT_KEY, user = BOB) =>
    next(swarm, 'invite', sealSpend(swarmId, sealInvite(swarmId, { ...terms, ...parts }, issuer), user, NEWCOMER))
  const invite = sealInvite(swarmId, terms, MINT_KEY)
  const unasked = { invite, user: BOB.peer, consent: new Uint8Array() }
  const refused = [
    refusedEntry('an invite by anyone', 'authority_missing', swarm, spend({}, ALICE)),
    refusedEntry('a grant by a validator', 'authority_missing', swarm, spend({ grant: 1n }, keyNamed('v0'))),
    refusedEntry('a grant below zero', 'body_malformed', swarm, spend({ grant: -1n })),
    refusedEntry('an invite for another peer', 'authority_missing', swarm, spend({ forPeer: ALICE.peer })),
    refusedEntry('an expired invite', 'invite_expired', swarm, spend({ expiresMs: START_MS })),
    refusedEntry(
      'a user that did not consent',
      'authority_missing',
      swarm,
      next(swarm, 'invite', sealAs(inviteSpendCodec, unasked, swarmId, NEWCOMER)),
    ),
  ]
  const granted = acceptedEntry('an invite with a grant', swarm, spend({ grant: 7n, forPeer: NEWCOMER.peer }))
  return [...refused, granted, refusedEntry('an invite spent', 'invite_spent', swarm, spend({}))]
}

export function epochVectors(): VectorFile {
  return {
    name: 'epoch',
    describe: 'Apply the entries in order to the genesis, then the entry in question.',
    cases: [...epochCases(), ...inviteCases()],
  }
}
