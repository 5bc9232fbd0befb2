/** What travels beside the token ids, for one output of the usual length, by encoding it. */
import { openAs, sealAs } from '../../core/identity/envelope.ts'
import { keyPairFromSeed } from '../../core/identity/keys.ts'
import { type Digest, digestOf, parseSwarmId } from '../../core/ids.ts'
import { invariant } from '../../core/invariant.ts'
import { ackCodec, chunkCodec, extendChain, nextAck, nextChunk, openChain } from '../../core/latency/chain.ts'
import { LIMITS } from '../../core/limits.ts'
import { auditCodec, probesOf, statisticsOf } from '../../core/verification/audit.ts'
import { commitmentCodec } from '../../core/verification/commitment.ts'

const TOKENS = 256
const ID_BYTES = 4
const ENGINE = 'llama.cpp/v0.5.0 256c1e261174307b cpu-sapphirerapids linux-x64'
const WORKER = keyPairFromSeed(new Uint8Array(32).fill(1))
const RECEIVER = keyPairFromSeed(new Uint8Array(32).fill(2))
const MONO_NS = 3_600_000_000_000n

export function proofBytes(): object {
  const chunks = TOKENS / LIMITS.chunkTokensMax
  const chain = chainBytes()
  const [commitment, report] = [commitmentBytes(), reportBytes()]
  return {
    ...{ tokens: TOKENS, idBytes: ID_BYTES * TOKENS, chunkTokens: LIMITS.chunkTokensMax },
    // The audit is of the ids and the seed: a worker adds nothing for it.
    fingerprint: 0,
    ...{ chunk: chain.chunk, ack: chain.ack, commitment, report },
    perToken: {
      fingerprint: 0,
      chain: ((chain.chunk + chain.ack) * chunks) / TOKENS,
      commitment: commitment / TOKENS,
      reportWhenAudited: report / TOKENS,
    },
  }
}

function swarm() {
  const swarmId = parseSwarmId('0'.repeat(64))
  invariant(swarmId !== undefined, 'zeros are an id')
  return swarmId
}

function filled(byte: number): Digest {
  return digestOf(new Uint8Array(32).fill(byte))
}

function chainBytes(): { readonly chunk: number; readonly ack: number } {
  const swarmId = swarm()
  const nonce = new Uint8Array(16).fill(3)
  const peers = { worker: WORKER.peer, receiver: RECEIVER.peer }
  const start = openChain({ swarmId, jobId: filled(4), attempt: 0, replica: 0, ...peers, nonce })
  const ids = Array.from({ length: LIMITS.chunkTokensMax }, (_, place) => place + 300)
  const chunk = sealAs(chunkCodec, nextChunk(start, ids, MONO_NS), swarmId, WORKER)
  const opened = openAs(chunkCodec, chunk, swarmId)
  invariant(opened.action === 'accept', 'a chunk that was just sealed opens')
  const longer = extendChain(start, opened.value)
  invariant(longer.action === 'accept', 'the first chunk follows')
  const ack = sealAs(ackCodec, nextAck(longer.value, MONO_NS, nonce), swarmId, RECEIVER)
  return { chunk: chunk.length, ack: ack.length }
}

function commitmentBytes(): number {
  const place = { jobId: filled(4), attempt: 0, replica: 0, assignmentHash: filled(5), outputCommit: filled(6) }
  const facts = { tokenCount: TOKENS, finishReason: 'length', chunkCount: TOKENS / LIMITS.chunkTokensMax } as const
  const value = { ...place, ...facts, chainHead: filled(7), schedule: [TOKENS], engineId: ENGINE }
  return sealAs(commitmentCodec, value, swarm(), WORKER).length
}

/** With as many worst positions and probes as a report may have. */
function reportBytes(): number {
  const ids = Uint32Array.from({ length: TOKENS }, (_, place) => place + 300)
  const positions = Array.from(ids, (id) => ({ margin: 0.1, rank: 0, topIds: [id, id + 1], topLogits: [12, 9] }))
  const probes = probesOf(
    positions,
    Array.from({ length: 16 }, (_, place) => place * 16),
    ids,
  )
  const place = { jobId: filled(4), attempt: 0, replica: 0, worker: WORKER.peer, commitmentHash: filled(5) }
  const facts = { policyId: filled(6), engineId: ENGINE, probes, verdict: 'suspect', replayMs: 1_000 } as const
  const value = {
    ...place,
    ...facts,
    ...statisticsOf(positions, ids),
    textDigest: filled(8),
    salt: new Uint8Array(32),
    others: [filled(9), filled(10)],
  }
  return sealAs(auditCodec, value, swarm(), RECEIVER).length
}
