import * as assert from 'uvu/assert'
import { fromHex, toHex } from '../../core/codec/bytes.ts'
import { judgeAssignment } from '../../core/job/judge.ts'
import { replay } from '../../core/log/apply.ts'
import { bodyDigest } from '../../core/log/assignment.ts'
import { genesisRoster, parseGenesis } from '../../core/log/genesis.ts'
import { createState } from '../../core/log/state.ts'
import { statementBytes } from '../../core/quorum/vote.ts'
import { listOf, numberOf } from './fields.ts'
import { acceptedOf, bytesOf, type VectorCase } from './vector.ts'

export const file = 'assignment.json'

/** A catalogue of one model, of the size that the vector says. */
export function check(vector: VectorCase): void {
  const { input, expect } = vector
  const hexes = (name: string): readonly Uint8Array[] =>
    listOf(input, name).map((text) => fromHex(String(text)) ?? new Uint8Array())
  const genesis = parseGenesis(bytesOf(input, 'genesis'))
  assert.is(genesis.action, 'accept')
  if (genesis.action !== 'accept') return
  const state = createState(genesis.value)
  assert.is(replay(state, hexes('entries')).status, 'ok')
  const facts = () => ({ megaParams: numberOf(input, 'megaParams'), vocabSize: 1_000, stopIds: [0], dimensions: 0 })
  const bench = { self: undefined, state, roster: genesisRoster(genesis.value), nowMs: numberOf(input, 'nowMs'), facts }
  const assignment = bytesOf(input, 'assignment')
  const statement = acceptedOf(judgeAssignment(bench, { assignment, answers: hexes('answers') }), vector)
  if (statement === undefined) return
  assert.is(bodyDigest('assignment', state.swarmId, assignment), expect['digest'])
  assert.is(statement.digest, expect['digest'])
  assert.is(toHex(statementBytes(state.swarmId, statement)), expect['signedBytes'])
}
