/**
 * The self-signed certificate of a peer's key: X.509 v3 (RFC 5280) with Ed25519 (RFC 8410). Only the key in it counts; it says
 * nothing else, and never expires, because keys are let in and out by the log and not by a calendar.
 */
import { createHash, createPrivateKey, X509Certificate } from 'node:crypto'
import { AsnConvert } from '@peculiar/asn1-schema'
import {
  AlgorithmIdentifier,
  AttributeTypeAndValue,
  AttributeValue,
  Certificate,
  Name,
  RelativeDistinguishedName,
  SubjectPublicKeyInfo,
  TBSCertificate,
  Validity,
  Version,
} from '@peculiar/asn1-x509'
import { concatBytes, fromHex } from '../../../core/codec/bytes.ts'
import { admitKey, type KeyPair } from '../../../core/identity/keys.ts'
import { signOnce } from '../../../core/identity/signatures.ts'
import type { PeerId } from '../../../core/ids.ts'
import { reject, type Validation } from '../../../core/validation.ts'

/** What node:tls presents: PEM texts. */
export type Credentials = { readonly cert: string; readonly key: string }

const ED25519 = '1.3.101.112'
const COMMON_NAME = '2.5.4.3'
const PRIVATE_HEAD = fromHex('302e020100300506032b657004220420') ?? new Uint8Array()
const KEY_BYTES = 32
const SERIAL_BYTES = 16
const FROM = new Date(Date.UTC(2020, 0, 1))
/** RFC 5280, 4.1.2.5: "no well-defined expiration date". */
const UNTIL = new Date(Date.UTC(9999, 11, 31, 23, 59, 59))

export function credentialsOf(key: KeyPair): Credentials {
  const der = certificateOf(key)
  return { cert: new X509Certificate(der).toString(), key: privatePem(key.seed) }
}

/** The same bytes for the same key, always: Ed25519 signs deterministically and nothing else varies. */
export function certificateOf(key: KeyPair): Uint8Array {
  const body = bodyOf(key)
  const signature = signOnce(key.seed, new Uint8Array(AsnConvert.serialize(body)))
  const certificate = new Certificate({
    tbsCertificate: body,
    signatureAlgorithm: algorithm(),
    signatureValue: bufferOf(signature),
  })
  return new Uint8Array(AsnConvert.serialize(certificate))
}

/**
 * Finds whose key a certificate is of. The handshake has proved that the other side holds it.
 *
 * @returns reject key_not_canonical and its like when the key is none of ours to talk to
 */
export function peerOfCertificate(certificate: X509Certificate): Validation<PeerId> {
  const { publicKey } = certificate
  if (publicKey.asymmetricKeyType !== 'ed25519') return reject('key_not_canonical')
  const { x } = publicKey.export({ format: 'jwk' })
  return admitKey(new Uint8Array(Buffer.from(x ?? '', 'base64url')))
}

function bodyOf(key: KeyPair): TBSCertificate {
  const name = nameOf(key.peer)
  return new TBSCertificate({
    version: Version.v3,
    serialNumber: bufferOf(serialOf(key.publicKey)),
    signature: algorithm(),
    issuer: name,
    subject: name,
    validity: new Validity({ notBefore: FROM, notAfter: UNTIL }),
    subjectPublicKeyInfo: new SubjectPublicKeyInfo({
      algorithm: algorithm(),
      subjectPublicKey: bufferOf(key.publicKey),
    }),
  })
}

function nameOf(peer: PeerId): Name {
  const value = new AttributeValue({ utf8String: peer })
  return new Name([new RelativeDistinguishedName([new AttributeTypeAndValue({ type: COMMON_NAME, value })])])
}

/** Positive, and another one for each key: some readers index certificates by it. */
function serialOf(publicKey: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(createHash('sha256').update(publicKey).digest().subarray(0, SERIAL_BYTES))
  bytes[0] = ((bytes[0] ?? 0) & 0x3f) | 0x40
  return bytes
}

function privatePem(seed: Uint8Array): string {
  const der = Buffer.from(concatBytes(PRIVATE_HEAD, seed.subarray(0, KEY_BYTES)))
  return createPrivateKey({ key: der, format: 'der', type: 'pkcs8' })
    .export({ format: 'pem', type: 'pkcs8' })
    .toString()
}

function algorithm(): AlgorithmIdentifier {
  return new AlgorithmIdentifier({ algorithm: ED25519 })
}

function bufferOf(bytes: Uint8Array): ArrayBuffer {
  const buffer = new ArrayBuffer(bytes.length)
  new Uint8Array(buffer).set(bytes)
  return buffer
}
