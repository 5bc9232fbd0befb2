/** Makes the report of a simulation that has ended, from its log and from what was noted on the way. */
import { type AccountId, MINT_ACCOUNT, nodeAccount, platformAccount, userAccount } from '../../core/ids.ts'
import { findingsBodies } from '../../core/job/choice.ts'
import { formatAmount } from '../../core/ledger/amount.ts'
import { votersOf } from '../../core/quorum/certificate.ts'
import {
  type Counts,
  type KindBalance,
  PEER_KINDS,
  type SimulatedJob,
  type SimulationReport,
} from '../runtime/simulation.ts'
import type { CertificateNote, Ending, JobNote } from './recorder.ts'
import { drawFit, seriesOf } from './series.ts'
import { quantilesOf } from './statistics.ts'
import { REGION } from './swarm.ts'
import type { Violations } from './violations.ts'
import type { World } from './world.ts'

export function reportOf(world: World, seed: number, violations: Violations): SimulationReport {
  const { request, swarm, log, recorder, scheduler } = world
  const { seed: _, detail, limit, userBudget, ...asked } = request
  const { validators, head } = log.state
  const left = { items: violations.items, leftOut: violations.leftOut }
  return {
    seed,
    request: { ...asked, userBudget: formatAmount(userBudget) },
    swarm: swarm.genesis.swarmId,
    ...{ quorum: validators.quorum, faultyMax: Math.floor((validators.keys.length - 1) / 3) },
    virtualMs: scheduler.nowMs,
    jobs: jobCounts(world),
    outputs: {
      chosen: recorder.chosen.counts,
      liarsChosenByAssurance: recorder.liarsByAssurance.counts,
      verdicts: Object.fromEntries(
        PEER_KINDS.flatMap((kind) => {
          const tallies = recorder.verdicts.get(kind)
          return tallies === undefined ? [] : [[kind, tallies.counts]]
        }),
      ),
      lostByReason: recorder.lost.counts,
    },
    balances: balancesOf(world),
    draw: drawFit(world),
    latencyMs: { paid: latencies(recorder.endings, 'paid'), refunded: latencies(recorder.endings, 'refunded') },
    counts: countsOf(world),
    ...{ violations: left.items, violationsLeftOut: left.leftOut },
    log: { entries: log.entries.length, head: head.hash },
    series: seriesOf(world),
    ...(detail === 'jobs' ? { list: listOf(world, limit) } : {}),
  }
}

function jobCounts({ recorder, request }: World): SimulationReport['jobs'] {
  const ended = (outcome: Ending['outcome']) => recorder.endings.filter((ending) => ending.outcome === outcome)
  const [paid, refunded, refused] = [ended('paid'), ended('refunded'), ended('refused')]
  return {
    submitted: request.jobs,
    admitted: recorder.admittedCount,
    settled: paid.length + refunded.length,
    ...{ paid: paid.length, refunded: refunded.length, refused: refused.length },
    ...{ refundsByReason: countBy(refunded), refusalsByReason: countBy(refused) },
  }
}

function countBy(endings: readonly Ending[]): Counts {
  const counts: Record<string, number> = {}
  for (const { reason } of endings.toSorted((a, b) => (a.reason < b.reason ? -1 : 1)))
    counts[reason] = (counts[reason] ?? 0) + 1
  return counts
}

function latencies(endings: readonly Ending[], outcome: Ending['outcome']) {
  return quantilesOf(
    endings.filter((ending) => ending.outcome === outcome).map(({ atMs, submittedMs }) => atMs - submittedMs),
  )
}

function balancesOf({ log, swarm }: World): SimulationReport['balances'] {
  const balance = (id: AccountId): bigint => log.state.accounts.get(id)?.balance ?? 0n
  const all = [...log.state.accounts.entries()].map(([, account]) => account)
  const users = swarm.users.map(({ peer }) => userAccount(peer))
  const validators = swarm.validators.map(({ peer }) => balance(nodeAccount(peer)))
  const sum = total(all.map((account) => account.balance))
  return {
    users: {
      total: formatAmount(total(users.map(balance))),
      held: formatAmount(total(users.map((id) => log.state.accounts.get(id)?.held ?? 0n))),
      each: users.map((id) => formatAmount(balance(id))),
    },
    workers: PEER_KINDS.flatMap((kind): readonly KindBalance[] => {
      const peers = [...swarm.peers.values()].filter((peer) => peer.kind === kind)
      const weight = peers.reduce((weights, peer) => weights + peer.weight, 0)
      if (weight === 0) return []
      const earned = total(peers.map(({ key }) => balance(nodeAccount(key.peer))))
      const perWeight = formatAmount(earned / BigInt(weight))
      return [{ kind, peers: peers.length, weight, total: formatAmount(earned), perWeight }]
    }),
    validators: { total: formatAmount(total(validators)), each: validators.map(formatAmount) },
    platform: formatAmount(balance(platformAccount(REGION))),
    mint: formatAmount(balance(MINT_ACCOUNT)),
    ...{ sum: formatAmount(sum), zeroSum: sum === 0n },
  }
}

function total(amounts: readonly bigint[]): bigint {
  return amounts.reduce((sum, amount) => sum + amount, 0n)
}

function countsOf({ network, recorder, votes, log }: World): SimulationReport['counts'] {
  return {
    ...{ messages: network.messages, lost: network.lost, offers: recorder.offers.counts },
    ...{ votes: votes.votes, byzantineVotes: votes.byzantineVotes, evidence: recorder.evidence },
    certificates: recorder.certificates.counts,
    entries: Object.fromEntries([...log.counts].sort(([a], [b]) => (a < b ? -1 : 1))),
    ...{ retries: recorder.retries, signatures: recorder.signatures },
  }
}

function listOf(world: World, limit: number): NonNullable<SimulationReport['list']> {
  const items = [...world.recorder.notes.values()].map((note) => jobOf(world, note))
  return { items, leftOut: Math.max(0, world.request.jobs - limit) }
}

function jobOf(world: World, { wish, submittedMs, ending, job, certificates }: JobNote): SimulatedJob {
  const { log, swarm } = world
  const settlement = log.state.jobs.get(wish.id)?.settlement ?? null
  const findings = job !== undefined && 'findings' in job ? findingsBodies(job.findings) : []
  const replicas = job !== undefined && 'replicas' in job ? job.replicas : []
  return {
    ...{ id: wish.id, user: wish.user, submittedMs, settledMs: ending?.atMs ?? null },
    ...{ outcome: ending?.outcome ?? 'open', reason: ending?.reason ?? '', attempt: job?.attempt ?? 0 },
    answers: (job?.answers ?? []).map(({ peer, answer }) => ({ peer, answer })),
    workers: replicas.map(({ worker, state }, replica) => ({
      ...{ peer: worker, kind: swarm.peers.get(worker)?.kind ?? 'honest', state },
      verdict: findings.find((finding) => finding.replica === replica)?.verdict ?? null,
    })),
    chosen: job !== undefined && 'chosen' in job ? job.chosen : null,
    certificates: certificates.flatMap((note) => certificateOf(world, note)),
    ...{
      cost: settlement && formatAmount(settlement.cost),
      refund: settlement && formatAmount(settlement.refund),
    },
  }
}

function certificateOf({ log }: World, note: CertificateNote): SimulatedJob['certificates'] {
  const { kind, index, digest } = note.statement
  if (kind !== 'assignment' && kind !== 'finding' && kind !== 'settlement') return []
  const replica = kind === 'finding' ? index : null
  return [{ kind, replica, digest, voters: votersOf(log.state.validators, note.bitmap) }]
}
