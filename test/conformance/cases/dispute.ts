import { sealAs } from '../../../core/identity/envelope.ts'
import { nodeAccount, platformAccount } from '../../../core/ids.ts'
import { buildEntry } from '../../../core/log/apply.ts'
import { type Correction, correctionCodec, correctionEntryCodec } from '../../../core/log/bodies-certified.ts'
import type { EntryKind } from '../../../core/log/entry.ts'
import { expiredRuling, rulingOf } from '../../../core/log/ruling.ts'
import type { LoggedJob } from '../../../core/log/state.ts'
import type { DisputeOutcome } from '../../../core/verification/dispute.ts'
import { type PolicyTable, policyTableCodec } from '../../../core/verification/policy-table.ts'
import { ALICE, applied, BOB, LogSwarm, MINT_KEY, NO_SIGNATURES } from '../../support/log-swarm.ts'
import { missing } from '../../support/missing.ts'
import { digestNamed, keyNamed } from '../../support/people.ts'
import { acceptedEntry, refusedEntry } from '../log-case.ts'
import type { VectorCase, VectorFile } from '../vector.ts'

const [WORKER, OTHER] = [keyNamed('w0'), keyNamed('w1')]
const REFEREES = ['r0', 'r1', 'r2'].map((name) => keyNamed(name).peer)
const CREDIT = 1_000_000n
const FAILED = { verdict: 'fail', reason: 'audit_failed', methods: 7 } as const
const ROW = {
  ...{ prover: '*', verifier: 'cpu-* linux-x64', temperature: 1, suspectMicro: [4_000, 3_000, 2_000, 1_000] },
  ...{ failMicro: [8_000, 6_000, 4_000, 2_000], worstMicro: 900_000, honestAudits: 3_000, honestTokens: 300_000 },
}
const TABLE: PolicyTable = { model: digestNamed('model'), engine: 'an engine', rows: [ROW] }

function next(swarm: LogSwarm, kind: EntryKind, body: Uint8Array): Uint8Array {
  return buildEntry(swarm.state, kind, body, swarm.nowMs).bytes
}

/** A paid job of Alice, of which an audit failed replica 0; its worker has savings. */
function failedJob(): { swarm: LogSwarm; job: LoggedJob } {
  const swarm = new LogSwarm()
  const job = swarm.judged({}, [FAILED])
  applied(swarm.apply('settlement', swarm.settlement(job, 1)))
  applied(swarm.apply('mint', swarm.mint(nodeAccount(WORKER.peer), 3n * CREDIT, 'savings')))
  return { swarm, job: swarm.job(job.id) }
}

function disputed(parts: Parameters<LogSwarm['dispute']>[2] = {}, opener = ALICE) {
  const { swarm, job } = failedJob()
  applied(swarm.apply('dispute', swarm.dispute(job, opener, parts)))
  const now = swarm.job(job.id)
  return { swarm, job: now, dispute: now.disputes[0] ?? missing('a dispute') }
}

function policyCases(): VectorCase[] {
  const swarm = new LogSwarm()
  const publish = (table: PolicyTable, key = MINT_KEY) =>
    next(swarm, 'policy', sealAs(policyTableCodec, table, swarm.state.swarmId, key))
  const unsound = { ...TABLE, rows: [{ ...ROW, failMicro: [0, 0, 0, 0] }] }
  return [
    refusedEntry('a table by anyone', 'authority_missing', swarm, publish(TABLE, ALICE)),
    refusedEntry('a table that fails what it does not suspect', 'body_malformed', swarm, publish(unsound)),
    acceptedEntry('a table', swarm, publish(TABLE)),
    refusedEntry('the table that is in force', 'policy_repeated', swarm, publish(TABLE)),
    acceptedEntry('a hold under it', swarm, next(swarm, 'hold', swarm.holdBody())),
  ]
}

