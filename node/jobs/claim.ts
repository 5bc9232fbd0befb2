/** What a worker stores before it commits: the signed commitment, and what it will reveal. */
import { idsFromBytes, idsToBytes } from '../../core/codec/bytes.ts'
import { type BodyOf, bytesMax, defineBody } from '../../core/codec/schema.ts'
import { encodeEnvelope, seal } from '../../core/identity/envelope.ts'
import type { KeyPair } from '../../core/identity/keys.ts'
import type { Digest, JobId, SwarmId } from '../../core/ids.ts'
import { invariant } from '../../core/invariant.ts'
import type { ShownChain } from '../../core/latency/links.ts'
import { LIMITS } from '../../core/limits.ts'
import {
  commitmentCodec,
  outputCommit,
  revealCodec,
  textDigest,
  tokensRoot,
} from '../../core/verification/commitment.ts'
import type { FinishReason } from '../../models/backend.ts'

const claimCodec = defineBody(
  'claim',
  { commitment: bytesMax(8_192), reveal: bytesMax(LIMITS.receiptOutputBytesMax) },
  LIMITS.receiptOutputBytesMax + 16_384,
)

export type Claim = BodyOf<typeof claimCodec> & { readonly ids: readonly number[]; readonly text: string }

export type ClaimInput = {
  readonly key: KeyPair
  readonly swarmId: SwarmId
  readonly order: {
    readonly jobId: JobId
    readonly assignment: { readonly attempt: number }
    readonly assignmentHash: Digest
    readonly replica: number
  }
  readonly chain: { readonly head: Digest; readonly count: number; readonly shown: ShownChain }
  readonly output: { readonly ids: readonly number[]; readonly text: string; readonly finish: FinishReason }
  readonly salt: Uint8Array
  readonly schedule: readonly number[]
  readonly engineId: string
}

export function claimOf(input: ClaimInput): Claim {
  const { key, swarmId, order, chain, output, salt, schedule, engineId } = input
  const { jobId, assignmentHash, replica } = order
  const { attempt } = order.assignment
  const root = tokensRoot(output.ids)
  const commit = outputCommit(jobId, replica, key.peer, root, textDigest(output.text), salt)
  const body = commitmentCodec.encode({
    jobId,
    attempt,
    replica,
    assignmentHash,
    outputCommit: commit,
    tokenCount: output.ids.length,
    finishReason: output.finish,
    chunkCount: chain.count,
    chainHead: chain.head,
    schedule,
    engineId,
  })
  const { ids, text } = output
  const reveal = revealCodec.encode({ jobId, attempt, replica, ids: idsToBytes(ids), text, salt, ...chain.shown })
  return {
    commitment: encodeEnvelope(seal('commitment', swarmId, body, key)),
    reveal,
    ids: output.ids,
    text: output.text,
  }
}

export function encodeClaim(claim: Claim): Uint8Array {
  return claimCodec.encode({ commitment: claim.commitment, reveal: claim.reveal })
}

/** @param bytes  what this worker stored itself */
export function decodeClaim(bytes: Uint8Array): Claim {
  const claim = claimCodec.decode(bytes)
  invariant(claim.action === 'accept', 'a stored claim decodes')
  const reveal = revealCodec.decode(claim.value.reveal)
  invariant(reveal.action === 'accept', 'a stored reveal decodes')
  return { ...claim.value, ids: [...(idsFromBytes(reveal.value.ids) ?? [])], text: reveal.value.text }
}

/** One claim per job, attempt and replica. */
export function claimSubject(order: {
  readonly jobId: Digest
  readonly replica: number
  readonly attempt?: number
  readonly assignment?: { readonly attempt: number }
}): string {
  return `${order.jobId}/${order.attempt ?? order.assignment?.attempt ?? 0}/${order.replica}`
}
