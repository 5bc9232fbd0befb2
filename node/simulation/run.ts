/** Runs one simulation from its seed to its report: the real core under a virtual clock, with every chance drawn from the seed. */
import { digestOf, type PeerId } from '../../core/ids.ts'
import { InvariantError, invariant } from '../../core/invariant.ts'
import { numberedSubject, statementOf } from '../../core/log/authority.ts'
import { genesisEntryCodec } from '../../core/log/bodies.ts'
import { beaconEntryCodec, rosterEntryCodec } from '../../core/log/bodies-certified.ts'
import type { EntryKind } from '../../core/log/entry.ts'
import { beaconDigest, rosterDigest } from '../../core/log/epochs.ts'
import { certify, compactOf } from '../../core/quorum/certificate.ts'
import { castVote } from '../../core/quorum/vote.ts'
import type { SimulationReport, SimulationRequest } from '../runtime/simulation.ts'
import { MoneyChecker } from './check-money.ts'
import { VoteChecker } from './check-votes.ts'
import { WorkChecker } from './check-work.ts'
import { Edge } from './edge.ts'
import { Network } from './network.ts'
import { Prng } from './prng.ts'
import { Recorder } from './recorder.ts'
import { SimulatedLog } from './region-log.ts'
import { reportOf } from './report.ts'
import { CORE_RULES, type Rules } from './rules.ts'
import { Scheduler } from './scheduler.ts'
import { createSwarm, POLICY } from './swarm.ts'
import { ValidatorPeer } from './validator-peer.ts'
import { Violations } from './violations.ts'
import { makeWish } from './wish.ts'
import { WorkerPeer } from './worker-peer.ts'
import { nowMs, type World } from './world.ts'

export type RunOptions = {
  /** The core, or a broken one to see that it is found. */
  readonly rules?: Rules
  /** Called between events, with the submissions that have ended; true ends the simulation without a report. */
  readonly shouldStop?: (endedCount: number) => boolean
}

/** Events between two looks at the caller's wish to stop: some milliseconds. */
const STOP_EVENTS = 64
/** After its last deadline a job needs no more than a few round trips to be refunded; lost messages take longer. */
const LATE_MS = 600_000
const MS_PER_SECOND = 1_000

/**
 * Simulates.
 *
 * @param seed  a u32: with the same request and seed the report is the same, byte for byte
 * @returns     undefined when it was stopped
 */
export function runSimulation(
  request: SimulationRequest,
  seed: number,
  { rules = CORE_RULES, shouldStop = () => false }: RunOptions = {},
): SimulationReport | undefined {
  const { world, violations, money } = createWorld(request, seed, rules)
  const { scheduler, log } = world
  const edge = new Edge(world, peersOf(world))
  let isStopped = false
  try {
    openLog(world)
    const lastMs = scheduleWishes(world, edge)
    let events = 0
    scheduler.runUntil(lastMs + POLICY.jobMs + LATE_MS, () => {
      events += 1
      if (events % STOP_EVENTS === 0) isStopped ||= shouldStop(edge.endedCount)
      return isStopped || edge.endedCount === request.jobs
    })
    if (!isStopped) {
      money.atEnd(log.state)
      log.checkReplay(() => {
        isStopped ||= shouldStop(edge.endedCount)
        return isStopped
      })
    }
    if (isStopped) return undefined
  } catch (error) {
    // The core found its own bug: here that is a finding, and there is nothing to protect from it.
    if (!(error instanceof InvariantError)) throw error
    violations.found('core-assertion', error.message)
  }
  return reportOf(world, seed, violations)
}

function createWorld(request: SimulationRequest, seed: number, rules: Rules) {
  const prng = new Prng(seed)
  const swarm = createSwarm(request, seed, prng)
  const scheduler = new Scheduler(0)
  const violations = new Violations(() => scheduler.nowMs)
  const kindOf = (peer: PeerId) => swarm.peers.get(peer)?.kind
  const notesMax = request.detail === 'jobs' ? request.limit : 0
  const recorder = new Recorder({ notesMax, kindOf, nowMs: () => scheduler.nowMs })
  const money = new MoneyChecker(violations)
  const log = new SimulatedLog(swarm.genesis, rules, money, violations, (applied) => recorder.logged(applied))
  const world: World = {
    ...{ request, swarm, rules, scheduler, prng, log, recorder },
    network: new Network(scheduler, prng, request),
    votes: new VoteChecker(violations, log.state.validators.quorum),
    work: new WorkChecker(violations, (peer) => kindOf(peer) ?? 'honest'),
  }
  return { world, violations, money }
}

function peersOf(world: World) {
  const { swarm, request } = world
  const workers = new Map<string, WorkerPeer>()
  for (const [peer, simulated] of swarm.peers) workers.set(peer, new WorkerPeer(world, simulated, workers.size + 1))
  const validators = swarm.validators.map(
    (key, place) => new ValidatorPeer(world, key, place < request.byzantineValidators),
  )
  return { workers, validators }
}

const NO_COMMITS = digestOf(new Uint8Array(32))

/** Genesis, then epoch 1 with the roster of all peers: too many to be named in a genesis. Before the clock starts everybody is well. */
function openLog(world: World): void {
  const { swarm, log } = world
  const { state } = log
  const { swarmId } = swarm.genesis
  const add = (kind: EntryKind, body: Uint8Array): void => {
    const result = log.propose(kind, kind, body, nowMs(world))
    invariant(result.status === 'applied', `a swarm opens its log: ${result.status === 'refused' ? result.reason : ''}`)
  }
  add('genesis', genesisEntryCodec.encode({ swarmId }))
  const certificate = (kind: 'roster' | 'beacon', digest: typeof swarm.beacon) => {
    const parts = { subject: numberedSubject(state, kind, 1n), attempt: 0, index: 0, digest }
    const votes = swarm.validators.map((key) => castVote(swarmId, statementOf(state, kind, parts), key))
    return { epoch: 1n, attempt: 0, ...compactOf(certify(state.validators, votes)) }
  }
  const { root } = swarm.roster
  // Everybody is honest until the clock starts: the beacon is drawn, not revealed.
  const { beacon } = swarm
  const rosterVote = rosterDigest(swarmId, 1n, root, NO_COMMITS)
  add('roster', rosterEntryCodec.encode({ root, commits: NO_COMMITS, ...certificate('roster', rosterVote) }))
  const beaconVote = beaconDigest(swarmId, 1n, beacon, 0)
  add('beacon', beaconEntryCodec.encode({ beacon, forfeits: 0, ...certificate('beacon', beaconVote) }))
  invariant(state.rosterRoot === root && state.epoch === 1n, 'the peers are in the roster of epoch 1')
}

/** Submissions with exponential gaps. @returns when the last one comes, virtual ms */
function scheduleWishes(world: World, edge: Edge): number {
  const { scheduler, prng, request, network, recorder } = world
  let atMs = 0
  for (let number = 0; number < request.jobs; number += 1) {
    const chance = (prng.next() + 1) / 2 ** 32
    atMs += (-Math.log(chance) * MS_PER_SECOND) / request.arrivalsPerSecond
    scheduler.after(Math.round(atMs), () => {
      const wish = makeWish(world, number)
      recorder.submitted(wish)
      submit(() => edge.submit(wish))
    })
  }
  /** A client repeats what it hears no answer to. */
  const submit = (arrive: () => void): void => {
    if (!network.send(arrive)) scheduler.after(MS_PER_SECOND, () => submit(arrive))
  }
  return Math.round(atMs)
}
