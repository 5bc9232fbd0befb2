import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { digestBytes, MINT_ACCOUNT, nodeAccount, platformAccount, userAccount } from '../../../../core/ids.ts'
import { LIMITS } from '../../../../core/limits.ts'
import { type Applied, auditBooks, buildEntry, type Refused, replay } from '../../../../core/log/apply.ts'
import { ENTRY_OVERHEAD_BYTES, entryCodec } from '../../../../core/log/entry.ts'
import { createState } from '../../../../core/log/state.ts'
import { ALICE, applied, BOB, LogSwarm, MINT_KEY, START_MS, STARTER } from '../../../support/log-swarm.ts'
import { jobNamed, keyNamed } from '../../../support/people.ts'

const [alice, bob] = [userAccount(ALICE.peer), userAccount(BOB.peer)]
const node = nodeAccount(keyNamed('w0').peer)
const platform = platformAccount('home')

function reasonOf(result: Applied | Refused): string {
  return result.status === 'refused' ? result.reason : 'applied'
}

test('the genesis entry grants the starter credits out of the mint', () => {
  const swarm = new LogSwarm()
  assert.is(swarm.balance(alice), STARTER)
  assert.equal(auditBooks(swarm.state), { total: 0n, mint: -STARTER, accounts: 2 })
})

test('transfers of an entry have ids that follow from its hash', () => {
  const swarm = new LogSwarm()
  const first = applied(swarm.apply('mint', swarm.mint(alice, 5n, 'one')))
  const second = applied(swarm.apply('mint', swarm.mint(alice, 5n, 'two')))
  assert.is.not(first.transfers[0]?.id, second.transfers[0]?.id)
  assert.is(first.hash, second.entry.previous)
})

test('a spend, a reward and a transfer by its owner move credit and name job and node', () => {
  const swarm = new LogSwarm()
  const jobId = jobNamed('job')
  const about = digestBytes(jobId)
  const spent = applied(
    swarm.apply(
      'transfer',
      swarm.direct({ kind: 'spend', from: alice, to: platform, amount: 10n, jobId: about }, ALICE),
    ),
  )
  assert.is(spent.transfers[0]?.jobId, jobId)
  applied(swarm.apply('transfer', swarm.direct({ kind: 'reward', from: platform, to: node, amount: 4n }, MINT_KEY)))
  const reward = swarm.direct(
    { kind: 'reward', from: MINT_ACCOUNT, to: node, amount: 1n, idempotencyKey: 'other' },
    MINT_KEY,
  )
  assert.is(applied(swarm.apply('transfer', reward)).transfers[0]?.nodeId, keyNamed('w0').peer)
  applied(swarm.apply('transfer', swarm.direct({ kind: 'transfer', from: node, to: bob, amount: 5n }, keyNamed('w0'))))
  applied(
    swarm.apply(
      'transfer',
      swarm.direct({ kind: 'transfer', from: platform, to: bob, amount: 6n, idempotencyKey: 'third' }, MINT_KEY),
    ),
  )
  assert.equal([swarm.balance(bob), swarm.balance(node), swarm.balance(platform)], [11n, 0n, 0n])
  assert.is(auditBooks(swarm.state).total, 0n)
})

test('one idempotency key moves money once, whatever comes between', () => {
  const swarm = new LogSwarm()
  const once = swarm.mint(bob, 5n, 'key')
  applied(swarm.apply('mint', once))
  applied(swarm.apply('mint', swarm.mint(bob, 7n, 'other key')))
  assert.is(reasonOf(swarm.apply('mint', once)), 'idempotency_repeat')
  assert.is(reasonOf(swarm.apply('mint', swarm.mint(alice, 5n, 'key'))), 'idempotency_conflict')
  assert.is(swarm.balance(bob), 12n)
})

test('a mint and a transfer of one signer share the space of keys, two signers do not', () => {
  const swarm = new LogSwarm()
  applied(swarm.apply('mint', swarm.mint(node, 5n, 'key')))
  const reward = swarm.direct({ kind: 'reward', from: MINT_ACCOUNT, to: node, amount: 5n }, MINT_KEY)
  assert.is(reasonOf(swarm.apply('transfer', reward)), 'idempotency_conflict')
  applied(swarm.apply('transfer', swarm.direct({ kind: 'spend', from: alice, to: platform, amount: 1n }, ALICE)))
})

