/** What an edge asks of workers: offers, orders to work, reveals. */

import { idsFromBytes } from '../../core/codec/bytes.ts'
import { openAs, sealAs } from '../../core/identity/envelope.ts'
import type { PeerId } from '../../core/ids.ts'
import type { Effect, Job, JobEvent } from '../../core/job/job.ts'
import { assignmentOf } from '../../core/job/machine.ts'
import { executeCodec, offerCodec, revealRequestCodec } from '../../core/job/proposal.ts'
import { revealRequestOf } from '../../core/job/proposing.ts'
import {
  ackCodec,
  acknowledge,
  type ChainState,
  chunkCodec,
  chunkLeaf,
  extendChain,
  nextAck,
  openChain,
} from '../../core/latency/chain.ts'
import { summarise } from '../../core/latency/summary.ts'
import { answerCodec, bodyDigest } from '../../core/log/assignment.ts'
import { replicaInputsOf } from '../../core/log/inputs.ts'
import { deliveryCodec } from '../../core/receipt/receipt.ts'
import {
  type Commitment,
  commitmentCodec,
  outputCommit,
  revealCodec,
  textDigest,
  tokensRoot,
} from '../../core/verification/commitment.ts'
import type { Done, Edge } from './edge.ts'
import type { Reply } from './node.ts'
import { nameOf } from './world.ts'

type WorkEffect = Extract<Effect, { readonly type: 'offer' | 'execute' | 'reveal' }>
type Placed<T extends WorkEffect['type']> = Extract<Effect, { readonly type: T }>

const REQUEST_MS = 800
const NOTHING = new Uint8Array()

export function performWork(edge: Edge, job: Job, effect: WorkEffect, done: Done) {
  switch (effect.type) {
    case 'offer':
      return offer(edge, job, effect.peer, done)
    case 'execute':
      return execute(edge, job, effect, done)
    case 'reveal':
      return reveal(edge, job, effect, done)
  }
}

/** Only once the edge's own word is on disk: a worker that stops without it is at fault. */
export function askToStop({ node }: Edge, job: Job & { phase: 'executing' }): void {
  if (job.stop.length === 0) return
  for (const { state, worker } of job.replicas) if (state === 'running') node.tell(nameOf(worker), 'stop', job.id)
}

function offer(edge: Edge, job: Job, peer: PeerId, done: Done): void {
  const { node } = edge
  const body = offerCodec.encode({ intent: job.intentEnvelope, attempt: job.attempt })
  node.request(nameOf(peer), 'job/offer', { parts: [body] }, job.timing.answerMs, (reply) => {
    const envelope = reply?.parts[0] ?? NOTHING
    const opened = openAs(answerCodec, envelope, node.world.genesis.swarmId)
    const nowMs = node.clock.nowMs()
    if (opened.action !== 'accept') return done([{ type: 'silent', peer, nowMs }])
    const { signer, value } = opened.value
    const fits = signer === peer && value.jobId === job.id && value.attempt === job.attempt
    done([fits ? { type: 'answered', peer, answer: value.answer, envelope, nowMs } : { type: 'silent', peer, nowMs }])
  })
}

function execute(edge: Edge, job: Job, effect: Placed<'execute'>, done: Done) {
  if (job.phase !== 'executing') return done([])
  const { node } = edge
  const { replica, worker } = effect
  const nonce = node.world.prng.bytes(16)
  const order = {
    intent: job.intentEnvelope,
    assignment: job.assignment,
    ...job.certificate,
    replica,
    inputs: replicaInputsOf(edge.inputs(job.id), replica),
    nonce,
    prefixIds: new Uint8Array(),
    prefixText: '',
  }
  const deadlineMs = Number(assignmentOf(job.assignment).commitByMs) - node.clock.nowMs()
  const { swarmId } = node.world.genesis
  const chain = openChain({
    swarmId,
    jobId: job.id,
    attempt: job.attempt,
    replica,
    worker,
    receiver: node.key.peer,
    nonce,
  })
  const startMs = node.clock.nowMs()
  node.after(1, () => askToStop(edge, job))
  node.request(nameOf(worker), 'job/execute', { parts: [executeCodec.encode(order)] }, deadlineMs, (reply) => {
    const read =
      reply === undefined ? undefined : readReplica(edge, chain, reply, startMs, job.intent.task !== 'embedding')
    if (read === undefined) {
      node.world.coverage.count(reply === undefined ? 'replica lost: no answer' : 'replica lost: answer does not fit')
      return done([{ type: 'lost', replica, reason: 'lost' }])
    }
    done([...delivered(edge, job, effect, read), { type: 'committed', replica, commitment: read.commitment }])
  })
}

