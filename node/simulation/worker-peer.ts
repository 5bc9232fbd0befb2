/** A simulated worker: answers offers, runs what a certificate orders, commits, reveals; how it fails is its kind. */
import { openAs, sealAs } from '../../core/identity/envelope.ts'
import type { JobId } from '../../core/ids.ts'
import { openChain } from '../../core/latency/chain.ts'
import { NOTHING_SHOWN } from '../../core/latency/links.ts'
import { answerCodec, assignmentCodec, bodyDigest } from '../../core/log/assignment.ts'
import { statementOf } from '../../core/log/authority.ts'
import { intentCodec, jobIdOf } from '../../core/log/intent.ts'
import { type CompactCertificate, checkCertificate } from '../../core/quorum/certificate.ts'
import { type Claim, claimOf, claimSubject } from '../jobs/claim.ts'
import { outputOf } from './output.ts'
import type { SimulatedPeer } from './swarm.ts'
import type { World } from './world.ts'

export type Order = {
  readonly intent: Uint8Array
  readonly assignment: Uint8Array
  readonly certificate: CompactCertificate
  readonly replica: number
}
/** What the edge hears of a run, in this order; `broken` ends it. */
export type RunEvents = {
  readonly streaming: () => void
  readonly committed: (commitment: Uint8Array) => void
  readonly broken: () => void
}

const SLOTS_MAX = 4
/** From a crash until the peer answers again. */
const DOWN_MS = 10_000
const FIRST_TOKEN_MS = 40
const ENGINE = 'simulated'
const SALT_BYTES = 32

type Opened = Parameters<typeof claimOf>[0]['order'] & { readonly maxTokens: number; readonly promptTokens: number }

export class WorkerPeer {
  readonly #world: World
  readonly #peer: SimulatedPeer
  /** Makes its lies its own. */
  readonly #lie: number
  readonly #claims = new Map<string, Claim>()
  #running = 0
  #downUntilMs = 0

  /** @param number  from 1, no other peer has it */
  constructor(world: World, peer: SimulatedPeer, number: number) {
    this.#world = world
    this.#peer = peer
    this.#lie = peer.kind === 'liar' ? number : 0
  }

  /** @returns the sealed answer, or nothing */
  offer(jobId: JobId, attempt: number): Uint8Array | undefined {
    const { kind, key } = this.#peer
    if (kind === 'silent' || this.#isDown()) return undefined
    const slotsFree = kind === 'busy' ? 0 : Math.max(0, SLOTS_MAX - this.#running)
    const { swarmId } = this.#world.swarm.genesis
    this.#world.recorder.signatures += 1
    return sealAs(answerCodec, { jobId, attempt, answer: slotsFree > 0 ? 'accept' : 'busy', slotsFree }, swarmId, key)
  }

  /** The certificate is the order: without a quorum behind it nobody works. */
  execute(order: Order, tell: RunEvents) {
    const opened = this.#isDown() ? undefined : this.#open(order)
    if (opened === undefined) return tell.broken()
    const { scheduler, prng } = this.#world
    const { kind, tokenMs } = this.#peer
    const output = outputOf(opened.jobId, opened.maxTokens, this.#lie)
    const runMs = FIRST_TOKEN_MS + output.ids.length * tokenMs
    this.#running += 1
    scheduler.after(FIRST_TOKEN_MS + tokenMs, () => this.#isDown() || tell.streaming())
    const crashMs = kind === 'crash' ? prng.between(1, runMs - 1) : Number.POSITIVE_INFINITY
    scheduler.after(Math.min(runMs, crashMs), () => {
      this.#running -= 1
      if (crashMs < runMs) this.#downUntilMs = scheduler.nowMs + DOWN_MS
      if (this.#isDown()) return tell.broken()
      tell.committed(this.#claim(opened, output).commitment)
    })
  }

  reveal(jobId: JobId, attempt: number, replica: number): Uint8Array | undefined {
    return this.#isDown() ? undefined : this.#claims.get(claimSubject({ jobId, attempt, replica }))?.reveal
  }

  #isDown(): boolean {
    return this.#world.scheduler.nowMs < this.#downUntilMs
  }

  #open({ intent, assignment, certificate, replica }: Order): Opened | undefined {
    const { state } = this.#world.log
    const wish = openAs(intentCodec, intent, state.swarmId)
    const assigned = assignmentCodec.decode(assignment)
    if (wish.action !== 'accept' || assigned.action !== 'accept') return undefined
    const jobId = jobIdOf(state.swarmId, wish.value.body)
    const { attempt, workers } = assigned.value
    const assignmentHash = bodyDigest('assignment', state.swarmId, assignment)
    const statement = statementOf(state, 'assignment', { subject: jobId, attempt, index: 0, digest: assignmentHash })
    const ordered = checkCertificate(state.swarmId, state.validators, statement, certificate)
    const isMine = assigned.value.jobId === jobId && workers[replica] === this.#peer.key.peer
    if (ordered.action !== 'accept' || !isMine) return undefined
    const { maxTokens, promptTokens } = wish.value.value
    return { jobId, assignment: { attempt }, assignmentHash, replica, maxTokens, promptTokens }
  }

  #claim(order: Opened, { ids, finish }: ReturnType<typeof outputOf>): Claim {
    const { key } = this.#peer
    const { swarm, prng, recorder } = this.#world
    const { swarmId } = swarm.genesis
    const { jobId, replica, assignment } = order
    const place = { swarmId, jobId, attempt: assignment.attempt, replica }
    const chain = openChain({ ...place, worker: key.peer, receiver: swarm.edge.peer, nonce: prng.bytes(16) })
    const claim = claimOf({
      ...{ key, swarmId, order, salt: prng.bytes(SALT_BYTES), engineId: ENGINE },
      // No chunks are streamed: their chain stays as it was opened.
      chain: { head: chain.head, count: 0, shown: NOTHING_SHOWN },
      ...{ output: { ids, text: '', finish }, schedule: [order.promptTokens] },
    })
    this.#claims.set(claimSubject(order), claim)
    recorder.signatures += 1
    return claim
  }
}
