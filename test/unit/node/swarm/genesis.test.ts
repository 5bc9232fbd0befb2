import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { FabricError } from '../../../../core/errors.ts'
import type { PeerId } from '../../../../core/ids.ts'
import { mayWork } from '../../../../core/log/draw.ts'
import { genesisRoster } from '../../../../core/log/genesis.ts'
import { systemClock, systemRandom } from '../../../../node/runtime/system.ts'
import { foundedGenesis, type LocalKeys, readGenesis, saveGenesis } from '../../../../node/swarm/genesis.ts'
import { codeOf } from '../../../support/error-code.ts'
import { keyNamed } from '../../../support/people.ts'
import { tempFolder } from '../../../support/temp-folder.ts'

const KEYS: LocalKeys = { node: keyNamed('node'), user: keyNamed('user'), mint: keyNamed('mint'), validators: [] }
const PORTS = { clock: systemClock, random: systemRandom }
const others = (count: number): PeerId[] => Array.from({ length: count }, (_, place) => keyNamed(`other ${place}`).peer)
const foundedWith = (validators: readonly PeerId[], vestMs = 0) =>
  foundedGenesis({ name: 'demo', region: 'main', log: 'sqlite', validators, epochMs: 30_000, vestMs }, KEYS, PORTS)

test('the founder is the first validator, owns its node as a user, and is the only one with credit', () => {
  const genesis = foundedWith(others(3))
  assert.is(genesis.validators[0], KEYS.node.peer)
  assert.is(genesis.validators.length, 4)
  assert.not(genesis.local)
  assert.equal(
    genesis.starters.map(({ user }) => user),
    [KEYS.user.peer],
  )
  assert.is(new Set(genesis.members.map(({ owner }) => owner)).size, 4, 'each validator has an owner of its own')
})

test('what is earned vests when the founder says so', () => {
  assert.is(foundedWith([]).prices.vestMs, 0n)
  assert.is(foundedWith([], 86_400_000).prices.vestMs, 86_400_000n)
})

test('validators work where the others of them are a quorum', () => {
  for (const [count, may] of [
    [1, false],
    [3, false],
    [4, true],
    [13, true],
  ] as const) {
    const genesis = foundedWith(others(count - 1))
    assert.is(genesisRoster(genesis).members.every(mayWork(genesis)), may, `${count} validators`)
  }
})

test('one machine twice, or more than thirteen, is no validator set', () => {
  const [one] = others(1)
  for (const validators of [[one, one] as PeerId[], [KEYS.node.peer], others(13)]) {
    assert.throws(
      () => foundedWith(validators),
      (error: unknown) => error instanceof FabricError && error.code === 'CF_CONFIG_INVALID',
    )
  }
})

test('a genesis is read as it was written; a damaged one is no other swarm', async () => {
  const path = join(tempFolder(), 'genesis')
  assert.is(await readGenesis(path), undefined)
  const genesis = foundedWith([])
  await saveGenesis(path, genesis)
  assert.is((await readGenesis(path))?.swarmId, genesis.swarmId)
  writeFileSync(path, genesis.bytes.slice(0, -1))
  assert.is(await codeOf(readGenesis(path)), 'CF_STORE_FORKED')
})

test.run()
