import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { blockOf } from '../../../../core/roster/block.ts'
import { keyNamed } from '../../../support/people.ts'

const [ONE, OTHER] = [keyNamed('one').peer, keyNamed('other').peer]

test('public IPv4 addresses of one /24 share its number', () => {
  assert.is(blockOf('8.9.10.11:7734', ONE), 0x08090a00)
  assert.is(blockOf('8.9.10.255:1', OTHER), 0x08090a00)
  assert.is(blockOf('223.255.255.1:7734', ONE), 0xdfffff00)
  assert.is.not(blockOf('8.9.11.11:7734', ONE), blockOf('8.9.10.11:7734', ONE))
})

test('public IPv6 addresses of one /48 share a number, however they are written', () => {
  const block = blockOf('[2a00:1450:4001:82b::200e]:7734', ONE)
  assert.is(blockOf('[2A00:1450:4001:ffff:0:0:0:1]:1', OTHER), block)
  assert.is(blockOf('[2a00:1450:4001::]:1', OTHER), block)
  assert.is.not(blockOf('[2a00:1450:4002::]:1', ONE), block)
  assert.is(block & 1, 1)
})

test('an IPv4 address inside IPv6 is the IPv4 address', () => {
  assert.is(blockOf('[::ffff:8.9.10.11]:7734', ONE), 0x08090a00)
  assert.is(blockOf('[::ffff:809:a0b]:7734', ONE), 0x08090a00)
})

const PRIVATE = [
  '10.0.0.1:7734',
  '100.64.0.1:1',
  '127.0.0.1:1',
  '169.254.1.1:1',
  '172.16.0.1:1',
  '172.31.255.1:1',
  '192.0.2.1:1',
  '192.168.1.1:1',
  '198.18.0.1:1',
  '198.51.100.1:1',
  '203.0.113.1:1',
  '224.0.0.1:1',
  '0.0.0.0:1',
  '[::1]:1',
  '[fe80::1]:1',
  '[fd00::1]:1',
  '[2001:db8::1]:1',
  '[::ffff:10.0.0.1]:1',
  `relay:${OTHER}`,
  'example.org:7734',
  '1.2.3:1',
  '1.2.3.256:1',
  '01.2.3.4:1',
  '[1::2::3]:1',
  '[1:2:3:4:5:6:7:8:9]:1',
  '',
]

test('private, loopback, relayed and named addresses are a number of the peer itself', () => {
  const own = blockOf(undefined, ONE)
  assert.is.not(own, blockOf(undefined, OTHER))
  for (const address of PRIVATE) assert.is(blockOf(address, ONE), own, address)
  for (const address of ['172.15.0.1:1', '172.32.0.1:1', '100.128.0.1:1', '198.20.0.1:1', '192.0.3.1:1'])
    assert.is.not(blockOf(address, ONE), own, address)
})

test('every block is a u32', () => {
  for (const address of [...PRIVATE, '8.8.8.8:1', '[2a00::]:1', '255.1.1.1:1']) {
    const block = blockOf(address, ONE)
    assert.ok(Number.isInteger(block) && block >= 0 && block <= 0xffff_ffff)
  }
})

test.run()
