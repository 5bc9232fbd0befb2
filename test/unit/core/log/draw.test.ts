import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { LIMITS } from '../../../../core/limits.ts'
import { rankedFor } from '../../../../core/log/draw.ts'
import { makeGenesis } from '../../../../core/log/genesis.ts'
import { type Member, type RankTop, ROLE, type RosterSnapshot, rosterSnapshot } from '../../../../core/roster/roster.ts'
import { rank } from '../../../../core/selection/rendezvous.ts'
import { genesisBody, intentOfAlice } from '../../../support/log-swarm.ts'
import { digestNamed, memberNamed } from '../../../support/people.ts'

const BOTH = ROLE.worker | ROLE.validator

function members(workers: number, validators: number): readonly Member[] {
  return [
    ...Array.from({ length: workers }, (_, place) => memberNamed(`worker ${place}`, { block: place })),
    ...Array.from({ length: validators }, (_, place) => memberNamed(`v${place}`, { block: 900 + place, roles: BOTH })),
  ]
}

function drawnFrom(roster: RosterSnapshot, hold: string, local = false): readonly (readonly [string, boolean])[] {
  const genesis = makeGenesis(genesisBody({ local }))
  const source = { genesis, beacon: digestNamed('beacon') }
  const ranked = rankedFor(source, roster, intentOfAlice({ replicas: 1 }), digestNamed(hold))
  return ranked.map((peer) => {
    const roles = roster.members.find((member) => member.peer === peer)?.roles ?? 0
    return [peer, (roles & ROLE.validator) !== 0]
  })
}

test('whoever votes is drawn after everybody who only works', () => {
  const few = rosterSnapshot(1n, members(2, 4))
  const enough = rosterSnapshot(1n, members(9, 4))
  for (let hold = 0; hold < 50; hold++) {
    const said = drawnFrom(few, `hold ${hold}`).map(([, votes]) => votes)
    assert.equal(said, [false, false, true, true])
    assert.ok(drawnFrom(enough, `hold ${hold}`).every(([, votes]) => !votes))
  }
})

test('when nobody but validators works, they are drawn', () => {
  const drawn = drawnFrom(rosterSnapshot(1n, members(0, 4)), 'hold')
  assert.is(drawn.length, 4)
})

test('in a local swarm it makes no difference who votes', () => {
  const roster = rosterSnapshot(1n, members(2, 4))
  const first = Array.from({ length: 50 }, (_, hold) => drawnFrom(roster, `hold ${hold}`, true)[0]?.[1])
  assert.ok(first.includes(true) && first.includes(false))
})

test('a ranking that comes in parts gives the same draw as the whole one', () => {
  const all = members(40, 13)
  const roster = rosterSnapshot(1n, all)
  const rankTop: RankTop = (key, list, count) => rank(key, list).slice(0, count)
  const inParts = { ...roster, rankTop }
  for (let hold = 0; hold < 20; hold++)
    assert.equal(drawnFrom(roster, `hold ${hold}`), drawnFrom(inParts, `hold ${hold}`))
  assert.is(drawnFrom(roster, 'hold').length, 1 + LIMITS.spareCountMax)
})

test.run()
