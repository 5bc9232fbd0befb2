import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { newer, type PeerRecord, peerRecordCodec } from '../../../../core/roster/record.ts'
import { digestNamed } from '../../../support/people.ts'

const RECORD: PeerRecord = {
  addresses: ['192.0.2.1:7734'],
  region: 'local',
  roles: 3,
  models: [{ digest: digestNamed('model'), tokensPerSecond: 120 }],
  hardware: { device: 'cpu', memoryMiB: 8_192, threads: 2 },
  load: 3,
  slots: 8,
  factorPermille: 1_000,
  version: '0.1.0',
  incarnation: 1n,
  sequence: 5n,
}

const version = (incarnation: bigint, sequence: bigint) => ({ incarnation, sequence })

test('a record survives the bytes', () => {
  assert.equal(peerRecordCodec.decode(peerRecordCodec.encode(RECORD)), { action: 'accept', value: RECORD })
})

test('the fullest record fits 1 KiB', () => {
  const models = Array.from({ length: 12 }, (_, place) => ({
    digest: digestNamed(`model ${place}`),
    tokensPerSecond: 65_535,
  }))
  const full = {
    ...RECORD,
    addresses: Array.from({ length: 4 }, () => 'a'.repeat(72)),
    region: 'r'.repeat(32),
    version: 'v'.repeat(24),
    models,
  }
  assert.ok(peerRecordCodec.encode(full).length <= 1_024)
})

test('incarnation outweighs sequence, and a version does not replace itself', () => {
  assert.ok(newer(version(2n, 0n), version(1n, 99n)))
  assert.ok(newer(version(1n, 2n), version(1n, 1n)))
  assert.not(newer(version(1n, 99n), version(2n, 0n)))
  assert.not(newer(version(1n, 1n), version(1n, 1n)))
})

test.run()
