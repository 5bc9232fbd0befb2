import * as assert from 'uvu/assert'
import { genesisCodec, genesisRoster, genesisValidators, parseGenesis } from '../../core/log/genesis.ts'
import { acceptedOf, bytesOf, type VectorCase } from './vector.ts'

export const file = 'genesis.json'

export function check(vector: VectorCase): void {
  const { input, expect } = vector
  const parsed = parseGenesis(bytesOf(input, 'bytes'))
  if (parsed.action === 'reject') assert.is(parsed.where, expect['where'])
  const genesis = acceptedOf(parsed, vector)
  if (genesis === undefined) return
  const { hash, quorum } = genesisValidators(genesis)
  const rosterRoot = genesisRoster(genesis).root
  assert.equal({ swarmId: genesis.swarmId, rosterRoot, setHash: hash, quorum }, expect)
  assert.equal(genesisCodec.encode(genesis), bytesOf(input, 'bytes'))
}
