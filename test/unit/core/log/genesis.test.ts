import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { peerIdOf } from '../../../../core/ids.ts'
import {
  type GenesisBody,
  genesisCodec,
  genesisRoster,
  genesisValidators,
  makeGenesis,
  parseGenesis,
  swarmIdOf,
} from '../../../../core/log/genesis.ts'
import { genesisBody } from '../../../support/log-swarm.ts'
import { keyNamed, memberNamed } from '../../../support/people.ts'

const ALICE = keyNamed('alice').peer

test('a genesis reads back and its swarm id is the hash of its bytes', () => {
  const genesis = makeGenesis(genesisBody())
  const parsed = parseGenesis(genesis.bytes)
  assert.equal(parsed, { action: 'accept', value: genesis })
  assert.is(genesis.swarmId, swarmIdOf(genesis.bytes))
  assert.is(genesisRoster(genesis).members.length, 9)
  assert.is(genesisValidators(genesis).quorum, 3)
})

test('any other content is another swarm', () => {
  const ids = [{}, { name: 'other' }, { local: true }, { mintKeys: [] }].map(
    (parts) => makeGenesis(genesisBody(parts)).swarmId,
  )
  assert.is(new Set(ids).size, ids.length)
})

const { prices, policy } = genesisBody()
const FAULTS: readonly (readonly [keyof GenesisBody, Partial<GenesisBody>])[] = [
  ['name', { name: '' }],
  ['createdMs', { createdMs: 2n ** 48n + 1n }],
  ['region', { region: 'Not A Region' }],
  ['validators', { validators: [] }],
  ['validators', { validators: [ALICE, ALICE] }],
  ['mintKeys', { mintKeys: [ALICE, ALICE] }],
  ['members', { members: [memberNamed('w0', { weight: 65 })] }],
  ['members', { members: [memberNamed('w0', { weight: 0 })] }],
  ['members', { members: [memberNamed('w0', { roles: 8 })] }],
  ['members', { members: [memberNamed('w0'), memberNamed('w0')] }],
  ['prices', { prices: { ...prices, tokenMicro: -1n } }],
  ['prices', { prices: { ...prices, jobMicro: 0n, tokenMicro: 0n, tokenMicroPerGigaParam: 0n } }],
  ['policy', { policy: { ...policy, attemptsMax: 0 } }],
  ['policy', { policy: { ...policy, jobMs: policy.commitMs } }],
  ['policy', { policy: { ...policy, auditPermille: 1_001 } }],
  ['starters', { starters: [{ user: ALICE, amount: 0n }] }],
  ['starters', { starters: [1n, 2n].map((amount) => ({ user: ALICE, amount })) }],
]
for (const [field, parts] of FAULTS) {
  const named = JSON.stringify(parts, (_, value: unknown) => (typeof value === 'bigint' ? `${value}` : value)).slice(
    0,
    60,
  )
  test(`a genesis with unsound ${field} is refused: ${named}`, () => {
    const parsed = parseGenesis(genesisCodec.encode(genesisBody(parts)))
    assert.equal(parsed, { action: 'reject', reason: 'body_malformed', where: `genesis.${field}` })
  })
}

test('a validator whose key is the identity point is refused', () => {
  const identity = new Uint8Array(32)
  identity[0] = 1
  const parsed = parseGenesis(genesisCodec.encode(genesisBody({ validators: [peerIdOf(identity)] })))
  assert.equal(parsed, { action: 'reject', reason: 'key_small_order' })
})

test('a genesis that is cut or goes on is refused', () => {
  const { bytes } = makeGenesis(genesisBody())
  assert.is(parseGenesis(bytes.slice(0, -1)).action, 'reject')
  assert.is(parseGenesis(new Uint8Array([...bytes, 0])).action, 'reject')
})

test.run()
