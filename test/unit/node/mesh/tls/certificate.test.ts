import { X509Certificate } from 'node:crypto'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { certificateOf, credentialsOf } from '../../../../../node/mesh/tls/certificate.ts'
import { keyOfSeed } from '../../../../support/mesh.ts'

test('a key has one certificate, which it signed, which names it and does not expire', () => {
  const key = keyOfSeed(1)
  assert.equal(certificateOf(key), certificateOf(key))
  const certificate = new X509Certificate(certificateOf(key))
  assert.ok(certificate.verify(certificate.publicKey))
  assert.is(certificate.subject, `CN=${key.peer}`)
  assert.is(certificate.issuer, certificate.subject)
  assert.match(certificate.validTo, /9999/)
})

test('another key has another certificate and serial number', () => {
  const serials = [1, 2].map((seed) => new X509Certificate(certificateOf(keyOfSeed(seed))).serialNumber)
  assert.not.equal(serials[0], serials[1])
})

test('what is presented is a matching pair', () => {
  const { cert, key } = credentialsOf(keyOfSeed(3))
  assert.match(cert, /^-----BEGIN CERTIFICATE-----/)
  assert.match(key, /^-----BEGIN PRIVATE KEY-----/)
})

test.run()
