/** Vectors about the log: a genesis, the entries so far, and the entry in question. */
import * as assert from 'uvu/assert'
import { fromHex, toHex } from '../../core/codec/bytes.ts'
import { type Applied, applyEntry, type RefusalReason, replay } from '../../core/log/apply.ts'
import { parseGenesis } from '../../core/log/genesis.ts'
import { createState, type LogState } from '../../core/log/state.ts'
import type { LogSwarm } from '../support/log-swarm.ts'
import { missing } from '../support/missing.ts'
import { listOf } from './fields.ts'
import { bytesOf, type Texts, type VectorCase } from './vector.ts'

type Input = { readonly genesis: string; readonly entries: readonly string[]; readonly entry: string }

/** @param entry  what comes after everything that the swarm has applied */
function inputOf(swarm: LogSwarm, entry: Uint8Array): Input {
  return { genesis: toHex(swarm.genesis.bytes), entries: swarm.entries.map(toHex), entry: toHex(entry) }
}

/** @param entry  applied here, to see what it gives */
export function acceptedEntry(name: string, swarm: LogSwarm, entry: Uint8Array): VectorCase {
  const input = inputOf(swarm, entry)
  const result = swarm.applyBytes(entry)
  if (result.status === 'refused') throw new Error(`${name}: ${result.reason}`)
  return { name, accept: true, input, expect: outcomeOf(swarm.state, result) }
}

export function refusedEntry(name: string, reason: RefusalReason, swarm: LogSwarm, entry: Uint8Array): VectorCase {
  return { name, accept: false, input: inputOf(swarm, entry), expect: { reason } }
}

/** Everything about the entry that two implementations must agree on. */
function outcomeOf(state: LogState, { kind, hash, jobId, transfers }: Applied): Texts {
  const job = jobId === null ? undefined : state.jobs.get(jobId)
  const moved = transfers.map(({ id, kind: why, debit, credit, amount, vestsAtMs }) => {
    return { id, kind: why, debit, credit, amount: `${amount}`, vestsAtMs: `${vestsAtMs}` }
  })
  const touched = [...new Set(transfers.flatMap(({ debit, credit }) => [debit, credit]))].sort()
  const accounts = touched.map((id) => {
    const account = state.accounts.get(id)
    return { id, balance: `${account?.balance ?? 0n}`, held: `${account?.held ?? 0n}` }
  })
  const about = job && {
    id: job.id,
    edge: job.edge,
    phase: job.phase,
    attempt: job.attempt,
    hold: `${job.holdAmount}`,
    deadlineMs: `${job.deadlineMs}`,
    policyId: job.policyId,
    disputes: job.disputes.map(({ hash: name, bond, outcome }) => ({ hash: name, bond: `${bond}`, outcome })),
  }
  return { kind, hash, transfers: moved, accounts, job: about ?? null }
}

export function checkEntry(vector: VectorCase): void {
  const { input, expect } = vector
  const genesis = parseGenesis(bytesOf(input, 'genesis'))
  if (genesis.action !== 'accept') throw new Error('the genesis of a log vector is sound')
  const state = createState(genesis.value)
  const entries = listOf(input, 'entries').map((text) => fromHex(String(text)) ?? missing('an entry is hex'))
  assert.is(replay(state, entries).status, 'ok')
  const result = applyEntry(state, bytesOf(input, 'entry'))
  if (result.status === 'refused') {
    assert.not(vector.accept, `${vector.name}: refused as ${result.reason}`)
    assert.is(result.reason, expect['reason'])
  } else {
    assert.ok(vector.accept, `${vector.name}: applied, must be refused`)
    assert.equal(outcomeOf(state, result), expect)
  }
}
