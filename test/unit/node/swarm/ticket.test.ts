import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { FabricError } from '../../../../core/errors.ts'
import { parseTicket, type Ticket, ticketText } from '../../../../node/swarm/ticket.ts'
import { digestNamed, keyNamed } from '../../../support/people.ts'
import { seededRandom, testSeed } from '../../../support/seeded-random.ts'

const TICKET: Ticket = {
  swarm: digestNamed('swarm'),
  door: keyNamed('door').peer,
  addresses: ['192.0.2.1:7734', '[2001:db8::1]:7734'],
  invite: new Uint8Array(200).fill(7),
  swarmKey: new Uint8Array(),
}
const reasonOf = (line: string): unknown => {
  try {
    parseTicket(line)
  } catch (error) {
    assert.instance(error, FabricError)
    assert.is((error as FabricError).code, 'CF_MESH_INVITE_INVALID')
    return (error as FabricError).detail['reason']
  }
  return undefined
}

test('an invite survives the line, and white space around it', () => {
  const line = ticketText(TICKET)
  assert.match(line, /^cfi1[A-Za-z0-9_-]+$/)
  assert.equal(parseTicket(` ${line}\n`), TICKET)
  const secret = { ...TICKET, swarmKey: new Uint8Array(32).fill(9) }
  assert.equal(parseTicket(ticketText(secret)), secret)
})

test('what is no invite is told apart from one that was cut or mistyped', () => {
  assert.is(reasonOf(''), 'no_invite')
  assert.is(reasonOf('cf1abc'), 'no_invite')
  assert.is(reasonOf(`cfi1${'A'.repeat(3_000)}`), 'no_invite')
  const line = ticketText(TICKET)
  assert.is(reasonOf(line.slice(0, -1)), 'damaged')
  assert.is(reasonOf(`${line.slice(0, 60)} ${line.slice(60)}`), 'damaged')
  assert.is(reasonOf(`${line}=`), 'damaged')
  assert.is(reasonOf('cfi1'), 'damaged')
})

test('a line with one character changed is refused or names something else, and never fails in another way', () => {
  const random = seededRandom(testSeed())
  const line = ticketText(TICKET)
  for (let round = 0; round < 500; round += 1) {
    const place = 4 + random.below(line.length - 4)
    const changed = `${line.slice(0, place)}${String.fromCharCode(33 + random.below(90))}${line.slice(place + 1)}`
    if (reasonOf(changed) === undefined) assert.ok(changed === line || ticketText(parseTicket(changed)) === changed)
  }
})

test.run()
