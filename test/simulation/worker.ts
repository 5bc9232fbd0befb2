/** Workers with scripted outputs: honest ones agree to the token, the others differ, lie, copy nothing, or fall silent. */

import { equalBytes, idsToBytes } from '../../core/codec/bytes.ts'
import { decodeWire, encodeWire } from '../../core/codec/canonical.ts'
import { openAs, sealAs } from '../../core/identity/envelope.ts'
import { type Digest, digestBytes, type JobId, type PeerId } from '../../core/ids.ts'
import { checkWitness } from '../../core/job/judge-audits.ts'
import { executeCodec, offerCodec, type RevealRequest, revealRequestCodec } from '../../core/job/proposal.ts'
import { type ChainState, chunkCodec, extendChain, nextChunk, openChain } from '../../core/latency/chain.ts'
import { type Link, NOTHING_SHOWN, type ShownChain } from '../../core/latency/links.ts'
import { LIMITS } from '../../core/limits.ts'
import { type Assignment, answerCodec, assignmentCodec, bodyDigest } from '../../core/log/assignment.ts'
import { statementOf } from '../../core/log/authority.ts'
import { openReplicaInputs } from '../../core/log/inputs.ts'
import { type Intent, intentCodec, jobIdOf } from '../../core/log/intent.ts'
import { intentOf } from '../../core/log/settling.ts'
import { checkCertificate } from '../../core/quorum/certificate.ts'
import {
  type Commitment,
  commitmentCodec,
  outputCommit,
  revealCodec,
  textDigest,
  tokensRoot,
} from '../../core/verification/commitment.ts'
import { isAuditable } from '../../core/verification/replayable.ts'
import { wordsOf } from '../../core/verification/vectors.ts'
import { Prng } from '../../node/simulation/prng.ts'
import type { Answer, SimNode } from './node.ts'
import { FACTS, nameOf, VECTOR_FACTS } from './world.ts'

/** `fickle` stores nothing and commits to something else each time; `hiding` commits and never reveals; `lying` reveals other tokens; `lazy` stops unasked. */
export const WORKER_KINDS = [
  'honest',
  'diverging',
  'lying',
  'silent',
  'hiding',
  'busy',
  'fickle',
  'sloppy',
  'late',
  'lazy',
] as const
export type WorkerKind = (typeof WORKER_KINDS)[number]

type Order = {
  readonly jobId: JobId
  readonly intent: Intent
  readonly assignment: Assignment
  readonly assignmentHash: Digest
  readonly replica: number
  readonly nonce: Uint8Array
}
type Output = { readonly ids: readonly number[]; readonly finish: Commitment['finishReason'] }
type Claim = { readonly commitment: Uint8Array; readonly reveal: Uint8Array; readonly ids: Uint8Array }

const NOTHING = new Uint8Array()
const STOP = 2

export class Worker {
  readonly node: SimNode
  readonly kind: WorkerKind
  /** Longest honest generation. */
  runMsMax = 400
  #unstored = new Map<string, Claim>()
  /** Jobs whose edge asked for an early end. */
  #stopped = new Set<string>()