type Read = {
  readonly commitment: Uint8Array
  readonly ids: Uint32Array
  readonly chain: ChainState
  readonly receivedNs: bigint
}

/** Tokens, commitment and the chunk headers in one answer: checked as a stream is, one after the other. */
function readReplica(
  edge: Edge,
  start: ChainState,
  { parts }: Reply,
  startMs: number,
  streams: boolean,
): Read | undefined {
  const { node } = edge
  const { swarmId } = node.world.genesis
  const [commitment = NOTHING, tokens = NOTHING, ...headers] = parts
  const ids = idsFromBytes(tokens)
  const opened = openAs(commitmentCodec, commitment, swarmId)
  if (ids === undefined || opened.action !== 'accept') return undefined
  const receivedNs = BigInt(Math.max(0, node.clock.nowMs() - startMs)) * 1_000_000n
  let chain = start
  for (const header of headers) {
    const chunk = openAs(chunkCodec, header, swarmId)
    if (chunk.action !== 'accept') return undefined
    const { index, tokenStart, tokenCount, tokensLeaf } = chunk.value.value
    if (chunkLeaf(start.start, index, ids.slice(tokenStart, tokenStart + tokenCount)) !== tokensLeaf) return undefined
    const longer = extendChain(chain, chunk.value)
    if (longer.action !== 'accept') return undefined
    const value = nextAck(longer.value, receivedNs, node.world.prng.bytes(16))
    const acknowledged = acknowledge(longer.value, { value, signer: node.key.peer, body: ackCodec.encode(value) })
    if (acknowledged.action !== 'accept') return undefined
    chain = acknowledged.value
  }
  const { value, signer } = opened.value
  const { jobId, attempt, replica, worker } = start.start
  const fits = signer === worker && value.jobId === jobId && value.attempt === attempt && value.replica === replica
  // A repeated claim brings no chunks: its chain was acknowledged before the restart.
  const isOfChain = chain.chunkCount === 0 || value.chainHead === chain.head
  const isWhole = streams ? value.tokenCount === ids.length : ids.length === 0
  return fits && isOfChain && isWhole ? { commitment, ids, chain, receivedNs } : undefined
}

function delivered(
  edge: Edge,
  job: Job & { phase: 'executing' },
  effect: Placed<'execute'>,
  read: Read,
): readonly JobEvent[] {
  if (edge.streams.get(job.id) !== effect.replica) return []
  const { genesis } = edge.node.world
  const { ttftMs, tokensPerSecondMilli, gapP50Ms, gapP99Ms } = summarise([
    { receivedNs: read.receivedNs, tokenCount: read.ids.length },
  ])
  const delivery = {
    jobId: job.id,
    attempt: job.attempt,
    assignmentHash: bodyDigest('assignment', genesis.swarmId, job.assignment),
    segments: [{ worker: effect.worker, tokenStart: 0, tokenCount: read.ids.length }],
    chainHead: read.chain.head,
    ackHead: read.chain.ackHead,
    ...{ ttftMs, tokensPerSecondMilli, gapP50Ms, gapP99Ms },
    witnesses: [],
  }
  return [{ type: 'delivered', delivery: sealAs(deliveryCodec, delivery, genesis.swarmId, edge.node.key) }]
}

function reveal(edge: Edge, job: Job, effect: Placed<'reveal'>, done: Done) {
  const own = 'replicas' in job ? job.replicas[effect.replica] : undefined
  if (job.phase !== 'committed' || own?.state !== 'committed') return done([])
  const { node } = edge
  const body = revealRequestCodec.encode(revealRequestOf(job, effect.replica))
  node.request(nameOf(effect.worker), 'job/reveal', { parts: [body] }, REQUEST_MS, (reply) => {
    if (reply === undefined) return done('retry')
    const bytes = reply.parts[0] ?? NOTHING
    const commitment = openAs(commitmentCodec, own.commitment, node.world.genesis.swarmId)
    if (commitment.action === 'accept' && opens(bytes, commitment.value.value, effect)) {
      return done([{ type: 'revealed', replica: effect.replica, reveal: bytes }])
    }
    node.world.coverage.count('replica lost: reveal does not open its commitment')
    done([{ type: 'lost', replica: effect.replica, reason: 'reveal_mismatch' }])
  })
}

function opens(bytes: Uint8Array, commitment: Commitment, { replica, worker }: Placed<'reveal'>): boolean {
  const decoded = revealCodec.decode(bytes)
  if (decoded.action !== 'accept') return false
  const ids = idsFromBytes(decoded.value.ids)
  if (ids === undefined) return false
  const { text, salt } = decoded.value
  return (
    outputCommit(commitment.jobId, replica, worker, tokensRoot(ids), textDigest(text), salt) === commitment.outputCommit
  )
}
