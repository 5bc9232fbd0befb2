/** This node among the others: membership, what it says of itself, and the epochs that a validator moves on. */
import { FabricError } from '../../core/errors.ts'
import type { KeyPair } from '../../core/identity/keys.ts'
import { isAdmitted } from '../../core/log/standing.ts'
import { EpochDriver } from '../jobs/epochs.ts'
import type { VoteWatch } from '../jobs/tallies.ts'
import { createMembership } from '../mesh/membership.ts'
import type { Membership } from '../runtime/mesh.ts'
import type { Clock, Ledger, Random, Store } from '../runtime/ports.ts'
import { errorFields, type Logger } from '../runtime/telemetry.ts'
import type { Network } from './networked.ts'
import type { SelfDescription } from './self-record.ts'

export type PresencePorts = VoteWatch & {
  readonly key: KeyPair
  readonly clock: Clock
  readonly random: Random
  readonly log: Logger
  readonly store: Store
  readonly ledger: Pick<Ledger, 'append'>
  readonly self: SelfDescription
  readonly fatal: (error: unknown) => void
  readonly undo: (() => Promise<void>)[]
  readonly signal: AbortSignal
}

const SAVE_MS = 10_000

export function becomePresent(network: Network, ports: PresencePorts): Membership {
  const { key, clock, random, self, fatal, undo, signal } = ports
  const { transport, directory, rosters } = network
  const state = () => network.ledger.state
  const membership = createMembership(
    { swarmId: network.genesis.swarmId, record: self.record() },
    {
      ...{ key, transport, clock, random, onBug: fatal },
      admitted: (peer) => isAdmitted(state(), peer),
      misbehaved: (peer, reason) => transport.penalise(peer, reason),
    },
  )
  undo.push(() => membership.leave())
  directory.sights = (peer) => membership.sight(peer)
  const others = directory.hinted.filter((peer) => peer !== key.peer)
  if (others.length > 0) membership.join(others, signal).catch((error: unknown) => alone(error, ports))
  self.run(membership, clock, signal).catch(fatal)
  keepKnown(network, membership, ports).catch(fatal)
  if (!network.isValidator || network.genesis.policy.epochMs === 0) return membership
  const driver = new EpochDriver({}, { ...ports, transport, state, membership, rosters })
  driver.run(signal).catch(fatal)
  return membership
}

/** Nobody answers: the node goes on, and membership asks again by itself. */
function alone(error: unknown, { log, signal, fatal }: PresencePorts): void {
  if (signal.aborted) return
  if (error instanceof FabricError) log.warn('nobody_answers', errorFields(error))
  else fatal(error)
}

async function keepKnown(
  network: Network,
  membership: Membership,
  { key, clock, log, signal }: PresencePorts,
): Promise<void> {
  while (!signal.aborted) {
    await clock.sleep(SAVE_MS, signal).catch(() => {})
    await network.directory
      .save(membership.sights(), key.peer)
      .catch((error: unknown) => log.warn('peers_not_saved', errorFields(error)))
  }
}