  constructor(node: SimNode, kind: WorkerKind) {
    this.node = node
    this.kind = kind
    node.runs(() => this.#boot())
  }

  #boot(): void {
    const { node } = this
    this.#unstored = new Map()
    this.#stopped = new Set()
    node.on('stop', ({ text, from }) => {
      if (this.#isItsEdge(from, text)) this.#stopped.add(text)
    })
    node.on('log/news', ({ text }) => node.sawLog(Number(text)))
    node.on('job/offer', ({ parts, from }, answer, refuse) => this.#offer(from, parts[0] ?? NOTHING, answer, refuse))
    node.on('job/execute', ({ parts, from }, answer, refuse) =>
      this.#execute(from, parts[0] ?? NOTHING, answer, refuse),
    )
    node.on('job/reveal', ({ parts, from }, answer, refuse) => this.#reveal(from, parts[0] ?? NOTHING, answer, refuse))
  }

  /** As its log says: nobody else orders work, stops it or has it shown. */
  #isItsEdge(from: string, jobId: string): boolean {
    const job = this.node.view().jobs.get(jobId)
    return job !== undefined && nameOf(job.edge) === from
  }

  #offer(from: string, body: Uint8Array, answer: Answer, refuse: (reason: string) => void) {
    const { node } = this
    const { swarmId } = node.world.genesis
    const offer = offerCodec.decode(body)
    if (offer.action !== 'accept') return refuse('malformed')
    const intent = openAs(intentCodec, offer.value.intent, swarmId)
    if (intent.action !== 'accept') return refuse('intent')
    const jobId = jobIdOf(swarmId, intent.value.body)
    const phase = node.view().jobs.get(jobId)?.phase
    if (phase === undefined || phase === 'settled') return refuse('unknown_parent')
    if (!this.#isItsEdge(from, jobId)) return refuse('not_its_edge')
    const isBusy = this.kind === 'busy' || node.world.prng.chance(50)
    const value = {
      jobId,
      attempt: offer.value.attempt,
      answer: isBusy ? 'busy' : 'accept',
      slotsFree: isBusy ? 0 : 1,
    } as const
    answer('', [sealAs(answerCodec, value, swarmId, node.key)])
  }

  #execute(from: string, body: Uint8Array, answer: Answer, refuse: (reason: string) => void) {
    const { node, kind } = this
    const order = this.#open(body)
    if (order === undefined) return refuse('order')
    if (!this.#isItsEdge(from, order.jobId)) return refuse('not_its_edge')
    const stored = this.#stored(subjectOf(order))
    if (stored !== undefined && kind !== 'fickle') return answer('', [stored.commitment, stored.ids])
    if (kind === 'silent') return
    if (order.intent.task === 'embedding') node.world.coverage.count('vectors ordered')
    const runMs = kind === 'late' ? 4_500 : node.world.prng.between(10, this.runMsMax)
    node.after(Math.floor(runMs / 2), () => node.tell(from, 'tokens', `${order.jobId} ${order.replica}`))
    node.after(runMs, () => this.#finish(from, order, answer))
  }

  #finish(from: string, order: Order, answer: Answer) {
    const { node } = this
    const receiver = node.world.genesis.members.find(({ peer }) => nameOf(peer) === from)?.peer ?? node.key.peer
    const isEarly = this.kind === 'lazy' || this.#stopped.has(order.jobId)
    const whole =
      order.intent.task === 'embedding' ? vectorsOf(this.kind, node, order) : outputOf(this.kind, node, order)
    const output = isEarly ? unfinished(whole, order) : whole
    if (isEarly) node.world.coverage.count('output ended early')
    // Vectors are not streamed: the reveal brings them.
    const { chain, headers, shown } = this.#chunks(receiver, order, order.intent.task === 'embedding' ? [] : output.ids)
    const claim = this.#claim(order, output, chain, shown)
    const send = (): void => answer('', [claim.commitment, claim.ids, ...headers])
    if (this.kind === 'fickle') {
      this.#unstored.set(subjectOf(order), claim)
      return send()
    }
    // Another order for the same replica may have been finished meanwhile: the first claim stands.
    const earlier = this.#stored(subjectOf(order))
    if (earlier !== undefined) return answer('', [earlier.commitment, earlier.ids])
    this.#unstored.set(subjectOf(order), claim)
    node.write([[`claim/${subjectOf(order)}`, rowOfClaim(claim)]], () => {
      if (!node.world.point(node, 'claim-stored')) send()
    })
  }

  #reveal(from: string, body: Uint8Array, answer: Answer, refuse: (reason: string) => void) {
    const request = revealRequestCodec.decode(body)
    if (request.action !== 'accept' || this.kind === 'hiding') return refuse('no_reveal')
    if (!this.#isItsEdge(from, request.value.jobId)) return refuse('not_its_edge')
    const { replica, commitments } = request.value
    if (!this.#isWitnessed(request.value)) return refuse('not_witnessed')
    const claim = this.#stored(subjectOf(request.value))
    const own = commitments[replica]
    if (claim === undefined || own === undefined || !equalBytes(own, claim.commitment))
      return refuse('commitment_mismatch')
    answer('', [claim.reveal])
  }

  /** Nobody shows what somebody else may still commit to. */
  #isWitnessed({ jobId, attempt, commitments, bitmap, signatures }: RevealRequest): boolean {
    const state = this.node.view()
    const job = state.jobs.get(jobId)
    if (job === undefined) return false
    if (state.genesis.local || !isAuditable(intentOf(job))) return true
    const certificate = { bitmap, signatures }
    return checkWitness(state, { job, attempt, commitments, certificate }).action === 'accept'
  }

  /** The certificate is the order: without a quorum behind it nobody works. */
  #open(body: Uint8Array): Order | undefined {
    const { node } = this
    const state = node.view()
    const execute = executeCodec.decode(body)
    if (execute.action !== 'accept') return undefined
    const { intent: envelope, assignment: assignmentBody, replica, nonce, inputs, bitmap, signatures } = execute.value
    const intent = openAs(intentCodec, envelope, state.swarmId)
    const assignment = assignmentCodec.decode(assignmentBody)
    if (intent.action !== 'accept' || assignment.action !== 'accept') return undefined
    const jobId = jobIdOf(state.swarmId, intent.value.body)
    const { attempt, workers } = assignment.value
    const assignmentHash = bodyDigest('assignment', state.swarmId, assignmentBody)
    const statement = statementOf(state, 'assignment', { subject: jobId, attempt, index: 0, digest: assignmentHash })
    if (checkCertificate(state.swarmId, state.validators, statement, { bitmap, signatures }).action !== 'accept')
      return undefined
    const isMine = assignment.value.jobId === jobId && workers[replica] === node.key.peer
    if (!isMine || openReplicaInputs(intent.value.value, replica, inputs).action !== 'accept') return undefined
    return { jobId, intent: intent.value.value, assignment: assignment.value, assignmentHash, replica, nonce }
  }

  #chunks(
    receiver: PeerId,
    order: Order,
    ids: readonly number[],
  ): { readonly chain: ChainState; readonly headers: readonly Uint8Array[]; readonly shown: ShownChain } {
    const { node } = this
    const { swarmId } = node.world.genesis
    const { jobId, replica, nonce, assignment } = order
    let chain = openChain({
      swarmId,
      jobId,
      attempt: assignment.attempt,
      replica,
      worker: node.key.peer,
      receiver,
      nonce,
    })
    const headers: Uint8Array[] = []
    const links: Link[] = []
    for (let start = 0; start < ids.length; start += LIMITS.chunkTokensMax) {
      const value = nextChunk(
        chain,
        ids.slice(start, start + LIMITS.chunkTokensMax),
        BigInt(node.world.scheduler.nowMs),
      )
      const longer = extendChain(chain, { value, signer: node.key.peer, body: chunkCodec.encode(value) })
      if (longer.action === 'accept') chain = longer.value
      headers.push(sealAs(chunkCodec, value, swarmId, node.key))
      links.push(value)
    }
    return { chain, headers, shown: links.length === 0 ? NOTHING_SHOWN : { nonce, links } }
  }

