/** The draw of a logged job: what the log adds to the ranking is who is eligible and which caps hold. */
import type { Digest, PeerId } from '../ids.ts'
import { LIMITS } from '../limits.ts'
import { type Member, ROLE, type RosterSnapshot } from '../roster/roster.ts'
import { type Caps, draw } from '../selection/committee.ts'
import { type Genesis, genesisValidators } from './genesis.ts'
import type { Intent } from './intent.ts'

/** What a draw takes from the log: `drawSource` (epochs.ts) gives it for a job. */
export type DrawSource = { readonly genesis: Genesis; readonly beacon: Digest }

/** R + spares in rank order: the same for everybody who knows the roster, the beacon and the hold. */
export function rankedFor(
  { beacon, genesis }: DrawSource,
  roster: RosterSnapshot,
  intent: Intent,
  holdHash: Digest,
): readonly PeerId[] {
  const spares = LIMITS.spareCountMax
  return draw({
    roster,
    beacon,
    holdHash,
    replicas: intent.replicas,
    spares,
    caps: capsOf(genesis),
    eligible: mayWork(genesis),
    ...(genesis.local ? {} : { preferred: judgesNobody }),
  })
}

/**
 * Whoever does not vote is drawn first.
 *
 * Why: a validator abstains on what it computed, and with another one away the rest may be no quorum; its time is also what everybody's
 * jobs wait for. A local swarm is one machine, where it makes no difference who works.
 */
function judgesNobody({ roles }: Member): boolean {
  return (roles & ROLE.validator) === 0
}

/**
 * Who may be drawn: whoever offers to work and can be judged.
 *
 * Why the second: validators abstain on what they or their owner computed, and with fewer than four of them, or with an owner of
 * many, the rest would be no quorum: the job could neither be paid nor found wrong.
 */
export function mayWork(genesis: Genesis): (member: Member) => boolean {
  if (genesis.local) return offersWork
  const { keys, quorum } = genesisValidators(genesis)
  const owners = new Map(genesis.members.map(({ peer, owner }) => [peer, owner]))
  return (member) => {
    const judges = keys.filter((key) => key !== member.peer && owners.get(key) !== member.owner)
    return offersWork(member) && judges.length >= quorum
  }
}

export function offersWork({ roles }: Member): boolean {
  return (roles & ROLE.worker) !== 0
}

/** One owner's machines must not outvote the rest; in a local swarm there is one owner by definition. */
export function capsOf(genesis: Genesis): Caps {
  return genesis.local
    ? { perOwner: LIMITS.memberCountMax, perBlock: LIMITS.memberCountMax }
    : { perOwner: 1, perBlock: 2 }
}
