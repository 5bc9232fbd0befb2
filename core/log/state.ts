/** What the log adds up to: accounts, jobs, used nonces and keys, the epoch and its validators. Only `applyEntry` changes it. */
import type { AccountId, Digest, JobId, PeerId, SwarmId, UserId } from '../ids.ts'
import { digestOf, platformAccount, userAccount } from '../ids.ts'
import { invariant } from '../invariant.ts'
import type { Account } from '../ledger/account.ts'
import type { Books } from '../ledger/rules.ts'
import type { ValidatorSet } from '../quorum/validators.ts'
import type { DisputeClaim, DisputeOutcome } from '../verification/dispute.ts'
import type { Finding } from '../verification/finding.ts'
import type { EpochStart } from './epochs.ts'
import { type Genesis, genesisRoster, genesisValidators } from './genesis.ts'
import type { Standing } from './standing.ts'
import { type Lookup, Table } from './table.ts'

export type LoggedPhase = 'held' | 'assigned' | 'settled'

export type LoggedSettlement = {
  readonly outcome: 'paid' | 'refunded'
  readonly reason: string
  /** Replica whose output is the answer; CHOSEN_NONE for none. */
  readonly chosen: number
  readonly authority: 'certificate' | 'expiry'
  readonly cost: bigint
  readonly refund: bigint
  readonly entryHash: Digest
  /** Log time of the settlement's entry. */
  readonly settledMs: bigint
}

/** A finding of a settled job that somebody has called wrong. */
export type LoggedDispute = {
  /** Of its entry: names it, and draws its referees. */
  readonly hash: Digest
  readonly opener: PeerId
  /** Which of the opener's accounts the bond came from and goes back to. */
  readonly payer: 'user' | 'node'
  readonly replica: number
  readonly claim: DisputeClaim
  /** Micro-credits; the platform holds them until the ruling. */
  readonly bond: bigint
  readonly openedMs: bigint
  /** Null before the ruling. */
  readonly outcome: DisputeOutcome | null
}

/** A job as far as the log knows it. */
export type LoggedJob = {
  readonly id: JobId
  readonly user: UserId
  /** Drives it: validators vote on nobody else's proposals about it, and workers take nobody else's orders. */
  readonly edge: PeerId
  readonly intentBody: Uint8Array
  readonly holdAmount: bigint
  /** Of the hold, what is neither posted nor given back. */
  readonly holdLeft: bigint
  readonly holdHash: Digest
  readonly holdIndex: bigint
  readonly holdMs: bigint
  /** The epoch of its hold's entry: draws and certificates about it stay with that one. */
  readonly epoch: bigint
  readonly deadlineMs: bigint
  readonly phase: LoggedPhase
  readonly attempt: number
  /** In order of replica; empty before the assignment. */
  readonly workers: readonly PeerId[]
  /** 32 zero bytes before the assignment. */
  readonly assignmentHash: Digest
  /** Of the current attempt, in order of replica. */
  readonly findings: readonly Finding[]
  readonly settlement: LoggedSettlement | null
  readonly correctionCount: number
  /** Of the audit thresholds in force at the hold; 32 zero bytes: none, and audits judge nobody. */
  readonly policyId: Digest
  /** How many of a thousand outputs of each worker are audited, as the log knew it when it was assigned; empty before. */
  readonly auditPermille: readonly number[]
  /** In the order of their entries. */
  readonly disputes: readonly LoggedDispute[]
}

/** A table of audit thresholds: body `policy-table`. */
export type Policy = { readonly id: Digest; readonly body: Uint8Array }

/** What an idempotency key was first used for. */
export type KeyUse = { readonly content: Digest; readonly entryHash: Digest }

export type LogHead = { readonly index: bigint; readonly hash: Digest; readonly timeMs: bigint }

export type NextRoster = {
  readonly root: Digest
  /** Digest of the commitments to its beacon, in validator order. */
  readonly commits: Digest
  /** Log time of its entry. */
  readonly loggedMs: bigint
  /** Body of its entry. */
  readonly body: Uint8Array
}

/** The parts of the state that are not rows. */
export type Scalars = {
  /** Index -1 before the genesis entry. */
  head: LogHead
  epoch: bigint
  beacon: Digest
  rosterRoot: Digest
  /** Roster of the next epoch, certified and waiting for its beacon. */
  nextRoster: NextRoster | null
  validators: ValidatorSet
  snapshot: { readonly index: bigint; readonly digest: Digest } | null
}

