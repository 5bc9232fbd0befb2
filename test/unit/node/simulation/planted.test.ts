/** Every checker of a simulation, shown a core with a bug in it that it must find: else "no violation" would say nothing. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { digestOf, userAccount } from '../../../../core/ids.ts'
import { judgeFindings } from '../../../../core/job/judge.ts'
import type { Transfer } from '../../../../core/ledger/transfer.ts'
import { applyEntry } from '../../../../core/log/apply.ts'
import { castVote } from '../../../../core/quorum/vote.ts'
import { findingCodec } from '../../../../core/verification/finding.ts'
import { WorkChecker } from '../../../../node/simulation/check-work.ts'
import { CORE_RULES, type Rules } from '../../../../node/simulation/rules.ts'
import { Violations } from '../../../../node/simulation/violations.ts'
import { JobRun, OUTPUT } from '../../../support/job-run.ts'
import { rulesBroken, simulated } from '../../../support/simulation.ts'

type Apply = Rules['applyEntry']

/** A core that does something more after each entry of one kind. */
function after(kind: string, meddle: (state: Parameters<Apply>[0], result: ReturnType<Apply>) => void): Rules {
  return {
    ...CORE_RULES,
    applyEntry: (state, bytes) => {
      const result = applyEntry(state, bytes)
      if (result.status === 'applied' && result.kind === kind) meddle(state, result)
      return result
    },
  }
}

function broken(rules: Rules, parts: Parameters<typeof simulated>[0] = {}): readonly string[] {
  return rulesBroken(simulated({ jobs: 4, ...parts }, { rules }))
}

test('the core as it is breaks nothing', () => assert.equal(broken(CORE_RULES), []))

test('money that a settlement creates is found, and a replay by the real core finds it too', () => {
  const rules = after('settlement', (state) => {
    for (const [id, account] of [...state.accounts.entries()])
      if (id.startsWith('node/')) state.accounts.set(id, { ...account, balance: account.balance + 1n })
  })
  const found = broken(rules)
  assert.ok(found.includes('money-conserved'), found.join())
  assert.ok(found.includes('log-replays'), found.join())
})

test('a hold that a settlement leaves behind is found', () => {
  const rules = after('settlement', (state, result) => {
    const job = result.status === 'applied' && result.jobId !== null ? state.jobs.get(result.jobId) : undefined
    const account = job === undefined ? undefined : state.accounts.get(userAccount(job.user))
    if (job !== undefined && account !== undefined)
      state.accounts.set(userAccount(job.user), { ...account, held: account.held + 1n })
  })
  const found = broken(rules)
  assert.ok(found.includes('holds-add-up') && found.includes('holds-closed'), found.join())
})

test('a job that is open after its settlement is found', () => {
  const rules = after('settlement', (state, result) => {
    const job = result.status === 'applied' && result.jobId !== null ? state.jobs.get(result.jobId) : undefined
    if (job !== undefined) state.jobs.set(job.id, { ...job, phase: 'assigned', settlement: null })
  })
  const found = broken(rules)
  assert.ok(found.includes('one-settlement') && found.includes('jobs-settle'), found.join())
})

test('a settlement that shares out more than its hold is found, and so is a node that is paid twice for one part', () => {
  const sharing = (share: (transfers: readonly Transfer[]) => readonly Transfer[]): Rules => ({
    ...CORE_RULES,
    applyEntry: (state, bytes) => {
      const result = applyEntry(state, bytes)
      return result.status === 'applied' && result.kind === 'settlement'
        ? { ...result, transfers: share(result.transfers) }
        : result
    },
  })
  const more = sharing((transfers) =>
    transfers.map((row, place) => (place === 0 ? { ...row, amount: row.amount + 1n } : row)),
  )
  assert.ok(broken(more).includes('money-conserved'), broken(more).join())
  const twice = sharing((transfers) => {
    const [first] = transfers
    return transfers.map((row) =>
      first?.op === 'post' && row.op === 'post' ? { ...row, kind: first.kind, nodeId: first.nodeId } : row,
    )
  })
  assert.ok(broken(twice).includes('paid-once'), broken(twice).join())
})

test('a job that goes back to an earlier phase is found', () => {
  const violations = new Violations(() => 0)
  const run = new JobRun()
  const { first } = run
  const later = run.execute([OUTPUT, OUTPUT, OUTPUT])
  const checker = new WorkChecker(violations, () => 'honest')
  checker.stepped(first, later)
  assert.equal(violations.items, [])
  checker.stepped(later, first)
  assert.equal(
    violations.items.map(({ rule }) => rule),
    ['phases-go-down'],
  )
})

test('a head that is not the hash of its entry is found', () => {
  const rules = after('hold', (state) => {
    state.head = { ...state.head, hash: digestOf(new Uint8Array(32).fill(state.head.index === 3n ? 1 : 2)) }
  })
  const found = broken(rules)
  assert.ok(found.includes('log-chain'), found.join())
})

test('an honest validator that signs two digests is found, and so are two digests with a quorum each', () => {
  const rules: Rules = {
    ...CORE_RULES,
    cast: (swarmId, statement, key) => [
      castVote(swarmId, statement, key),
      castVote(swarmId, { ...statement, digest: digestOf(new Uint8Array(32).fill(7)) }, key),
    ],
  }
  assert.equal(broken(rules), ['one-certificate', 'one-vote-per-subject'])
})

/** Validators that call every output by one verdict. */
function judging(verdict: 'pass' | 'fail'): Rules {
  return {
    ...CORE_RULES,
    judgeFindings: (bench, proposal) => {
      const judged = judgeFindings(bench, proposal)
      if (judged.action !== 'accept') return judged
      const value = judged.value.map((finding) => {
        const decoded = findingCodec.decode(finding.body)
        if (decoded.action !== 'accept' || decoded.value.verdict === 'fail') return finding
        const body = findingCodec.encode({ ...decoded.value, verdict })
        return {
          ...finding,
          body,
          statement: { ...finding.statement, digest: findingCodec.digest(bench.state.swarmId, body) },
        }
      })
      return { action: 'accept', value }
    },
  }
}

test('a lie that passes is found, and so is one that is then called replicated', () => {
  const found = broken(judging('pass'), { faults: { liar: 0.5 }, jobs: 10 })
  assert.ok(found.includes('no-lie-passes'), found.join())
  assert.ok(found.includes('no-lie-is-verified'), found.join())
})

test('honest work that fails is found', () => assert.equal(broken(judging('fail')), ['honest-work-stands']))

test('an assertion of the core ends the simulation and is a violation', () => {
  const rules = after('hold', (state) => {
    for (const [id, account] of [...state.accounts.entries()])
      if (id.startsWith('user/')) state.accounts.set(id, { ...account, held: account.balance + 1n })
  })
  assert.equal(broken(rules), ['core-assertion'])
})

test.run()