test('a refused transfer does not use its key up', () => {
  const swarm = new LogSwarm()
  const spend = (amount: bigint) => swarm.direct({ kind: 'spend', from: alice, to: platform, amount }, ALICE)
  assert.is(reasonOf(swarm.apply('transfer', spend(STARTER + 1n))), 'insufficient_credit')
  applied(swarm.apply('transfer', spend(STARTER)))
})

test('an empty key, a malformed job, an unknown account and a transfer to oneself are refused', () => {
  const swarm = new LogSwarm()
  const spend = { kind: 'spend', from: alice, to: platform, amount: 1n } as const
  assert.is(reasonOf(swarm.apply('transfer', swarm.direct({ ...spend, idempotencyKey: '' }, ALICE))), 'body_malformed')
  assert.is(
    reasonOf(swarm.apply('transfer', swarm.direct({ ...spend, jobId: new Uint8Array(31) }, ALICE))),
    'body_malformed',
  )
  assert.is(reasonOf(swarm.apply('transfer', swarm.direct({ ...spend, to: 'user/nobody' }, ALICE))), 'account_unknown')
  assert.is(
    reasonOf(swarm.apply('transfer', swarm.direct({ ...spend, to: 'platform/elsewhere' }, ALICE))),
    'account_unknown',
  )
  assert.is(reasonOf(swarm.apply('transfer', swarm.direct({ ...spend, to: alice }, ALICE))), 'account_unknown')
  assert.is(reasonOf(swarm.apply('mint', swarm.mint(MINT_ACCOUNT, 1n, 'key'))), 'account_unknown')
})

test('a signature made for another swarm does not count here', () => {
  const [here, there] = [new LogSwarm(), new LogSwarm({ name: 'other' })]
  assert.is(reasonOf(here.apply('mint', there.mint(alice, 1n, 'key'))), 'signature_invalid')
})

test('a clock that went back cannot take log time back', () => {
  const swarm = new LogSwarm()
  swarm.nowMs = START_MS + 10n
  applied(swarm.apply('mint', swarm.mint(alice, 1n, 'one')))
  swarm.nowMs = START_MS
  const later = applied(swarm.apply('mint', swarm.mint(alice, 1n, 'two')))
  assert.is(later.entry.timeMs, START_MS + 10n)
})

test('an entry is at most 1,024 bytes and its overhead is what the table says', () => {
  const swarm = new LogSwarm()
  const body = new Uint8Array(LIMITS.entryBytesMax - ENTRY_OVERHEAD_BYTES)
  assert.is(buildEntry(swarm.state, 'mint', body, START_MS).bytes.length, LIMITS.entryBytesMax)
})

test('the log applied again from the genesis gives the same books, and a forged entry stops it where it stands', () => {
  const swarm = new LogSwarm()
  applied(swarm.apply('mint', swarm.mint(bob, 5n, 'one')))
  applied(swarm.apply('mint', swarm.mint(bob, 6n, 'two')))
  const again = createState(swarm.genesis)
  assert.equal(replay(again, swarm.entries), { status: 'ok', entries: 3n })
  assert.equal([...again.accounts.entries()], [...swarm.state.accounts.entries()])
  assert.equal(again.head, swarm.state.head)
  const decoded = entryCodec.decode(swarm.entries[1] ?? new Uint8Array())
  if (decoded.action !== 'accept') throw new Error('our own entry decodes')
  const forged = entryCodec.encode({ ...decoded.value, body: swarm.mint(bob, 500n, 'one') })
  const broken = replay(createState(swarm.genesis), [swarm.entries[0] ?? forged, forged, swarm.entries[2] ?? forged])
  assert.is(broken.status === 'broken' && broken.refused.reason, 'previous_mismatch')
  assert.is(broken.status === 'broken' && broken.index, 2n)
})

test.run()