  #claim(order: Order, output: Output, chain: ChainState, shown: ShownChain): Claim {
    const { node, kind } = this
    const { swarmId } = node.world.genesis
    const { jobId, replica, assignmentHash, assignment } = order
    const { attempt } = assignment
    const salt = node.world.prng.bytes(32)
    const embeds = order.intent.task === 'embedding'
    const text = embeds ? '' : textOf(output.ids)
    const commit = outputCommit(jobId, replica, node.key.peer, tokensRoot(output.ids), textDigest(text), salt)
    const place = { jobId, attempt, replica }
    const commitment = sealAs(
      commitmentCodec,
      {
        ...{
          ...place,
          assignmentHash,
          outputCommit: commit,
          tokenCount: output.ids.length,
          finishReason: output.finish,
        },
        ...{
          chunkCount: chain.chunkCount,
          chainHead: chain.head,
          schedule: [order.intent.promptTokens],
          engineId: 'simulated',
        },
      },
      swarmId,
      node.key,
    )
    const lie = output.ids.length > 0 ? output.ids.map((id) => (id === STOP ? id : id + 1)) : [1]
    const reveal = revealCodec.encode({
      ...place,
      ids: idsToBytes(kind === 'lying' ? lie : output.ids),
      text,
      salt,
      ...shown,
    })
    return { commitment, reveal, ids: embeds ? NOTHING : idsToBytes(output.ids) }
  }

  #stored(subject: string): Claim | undefined {
    const bytes = this.node.disk.get(`claim/${subject}`)
    return bytes === undefined ? this.#unstored.get(subject) : claimOfRow(bytes)
  }
}

