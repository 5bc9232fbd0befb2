import { signBytes } from '#core/ed25519'
import { concatBytes, toHex, utf8 } from '../../../core/codec/bytes.ts'
import { digestBytes } from '../../../core/ids.ts'
import {
  castVote,
  encodeVote,
  type Statement,
  statementBytes,
  VOTE_KINDS,
  type Vote,
} from '../../../core/quorum/vote.ts'
import type { RejectReason } from '../../../core/validation.ts'
import { digestNamed, keyNamed, swarmNamed, validatorKeys, validatorsOf } from '../../support/people.ts'
import type { VectorCase, VectorFile } from '../vector.ts'

const SWARM = swarmNamed('vector swarm')
const KEYS = validatorKeys(4)
const SET = validatorsOf(KEYS, 7n)
const VOTER = keyNamed('v2')
const STATEMENT: Statement = {
  kind: 'assignment',
  epoch: 7n,
  setHash: SET.hash,
  subject: digestNamed('vector job'),
  attempt: 1,
  index: 2,
  digest: digestNamed('vector digest'),
}
const VOTE = castVote(SWARM, STATEMENT, VOTER)
const BYTES = encodeVote(VOTE)

const inputOf = (bytes: Uint8Array, swarmId = SWARM) => ({
  bytes: toHex(bytes),
  swarmId,
  epoch: `${SET.epoch}`,
  validators: SET.keys,
})

function accepted(name: string, statement: Statement): VectorCase {
  const vote = castVote(SWARM, statement, VOTER)
  const expect = {
    voter: VOTER.peer,
    statement: { ...statement, epoch: `${statement.epoch}` },
    signedBytes: toHex(statementBytes(SWARM, statement)),
  }
  return { name, accept: true, input: inputOf(encodeVote(vote)), expect }
}

function refused(name: string, reason: RejectReason, bytes: Uint8Array, swarmId = SWARM): VectorCase {
  return { name, accept: false, input: inputOf(bytes, swarmId), expect: { reason } }
}

/** A vote whose signature is over other bytes than its own statement. */
function signedOver(message: Uint8Array, parts: Partial<Vote> = {}): Uint8Array {
  return encodeVote({ ...VOTE, ...parts, signature: signBytes(VOTER.seed, message) })
}

function refusedCases(): VectorCase[] {
  const withStatement = (parts: Partial<Statement>) => encodeVote({ ...VOTE, statement: { ...STATEMENT, ...parts } })
  const otherSet = validatorsOf(KEYS.slice(0, 3), 7n)
  const signed = statementBytes(SWARM, STATEMENT)
  return [
    refused('the last byte cut off', 'bytes_truncated', BYTES.subarray(0, -1)),
    refused('nothing', 'bytes_truncated', new Uint8Array()),
    refused('a byte after the vote', 'bytes_trailing', concatBytes(BYTES, new Uint8Array(1))),
    refused('version 2', 'version_unknown', BYTES.with(0, 2)),
    refused('kind 0', 'body_malformed', BYTES.with(33, 0)),
    refused('kind 9', 'body_malformed', BYTES.with(33, VOTE_KINDS.length + 1)),
    refused('another swarm', 'signature_invalid', BYTES, swarmNamed('other swarm')),
    refused('another kind', 'signature_invalid', withStatement({ kind: 'finding' })),
    refused('another epoch', 'vote_subject_mismatch', withStatement({ epoch: 8n })),
    refused(
      'another set',
      'vote_subject_mismatch',
      encodeVote(castVote(SWARM, { ...STATEMENT, setHash: otherSet.hash }, VOTER)),
    ),
    refused('another subject', 'signature_invalid', withStatement({ subject: digestNamed('other') })),
    refused('another attempt', 'signature_invalid', withStatement({ attempt: 2 })),
    refused('another index', 'signature_invalid', withStatement({ index: 1 })),
    refused('another digest', 'signature_invalid', withStatement({ digest: digestNamed('other') })),
    refused('a stranger', 'voter_not_in_set', encodeVote(castVote(SWARM, STATEMENT, keyNamed('stranger')))),
    refused("under another member's name", 'signature_invalid', encodeVote({ ...VOTE, voter: keyNamed('v1').peer })),
    refused('a signature of zeros', 'signature_invalid', encodeVote({ ...VOTE, signature: new Uint8Array(64) })),
    refused('signed without the domain', 'signature_invalid', signedOver(signed.subarray(13))),
    refused(
      'signed without the separator',
      'signature_invalid',
      signedOver(concatBytes(utf8('cfab/vote/v1'), signed.subarray(13))),
    ),
    refused(
      'signed without the swarm',
      'signature_invalid',
      signedOver(concatBytes(signed.subarray(0, 13), signed.subarray(45))),
    ),
    refused(
      'signed with the swarm last',
      'signature_invalid',
      signedOver(concatBytes(signed.subarray(0, 13), signed.subarray(45), digestBytes(SWARM))),
    ),
  ]
}

export function voteVectors(): VectorFile {
  const kinds = VOTE_KINDS.map((kind) => accepted(`a vote of kind ${kind}`, { ...STATEMENT, kind }))
  const edges = accepted('the largest attempt and index', { ...STATEMENT, attempt: 2 ** 32 - 1, index: 2 ** 16 - 1 })
  return {
    name: 'vote',
    describe:
      'Decode the bytes as a vote and check it in the swarm against the validators of the epoch (default quorum).',
    cases: [...kinds, edges, ...refusedCases()],
  }
}
