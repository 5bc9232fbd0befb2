import { concatBytes, toHex } from '../../../core/codec/bytes.ts'
import type { KeyPair } from '../../../core/identity/keys.ts'
import type { PeerId } from '../../../core/ids.ts'
import { type CompactCertificate, certify, compactOf, votersOf } from '../../../core/quorum/certificate.ts'
import type { ValidatorSet } from '../../../core/quorum/validators.ts'
import { castVote, type Statement, statementBytes } from '../../../core/quorum/vote.ts'
import type { RejectReason } from '../../../core/validation.ts'
import { digestNamed, keyNamed, swarmNamed, validatorKeys, validatorsOf } from '../../support/people.ts'
import type { VectorCase, VectorFile } from '../vector.ts'

const SWARM = swarmNamed('vector swarm')
const KEYS = validatorKeys(4)
const SET = validatorsOf(KEYS)

function statementFor(set: ValidatorSet, parts: Partial<Statement> = {}): Statement {
  const [subject, digest] = [digestNamed('vector job'), digestNamed('vector digest')]
  return { kind: 'finding', epoch: set.epoch, setHash: set.hash, subject, attempt: 0, index: 1, digest, ...parts }
}

const STATEMENT = statementFor(SET)

function sign(keys: readonly (KeyPair | undefined)[], statement = STATEMENT, swarmId = SWARM): Uint8Array {
  return concatBytes(...keys.map((key) => castVote(swarmId, statement, key ?? keyNamed('nobody')).signature))
}

const at = (...places: readonly number[]) => places.map((place) => KEYS[place])

function inputOf(
  set: ValidatorSet,
  statement: Statement,
  { bitmap, signatures }: CompactCertificate,
  excluded: readonly PeerId[],
) {
  const shown = { ...statement, epoch: `${statement.epoch}` }
  return {
    swarmId: SWARM,
    epoch: `${set.epoch}`,
    validators: set.keys,
    statement: shown,
    bitmap,
    signatures: toHex(signatures),
    excluded,
  }
}

function accepted(
  name: string,
  voters: readonly KeyPair[],
  keys: readonly KeyPair[],
  excluded: readonly PeerId[] = [],
): VectorCase {
  const set = validatorsOf(keys)
  const statement = statementFor(set)
  const compact = compactOf(
    certify(
      set,
      voters.map((key) => castVote(SWARM, statement, key)),
    ),
  )
  const expect = {
    setHash: set.hash,
    voters: votersOf(set, compact.bitmap),
    signedBytes: toHex(statementBytes(SWARM, statement)),
  }
  return { name, accept: true, input: inputOf(set, statement, compact, excluded), expect }
}

type Refusal = { readonly statement?: Statement; readonly excluded?: readonly PeerId[] }

function refused(
  name: string,
  reason: RejectReason,
  bitmap: number,
  signatures: Uint8Array,
  { statement = STATEMENT, excluded = [] }: Refusal = {},
): VectorCase {
  return { name, accept: false, input: inputOf(SET, statement, { bitmap, signatures }, excluded), expect: { reason } }
}

const GOOD = sign(at(0, 1, 2))

function refusedShapes(): VectorCase[] {
  return [
    refused('two of four', 'certificate_without_quorum', 0b0011, sign(at(0, 1))),
    refused('nobody', 'certificate_without_quorum', 0, new Uint8Array()),
    refused('four of four', 'certificate_not_minimal', 0b1111, sign(at(0, 1, 2, 3))),
    refused('a bit beyond the set', 'voter_not_in_set', 0b10011, GOOD),
    refused('the highest bit of sixteen', 'voter_not_in_set', 0x8003, GOOD),
    refused('fewer signatures than bits', 'signature_malformed', 0b0111, sign(at(0, 1))),
    refused('more signatures than bits', 'signature_malformed', 0b0111, sign(at(0, 1, 2, 3))),
    refused('half a signature', 'signature_malformed', 0b0111, GOOD.subarray(32)),
    refused('three signatures of one voter under one bit', 'signature_malformed', 0b0001, sign(at(0, 0, 0))),
    refused('one voter three times under three bits', 'signature_invalid', 0b0111, sign(at(0, 0, 0))),
    refused('signatures in another order', 'signature_invalid', 0b0111, sign(at(1, 0, 2))),
    refused('another bit than the signer', 'signature_invalid', 0b1011, GOOD),
  ]
}

function refusedContents(): VectorCase[] {
  const other = digestNamed('other')
  const mixed = concatBytes(sign(at(0, 1)), sign(at(2), { ...STATEMENT, digest: other }))
  const strangers = sign(['s1', 's2', 's3'].map(keyNamed))
  return [
    refused('a quorum over two digests', 'signature_invalid', 0b0111, mixed),
    refused('strangers', 'signature_invalid', 0b0111, strangers),
    refused('an excluded signer', 'voter_excluded', 0b0111, GOOD, { excluded: [KEYS[2]?.peer ?? keyNamed('v2').peer] }),
    refused('another set', 'vote_subject_mismatch', 0b0111, GOOD, { statement: { ...STATEMENT, setHash: other } }),
    refused('another epoch', 'vote_subject_mismatch', 0b0111, GOOD, { statement: { ...STATEMENT, epoch: 1n } }),
    refused('another kind', 'signature_invalid', 0b0111, GOOD, { statement: { ...STATEMENT, kind: 'settlement' } }),
    refused('another subject', 'signature_invalid', 0b0111, GOOD, { statement: { ...STATEMENT, subject: other } }),
    refused('another attempt', 'signature_invalid', 0b0111, GOOD, { statement: { ...STATEMENT, attempt: 1 } }),
    refused('another replica', 'signature_invalid', 0b0111, GOOD, { statement: { ...STATEMENT, index: 0 } }),
    refused('another digest', 'signature_invalid', 0b0111, GOOD, { statement: { ...STATEMENT, digest: other } }),
    refused(
      'signed in another swarm',
      'signature_invalid',
      0b0111,
      sign(at(0, 1, 2), STATEMENT, swarmNamed('other swarm')),
    ),
  ]
}

export function certificateVectors(): VectorFile {
  const [v0, v1, v2, v3] = KEYS
  const one = KEYS.slice(0, 1)
  return {
    name: 'certificate',
    describe:
      'Check the compact certificate of the statement against the validators of the epoch (default quorum). excluded lists validators that may not sign it.',
    cases: [
      accepted('three of four', KEYS.slice(0, 3), KEYS),
      accepted('the last three of four', KEYS.slice(1), KEYS),
      accepted('votes in another order', [...KEYS.slice(1)].reverse(), KEYS),
      accepted(
        'all four voted: the first three sign',
        [v0, v1, v2, v3].flatMap((key) => key ?? []),
        KEYS,
      ),
      accepted('an excluded validator that did not sign', KEYS.slice(0, 3), KEYS, [
        KEYS[3]?.peer ?? keyNamed('v3').peer,
      ]),
      accepted('one of one', one, one),
      accepted('nine of thirteen', validatorKeys(13), validatorKeys(13)),
      ...refusedShapes(),
      ...refusedContents(),
    ],
  }
}
