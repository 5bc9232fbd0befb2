import { concatBytes } from '../../../core/codec/bytes.ts'
import { encodeWire, type Wire } from '../../../core/codec/canonical.ts'
import { digestBytes, nodeAccount, platformAccount, userAccount } from '../../../core/ids.ts'
import { buildEntry } from '../../../core/log/apply.ts'
import { genesisEntryCodec } from '../../../core/log/bodies.ts'
import { ENTRY_KINDS, type Entry, type EntryKind, entryCodec, LOG_TIME_MS_MAX } from '../../../core/log/entry.ts'
import { ALICE, BOB, LogSwarm, MINT_KEY, START_MS } from '../../support/log-swarm.ts'
import { digestNamed, keyNamed } from '../../support/people.ts'
import { acceptedEntry, refusedEntry } from '../log-case.ts'
import type { VectorCase, VectorFile } from '../vector.ts'

const alice = userAccount(ALICE.peer)

export function entryVectors(): VectorFile {
  return {
    name: 'entry',
    describe: 'Apply the entries in order to the genesis, then the entry in question.',
    cases: [...acceptedCases(), ...chainCases(), ...formCases(), ...moneyCases()],
  }
}

function next(swarm: LogSwarm, kind: EntryKind, body: Uint8Array, parts: Partial<Entry> = {}): Uint8Array {
  return entryCodec.encode({ ...buildEntry(swarm.state, kind, body, swarm.nowMs).entry, ...parts })
}

function acceptedCases(): VectorCase[] {
  const empty = new LogSwarm({}, false)
  const genesis = next(empty, 'genesis', genesisEntryCodec.encode({ swarmId: empty.genesis.swarmId }))
  const swarm = new LogSwarm()
  const spend = { kind: 'spend', from: alice, to: platformAccount('home'), amount: 9n } as const
  const reward = {
    kind: 'reward',
    from: platformAccount('home'),
    to: nodeAccount(keyNamed('w0').peer),
    amount: 4n,
  } as const
  return [
    acceptedEntry('the genesis entry grants the starters', empty, genesis),
    acceptedEntry('a mint', swarm, next(swarm, 'mint', swarm.mint(userAccount(BOB.peer), 5_000_000n, 'one'))),
    acceptedEntry('a spend', swarm, next(swarm, 'transfer', swarm.direct(spend, ALICE))),
    acceptedEntry('a reward', swarm, next(swarm, 'transfer', swarm.direct(reward, MINT_KEY))),
  ]
}

function chainCases(): VectorCase[] {
  const swarm = new LogSwarm()
  const mint = (parts: Partial<Entry>) => next(swarm, 'mint', swarm.mint(alice, 1n, 'key'), parts)
  const empty = new LogSwarm({}, false)
  const genesisBody = genesisEntryCodec.encode({ swarmId: swarm.genesis.swarmId })
  const other = genesisEntryCodec.encode({ swarmId: digestNamed('another swarm') })
  return [
    refusedEntry('an index that skips one', 'index_mismatch', swarm, mint({ index: 2n })),
    refusedEntry('an index that repeats', 'index_mismatch', swarm, mint({ index: 0n })),
    refusedEntry('another previous hash', 'previous_mismatch', swarm, mint({ previous: digestNamed('elsewhere') })),
    refusedEntry('a time past the last', 'time_out_of_range', swarm, mint({ timeMs: LOG_TIME_MS_MAX + 1n })),
    refusedEntry('a time before the head', 'time_not_monotone', swarm, mint({ timeMs: START_MS - 1n })),
    refusedEntry(
      'a first entry that is no genesis',
      'genesis_expected',
      empty,
      next(empty, 'mint', empty.mint(alice, 1n, 'key')),
    ),
    refusedEntry('the genesis of another swarm', 'genesis_mismatch', empty, next(empty, 'genesis', other)),
    refusedEntry('a second genesis', 'genesis_repeated', swarm, next(swarm, 'genesis', genesisBody)),
  ]
}

function formCases(): VectorCase[] {
  const swarm = new LogSwarm()
  const body = swarm.mint(alice, 1n, 'key')
  const good = next(swarm, 'mint', body)
  const parts: readonly Wire[] = [1, 1, 1n, digestBytes(swarm.state.head.hash), START_MS, body]
  return [
    refusedEntry('a byte after the entry', 'entry_malformed', swarm, concatBytes(good, Uint8Array.of(0))),
    refusedEntry('an entry cut short', 'entry_malformed', swarm, good.subarray(0, -1)),
    refusedEntry('an entry of 1,025 bytes', 'entry_too_large', swarm, new Uint8Array(1_025)),
    refusedEntry('an unknown kind', 'entry_malformed', swarm, encodeWire(parts.with(1, ENTRY_KINDS.length))),
    refusedEntry('an unknown version', 'entry_malformed', swarm, encodeWire(parts.with(0, 2))),
    refusedEntry('a small index in its short form', 'entry_malformed', swarm, encodeWire(parts.with(2, 1))),
    refusedEntry('a body that is no envelope', 'body_malformed', swarm, next(swarm, 'mint', Uint8Array.of(0xc1))),
    refusedEntry('the envelope of another kind', 'body_malformed', swarm, next(swarm, 'transfer', body)),
  ]
}

function moneyCases(): VectorCase[] {
  const swarm = new LogSwarm()
  swarm.apply('mint', swarm.mint(alice, 1n, 'used'))
  const mint = (body: Uint8Array) => next(swarm, 'mint', body)
  const taking = { kind: 'transfer', from: alice, to: userAccount(BOB.peer), amount: 1n } as const
  const tooMuch = { kind: 'spend', from: userAccount(BOB.peer), to: platformAccount('home'), amount: 1n } as const
  return [
    refusedEntry('a mint by a user', 'authority_missing', swarm, mint(swarm.mint(alice, 1n, 'key', ALICE))),
    refusedEntry('a mint of nothing', 'amount_out_of_range', swarm, mint(swarm.mint(alice, 0n, 'key'))),
    refusedEntry('a mint of less than nothing', 'amount_out_of_range', swarm, mint(swarm.mint(alice, -1n, 'key'))),
    refusedEntry('a mint to nobody', 'account_unknown', swarm, mint(swarm.mint('user/nobody', 1n, 'key'))),
    refusedEntry('a key used again for the same', 'idempotency_repeat', swarm, mint(swarm.mint(alice, 1n, 'used'))),
    refusedEntry('a key used again for more', 'idempotency_conflict', swarm, mint(swarm.mint(alice, 2n, 'used'))),
    refusedEntry(
      "a transfer of another's credit",
      'authority_missing',
      swarm,
      next(swarm, 'transfer', swarm.direct(taking, BOB)),
    ),
    refusedEntry(
      'a spend of what is not there',
      'insufficient_credit',
      swarm,
      next(swarm, 'transfer', swarm.direct(tooMuch, BOB)),
    ),
  ]
}
