import * as assert from 'uvu/assert'
import { toHex } from '../../core/codec/bytes.ts'
import { isMemberList, type Member, type RankTop, rosterSnapshot } from '../../core/roster/roster.ts'
import { draw } from '../../core/selection/committee.ts'
import { rank, rendezvousKey, rendezvousScore } from '../../core/selection/rendezvous.ts'
import { missing } from '../support/missing.ts'
import { digestIn, listOf, numberOf, objectOf, peerOf, wideOf } from './fields.ts'
import type { Texts, VectorCase } from './vector.ts'

export const file = 'rendezvous.json'

function memberOf(value: unknown): Member {
  const input = objectOf(value)
  const [weight, roles, block] = [numberOf(input, 'weight'), numberOf(input, 'roles'), numberOf(input, 'block')]
  return { peer: peerOf(input['peer']), weight, roles, owner: digestIn(input, 'owner'), block }
}

/** @param rankTop  another way to rank than core's own */
export function check(vector: VectorCase, rankTop: RankTop = rank): void {
  const { name, accept, input, expect } = vector
  const members = listOf(input, 'members').map(memberOf)
  if (expect['reason'] === 'not_a_roster') {
    assert.not(accept)
    assert.not(isMemberList(members), name)
    return
  }
  assert.ok(isMemberList(members), name)
  const roster = { ...rosterSnapshot(wideOf(input, 'epoch'), members), rankTop }
  const [beacon, holdHash] = [digestIn(input, 'beacon'), digestIn(input, 'holdHash')]
  const drawn = draw({ roster, beacon, holdHash, ...shapeOf(input), eligible: ({ roles }) => (roles & 1) !== 0 })
  assert.is(drawn.join() === listOf(input, 'claimed').join(), accept, name)
  if (!accept) return
  const key = rendezvousKey(beacon, holdHash)
  assert.is(toHex(key), expect['key'])
  assert.is(roster.root, expect['root'])
  for (const [place, score] of listOf(expect, 'scores').entries()) {
    const { peer, weight } = roster.members[place] ?? missing('a score a member')
    assert.is(scoreText(rendezvousScore(key, peer, weight)), score)
  }
}

function shapeOf(input: Texts) {
  const caps = { perOwner: numberOf(input, 'perOwner'), perBlock: numberOf(input, 'perBlock') }
  return { replicas: numberOf(input, 'replicas'), spares: numberOf(input, 'spares'), caps }
}

/** 16 hex digits, most significant first. */
export function scoreText({ hi, lo }: { readonly hi: number; readonly lo: number }): string {
  return [hi, lo].map((half) => half.toString(16).padStart(8, '0')).join('')
}