/** A claim's three parts in one list. */
function rowOfClaim({ commitment, reveal, ids }: Claim): Uint8Array {
  return encodeWire([commitment, reveal, ids])
}

function claimOfRow(bytes: Uint8Array): Claim | undefined {
  const row = decodeWire(bytes, LIMITS.receiptOutputBytesMax)
  if (row.action !== 'accept' || !Array.isArray(row.value)) return undefined
  const [commitment, reveal, ids]: readonly unknown[] = row.value
  if (!(commitment instanceof Uint8Array && reveal instanceof Uint8Array && ids instanceof Uint8Array)) return undefined
  return { commitment, reveal, ids }
}

function subjectOf(order: { readonly jobId: Digest; readonly replica: number; readonly attempt?: number }): string {
  return `${order.jobId}/${order.replica}`
}

function textOf(ids: readonly number[]): string {
  return ids.map((id) => `t${id}`).join(' ')
}

/** What the model says: the same for every honest worker, whatever happened before. */
function outputOf(kind: WorkerKind, node: SimNode, { jobId, intent }: Order): Output {
  const view = digestBytes(jobId)
  const seed = new DataView(view.buffer, view.byteOffset).getUint32(0)
  const own = kind === 'diverging' ? node.name.charCodeAt(1) : kind === 'fickle' ? node.world.prng.next() : 0
  const prng = new Prng(seed ^ own)
  const length = prng.between(1, intent.maxTokens)
  const ids = Array.from({ length }, () => prng.between(STOP + 1, FACTS.vocabSize - 2))
  if (kind === 'sloppy') return { ids: [...ids, FACTS.vocabSize + 5], finish: 'length' }
  const said = ids.findIndex((_, place) => isSaid(ids.slice(0, place + 1), intent.stop))
  if (said >= 0) {
    node.world.coverage.count('output ended at a stop string')
    return { ids: ids.slice(0, said + 1), finish: 'stop' }
  }
  if (length === intent.maxTokens) return { ids, finish: 'length' }
  return { ids: [...ids, STOP], finish: 'stop' }
}

/** What the embedding model says: every machine's last bits are its own; who diverges has embedded another text. */
function vectorsOf(kind: WorkerKind, node: SimNode, { jobId, intent }: Order): Output {
  const view = digestBytes(jobId)
  const seed = new DataView(view.buffer, view.byteOffset).getUint32(4)
  const own = kind === 'diverging' ? node.name.charCodeAt(1) : kind === 'fickle' ? node.world.prng.next() : 0
  const prng = new Prng(seed ^ own)
  const vectors = Array.from({ length: intent.maxTokens }, () => {
    const values = Array.from({ length: VECTOR_FACTS.dimensions }, () => prng.between(-1_000, 1_000) + 0.5)
    const norm = Math.hypot(...values) / (kind === 'sloppy' ? 1.1 : 1)
    return Float32Array.from(values, (value) => value / norm)
  })
  return { ids: [...wordsOf(vectors)].map((word) => word + (node.name.charCodeAt(1) % 4)), finish: 'stop' }
}

/** Half of it; of vectors, and of what ends with its first token, nothing. */
function unfinished({ ids }: Output, { intent }: Order): Output {
  const half = ids.filter((id) => id !== STOP).slice(0, Math.max(1, ids.length >> 1))
  const isNothing = intent.task === 'embedding' || isSaid(half, intent.stop)
  return { ids: isNothing ? [] : half, finish: 'aborted' }
}

function isSaid(ids: readonly number[], stop: readonly string[]): boolean {
  const text = textOf(ids)
  return stop.some((ending) => text.includes(ending))
}
