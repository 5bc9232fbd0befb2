import * as assert from 'uvu/assert'
import { fromHex } from '../../core/codec/bytes.ts'
import { blockOf } from '../../core/roster/block.ts'
import { isMemberOf } from '../../core/roster/roster.ts'
import { missing } from '../support/missing.ts'
import { digestIn, listOf, numberOf, peerOf, wideOf } from './fields.ts'
import { textOf, type VectorCase } from './vector.ts'

export const file = 'member.json'

export function check({ name, accept, input, expect }: VectorCase): void {
  const peer = peerOf(input['peer'])
  const [weight, roles, block] = [numberOf(input, 'weight'), numberOf(input, 'roles'), numberOf(input, 'block')]
  const proof = {
    member: { peer, weight, roles, owner: digestIn(input, 'owner'), block },
    ...{ index: numberOf(input, 'index'), memberCount: numberOf(input, 'memberCount') },
    path: listOf(input, 'path').map((text) => fromHex(String(text)) ?? missing('a sibling is hex')),
  }
  assert.is(isMemberOf(digestIn(input, 'root'), wideOf(input, 'epoch'), proof), accept, name)
  if (accept) assert.is(blockOf(textOf(input, 'address'), peer), expect['block'], name)
}