function openingCases(): VectorCase[] {
  const { swarm, job } = failedJob()
  const open = (parts: Parameters<LogSwarm['dispute']>[2], opener = ALICE) =>
    next(swarm, 'dispute', swarm.dispute(job, opener, parts))
  const refused = [
    refusedEntry('a stranger', 'authority_missing', swarm, open({}, BOB)),
    refusedEntry('another attempt', 'attempt_mismatch', swarm, open({ attempt: 1 })),
    refusedEntry('a replica that is not there', 'dispute_unfounded', swarm, open({ replica: 3 })),
    refusedEntry('the word of another for a worker', 'dispute_unfounded', swarm, open({ claim: 'accept' }, OTHER)),
    refusedEntry('a number that is not next', 'dispute_repeated', swarm, open({ number: 1 })),
    refusedEntry('a worker without money', 'insufficient_credit', swarm, open({ replica: 2 }, OTHER)),
  ]
  const opened = acceptedEntry('a dispute by the user', swarm, open({}))
  const second = [
    refusedEntry('a second one of the replica', 'dispute_open', swarm, open({ claim: 'accept' }, WORKER)),
    acceptedEntry('another replica, by a worker', swarm, open({ replica: 1 }, WORKER)),
  ]
  const late = failedJob()
  late.swarm.nowMs += 600_001n
  const lateEntry = next(late.swarm, 'dispute', late.swarm.dispute(late.job, ALICE))
  return [...refused, opened, ...second, refusedEntry('too late', 'dispute_window_closed', late.swarm, lateEntry)]
}

function rulingCases(): VectorCase[] {
  const upheld = disputed()
  const body = rulingOf(upheld.job, upheld.dispute, 'upheld', REFEREES)
  const wrong: readonly (readonly [string, Correction])[] = [
    ['a referee twice', { ...body, referees: [...REFEREES, ...REFEREES.slice(0, 1)] }],
    ['another number', { ...body, number: 1 }],
    ['a dispute that is not there', { ...body, dispute: digestNamed('no dispute') }],
    ['no outcome', { ...body, outcome: 'none', reason: 'dispute_none' }],
  ]
  const refused = wrong.map(([name, ruling]) =>
    refusedEntry(
      `a ruling with ${name}`,
      'correction_mismatch',
      upheld.swarm,
      next(upheld.swarm, 'correction', upheld.swarm.certifiedCorrection(ruling)),
    ),
  )
  const end = ({ swarm, job }: ReturnType<typeof disputed>, outcome: DisputeOutcome, referees = REFEREES) =>
    next(swarm, 'correction', swarm.ruling(job, outcome, referees))
  const [lost, cleared, open] = [disputed(), disputed({ claim: 'accept' }, WORKER), disputed()]
  applied(cleared.swarm.apply('mint', cleared.swarm.mint(platformAccount('home'), CREDIT, 'platform')))
  return [
    ...refused,
    refusedEntry(
      'a ruling without votes',
      'certificate_invalid',
      upheld.swarm,
      next(upheld.swarm, 'correction', unsigned(body)),
    ),
    acceptedEntry('a slash', upheld.swarm, end(upheld, 'upheld')),
    acceptedEntry('a bond that is lost', lost.swarm, end(lost, 'rejected')),
    acceptedEntry('a payment restored', cleared.swarm, end(cleared, 'upheld')),
    acceptedEntry('an inconclusive dispute', open.swarm, end(open, 'inconclusive', [])),
  ]
}

function expiryCases(): VectorCase[] {
  const { swarm, job, dispute } = disputed()
  const body = unsigned(expiredRuling(job, dispute))
  swarm.nowMs += 3_599_999n
  const early = refusedEntry(
    'an end without votes, early',
    'deadline_not_reached',
    swarm,
    next(swarm, 'correction', body),
  )
  swarm.nowMs += 1n
  const due = acceptedEntry('an end without votes: the user loses its bond', swarm, next(swarm, 'correction', body))
  const again = refusedEntry('the same once more', 'correction_mismatch', swarm, next(swarm, 'correction', body))
  return [early, due, again]
}

function unsigned(correction: Correction): Uint8Array {
  return correctionEntryCodec.encode({ correction: correctionCodec.encode(correction), attempt: 0, ...NO_SIGNATURES })
}

export function disputeVectors(): VectorFile {
  return {
    name: 'dispute',
    describe:
      'Apply the entries in order to the genesis, then the entry in question: audit thresholds, disputes and their ends.',
    cases: [...policyCases(), ...openingCases(), ...rulingCases(), ...expiryCases()],
  }
}