type Tables = {
  readonly accounts: Table<Account>
  readonly jobs: Table<LoggedJob>
  /** `<user>/<nonce>` */
  readonly nonces: Table<JobId>
  /** `<signer>/<key>` */
  readonly idempotency: Table<KeyUse>
  /** `<issuer>/<hex of the id>` of a spent invite, to the peer that came in by it. */
  readonly invites: Table<PeerId>
  /** Digest of what was voted on twice, to the validator that did. */
  readonly evidence: Table<PeerId>
  /** PeerId of everybody let in, to what it has done since. */
  readonly peers: Table<Standing>
  /** Decimal number of the epoch. */
  readonly epochs: Table<EpochStart>
  /** `model/<digest>`: the one in force; `id/<digest>`: every one. */
  readonly policies: Table<Policy>
}
/** Rows that are kept elsewhere; a table that is left out starts empty and stays in memory. */
export type Lookups = { readonly [Name in keyof Tables]?: Tables[Name] extends Table<infer V> ? Lookup<V> : never }

export type LogState = Tables & Scalars & { readonly genesis: Genesis; readonly swarmId: SwarmId }

/** The state before the first entry; with lookups, `restoreScalars` (rows.ts) puts it where the store left off. */
export function createState(genesis: Genesis, lookups: Lookups = {}): LogState {
  return {
    ...{ genesis, swarmId: genesis.swarmId },
    accounts: Table.root(lookups.accounts),
    jobs: Table.root(lookups.jobs),
    nonces: Table.root(lookups.nonces),
    idempotency: Table.root(lookups.idempotency),
    invites: Table.root(lookups.invites),
    evidence: Table.root(lookups.evidence),
    peers: Table.root(lookups.peers),
    epochs: Table.root(lookups.epochs),
    policies: Table.root(lookups.policies),
    head: { index: -1n, hash: digestOf(new Uint8Array(32)), timeMs: genesis.createdMs },
    ...{ epoch: 0n, beacon: genesis.beacon, rosterRoot: genesisRoster(genesis).root, nextRoster: null },
    ...{ validators: genesisValidators(genesis), snapshot: null },
  }
}

/** A state that reads through its parent and keeps what is written: thrown away it leaves no trace. */
export function forkState(parent: LogState): LogState {
  return {
    ...parent,
    accounts: parent.accounts.fork(),
    jobs: parent.jobs.fork(),
    nonces: parent.nonces.fork(),
    idempotency: parent.idempotency.fork(),
    invites: parent.invites.fork(),
    evidence: parent.evidence.fork(),
    peers: parent.peers.fork(),
    epochs: parent.epochs.fork(),
    policies: parent.policies.fork(),
  }
}

/** Makes a fork's changes the parent's; the fork is not used again. */
export function mergeState(parent: LogState, fork: LogState): void {
  invariant(fork.swarmId === parent.swarmId && fork.head.index >= parent.head.index, 'a fork is ahead of its parent')
  fork.accounts.mergeInto(parent.accounts)
  fork.jobs.mergeInto(parent.jobs)
  fork.nonces.mergeInto(parent.nonces)
  fork.idempotency.mergeInto(parent.idempotency)
  fork.invites.mergeInto(parent.invites)
  fork.evidence.mergeInto(parent.evidence)
  fork.peers.mergeInto(parent.peers)
  fork.epochs.mergeInto(parent.epochs)
  fork.policies.mergeInto(parent.policies)
  setScalars(parent, fork)
}

/** Takes over everything that is not a row. */
export function setScalars(state: LogState, from: Scalars): void {
  state.head = from.head
  state.epoch = from.epoch
  state.beacon = from.beacon
  state.rosterRoot = from.rosterRoot
  state.nextRoster = from.nextRoster
  state.validators = from.validators
  state.snapshot = from.snapshot
}

/** The ledger's view of the state: a hold lives in its job. */
export function booksOf(state: LogState): Books {
  return {
    account: (id) => state.accounts.get(id),
    setAccount: (id, account) => state.accounts.set(id, account),
    hold(jobId) {
      const job = state.jobs.get(jobId)
      // A job whose hold is being made is in the table already, with nothing reserved.
      return job === undefined || job.holdAmount === 0n
        ? undefined
        : { debit: userAccount(job.user), left: job.holdLeft }
    },
    setHold(jobId, hold) {
      const job = state.jobs.get(jobId)
      invariant(job !== undefined && hold.debit === userAccount(job.user), 'a hold belongs to the user of its job')
      const holdAmount = job.holdAmount === 0n ? hold.left : job.holdAmount
      state.jobs.set(jobId, { ...job, holdAmount, holdLeft: hold.left })
    },
  }
}

/** The account that takes what users spend directly and pays rewards. */
export function platformOf(state: LogState): AccountId {
  return platformAccount(state.genesis.region)
}

export function nonceKey(user: UserId, nonce: bigint): string {
  return `${user}/${nonce}`
}
