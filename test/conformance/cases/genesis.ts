import { concatBytes, toHex } from '../../../core/codec/bytes.ts'
import { encodeWire, type Wire } from '../../../core/codec/canonical.ts'
import { peerIdOf } from '../../../core/ids.ts'
import {
  type GenesisBody,
  genesisCodec,
  genesisRoster,
  genesisValidators,
  makeGenesis,
} from '../../../core/log/genesis.ts'
import type { RejectReason } from '../../../core/validation.ts'
import { ALICE, genesisBody } from '../../support/log-swarm.ts'
import { keyNamed, memberNamed, validatorKeys } from '../../support/people.ts'
import type { VectorCase, VectorFile } from '../vector.ts'
import { hexBytes, IDENTITY } from './points.ts'

const GOOD = genesisCodec.encode(genesisBody())
const { prices, policy } = genesisBody()

export function genesisVectors(): VectorFile {
  return {
    name: 'genesis',
    describe: 'Read the bytes as a genesis and check its rules; the swarm id is the hash of the bytes.',
    cases: [...acceptedCases(), ...brokenCases(), ...unsoundCases()],
  }
}

function acceptedCases(): VectorCase[] {
  const bodies: readonly (readonly [string, Partial<GenesisBody>])[] = [
    ['four validators and nine members', {}],
    ['a local swarm of one', { local: true, validators: [ALICE.peer], members: [], mintKeys: [] }],
    ['thirteen validators', { validators: validatorKeys(13).map(({ peer }) => peer) }],
    ['members in any order', { members: ['w1', 'w0'].map((name) => memberNamed(name)) }],
    ['no starters', { starters: [] }],
    ['the etcd log and a vesting time', { log: 'etcd', prices: { ...prices, vestMs: 86_400_000n } }],
  ]
  return bodies.map(([name, parts]) => {
    const genesis = makeGenesis(genesisBody(parts))
    const { hash, quorum } = genesisValidators(genesis)
    const expect = { swarmId: genesis.swarmId, rosterRoot: genesisRoster(genesis).root, setHash: hash, quorum }
    return { name, accept: true, input: { bytes: toHex(genesis.bytes) }, expect }
  })
}

function refused(name: string, reason: RejectReason, bytes: Uint8Array, where?: string): VectorCase {
  const expect = where === undefined ? { reason } : { reason, where }
  return { name, accept: false, input: { bytes: toHex(bytes) }, expect }
}

function brokenCases(): VectorCase[] {
  const anyBody: readonly Wire[] = [2, 'name']
  return [
    refused('a byte after the body', 'bytes_trailing', concatBytes(GOOD, Uint8Array.of(0))),
    refused('the last byte cut off', 'bytes_truncated', GOOD.subarray(0, -1)),
    refused('version 2', 'version_unknown', encodeWire(anyBody), 'genesis'),
    refused('too few fields', 'body_malformed', encodeWire([1, 'name']), 'genesis'),
  ]
}

function unsoundCases(): VectorCase[] {
  const unsound: readonly (readonly [string, keyof GenesisBody, Partial<GenesisBody>])[] = [
    ['an empty name', 'name', { name: '' }],
    ['a region with a capital', 'region', { region: 'Home' }],
    ['no validator', 'validators', { validators: [] }],
    ['a validator twice', 'validators', { validators: [ALICE.peer, ALICE.peer] }],
    ['a mint key twice', 'mintKeys', { mintKeys: [ALICE.peer, ALICE.peer] }],
    ['a member of weight 0', 'members', { members: [memberNamed('w0', { weight: 0 })] }],
    ['a member without a role', 'members', { members: [memberNamed('w0', { roles: 0 })] }],
    ['a price below zero', 'prices', { prices: { ...prices, tokenMicro: -1n } }],
    [
      'a job for nothing',
      'prices',
      { prices: { ...prices, jobMicro: 0n, tokenMicro: 0n, tokenMicroPerGigaParam: 0n } },
    ],
    ['no attempt', 'policy', { policy: { ...policy, attemptsMax: 0 } }],
    ['a deadline before the last reveal', 'policy', { policy: { ...policy, jobMs: 1 } }],
    ['a starter of nothing', 'starters', { starters: [{ user: ALICE.peer, amount: 0n }] }],
  ]
  const keys = [keyNamed('v0').peer, peerIdOf(hexBytes(IDENTITY))]
  return [
    ...unsound.map(([name, field, parts]) =>
      refused(name, 'body_malformed', genesisCodec.encode(genesisBody(parts)), `genesis.${field}`),
    ),
    refused('the identity as a validator', 'key_small_order', genesisCodec.encode(genesisBody({ validators: keys }))),
  ]
}
