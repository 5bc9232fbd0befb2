import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { addressText, ownHost, parseAddress } from '../../../../node/swarm/address.ts'
import { keyNamed } from '../../../support/people.ts'

const GATEWAY = keyNamed('gateway').peer

test('addresses survive their text', () => {
  for (const text of ['192.0.2.1:7734', 'node.example:1', '[2001:db8::1]:65535', `relay:${GATEWAY}`]) {
    const address = parseAddress(text)
    assert.ok(address !== undefined, text)
    assert.is(addressText(address), text)
  }
})

test('what cannot be dialled is no address', () => {
  const wrong = [
    '',
    'host',
    'host:0',
    'host:65536',
    ':80',
    '[::1]',
    '[host]:80',
    '2001:db8::1:80',
    'a b:80',
    'relay:',
    'relay:cf1x',
  ]
  for (const text of wrong) assert.is(parseAddress(text), undefined, text)
})

test('an address that listens is told as it is; everywhere becomes one of this machine', () => {
  assert.is(ownHost('192.0.2.7'), '192.0.2.7')
  assert.not.equal(ownHost('0.0.0.0'), '0.0.0.0')
  assert.match(ownHost('::'), /^\d+\.\d+\.\d+\.\d+$/)
})

test.run()
