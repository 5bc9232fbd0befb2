/** Users at their worst: repeated intents, nonces used again for other content, one intent sent to both edges, cancels, empty purses. */

import { domainHash } from '#core/hash'
import { u32be } from '../../core/codec/bytes.ts'
import { sealAs } from '../../core/identity/envelope.ts'
import { digestOf, nodeAccount, userAccount } from '../../core/ids.ts'
import { mintCodec, transferCodec } from '../../core/log/bodies.ts'
import { seedsCommitmentOf } from '../../core/log/inputs.ts'
import {
  type Intent,
  intentCodec,
  jobIdOf,
  NEUTRAL,
  NO_SAMPLING,
  PLAIN,
  payloadCodec,
  payloadCommitment,
  plainMessage,
  type Task,
} from '../../core/log/intent.ts'
import { jobInputs, sharedSeeds } from '../support/seeds.ts'
import type { SimNode } from './node.ts'
import { CLIENT, EDGES, keyNamed, MODEL, START_MS, USERS, VECTOR_MODEL, WORKERS } from './world.ts'

export type Wish = {
  readonly task: Task
  /** Others can replay its sampler. */
  readonly verifiable: boolean
  readonly stop: readonly string[]
  readonly user: (typeof USERS)[number]
  readonly replicas: number
  readonly verify: 'after' | 'before'
  readonly maxTokens: number
  readonly maxBudget: bigint
  readonly nonce: bigint
  readonly expiresMs: bigint
}
export type Signed = { readonly envelope: Uint8Array; readonly inputs: Uint8Array; readonly id: string }

const ANSWER_MS = 700
const TRIES_MAX = 12

export class Client {
  readonly node: SimNode
  /** Submissions that wait for their answer. */
  openCount = 0
  #count = 0

  constructor(node: SimNode) {
    this.node = node
    node.runs(() => {})
  }

  /** @param content  another number makes another prompt, and so another job */
  sign(wish: Wish, content: number): Signed {
    const { swarmId } = this.node.world.genesis
    const salt = domainHash('sim-salt', u32be(content))
    const { task, verifiable, stop, maxTokens } = wish
    const embeds = task === 'embedding'
    const prompt = `prompt ${content}`
    const messages = task === 'chat' ? [plainMessage('user', prompt)] : []
    const texts =
      task === 'chat' ? [] : Array.from({ length: embeds ? maxTokens : 1 }, (_, place) => `${prompt} ${place}`)
    const payload = payloadCodec.encode({ ...PLAIN, salt, messages, texts, logprobs: 0 })
    const seeds = sharedSeeds(wish.replicas, salt)
    const kind = verifiable ? 'gumbel-v1' : 'llama'
    const sampling = { ...NEUTRAL, kind, temperatureMilli: 700, topK: 40, topPMilli: verifiable ? 1_000 : 900 } as const
    const intent: Intent = {
      payloadCommitment: payloadCommitment(payload),
      seedsCommitment: seedsCommitmentOf(seeds),
      modelDigest: embeds ? VECTOR_MODEL : MODEL,
      ...{ task, stop },
      modelMegaParams: 3,
      templateDigest: digestOf(domainHash('sim-template')),
      sampling: embeds ? NO_SAMPLING : sampling,
      promptTokens: 16,
      region: 'sim',
      ...{ maxTokens: wish.maxTokens, replicas: wish.replicas, verify: wish.verify, maxBudget: wish.maxBudget },
      ...{ nonce: wish.nonce, expiresMs: wish.expiresMs, speedTarget: 0 },
    }
    return {
      envelope: sealAs(intentCodec, intent, swarmId, keyNamed(wish.user)),
      inputs: jobInputs(payload, seeds),
      id: jobIdOf(swarmId, intentCodec.encode(intent)),
    }
  }

  /** Asks until there is an answer, as a client that lost its connection does. */
  submit(edge: string, signed: Signed, tries = TRIES_MAX): void {
    this.openCount += 1
    this.node.request(edge, 'submit', { parts: [signed.envelope, signed.inputs] }, ANSWER_MS, (reply) => {
      this.openCount -= 1
      if (reply !== undefined) {
        this.node.world.trace.say(`client hears from ${edge}: ${reply.text}`)
        return this.node.world.coverage.count(`client heard: ${reply.text}`)
      }
      if (tries > 1) this.node.after(this.node.world.prng.between(50, 400), () => this.submit(edge, signed, tries - 1))
    })
  }

  cancel(edge: string, signed: Signed): void {
    this.node.tell(edge, 'cancel', signed.id)
  }

  /** Schedules a run's wishes, between now and `lastMs` from now. */
  plan(jobCount: number, lastMs: number): void {
    const { prng, coverage } = this.node.world
    for (let job = 0; job < jobCount; job += 1) {
      this.node.after(prng.below(lastMs), () => {
        const wish = this.#wish()
        const signed = this.sign(wish, this.#count)
        const [first, second] = prng.chance(500) ? EDGES : [EDGES[1], EDGES[0]]
        this.submit(first, signed)
        if (prng.chance(350)) {
          coverage.count('client: one intent to both edges')
          this.node.after(prng.below(300), () => this.submit(second, signed))
        }
        if (prng.chance(200)) this.#again(signed, first)
        if (prng.chance(200)) this.#reuse(wish, prng.pick(EDGES))
        if (prng.chance(150)) this.node.after(prng.below(400), () => this.cancel(first, signed))
      })
    }
    if (prng.chance(400)) this.node.after(prng.below(lastMs), () => this.#moveMoney())
  }

  #wish(): Wish {
    const { prng } = this.node.world
    this.#count += 1
    const task = prng.pick<Task>(['chat', 'chat', 'completion', 'embedding'])
    const embeds = task === 'embedding'
    const expiresMs = BigInt(this.node.clock.nowMs() + (prng.chance(50) ? -10 : prng.between(200, 60_000)))
    return {
      user: prng.chance(250) ? 'poor' : 'rich',
      replicas: prng.pick([1, 1, 2, 3, 3, 3]),
      task,
      verifiable: embeds || prng.chance(850),
      stop: !embeds && prng.chance(300) ? ['never said', 't12'] : [],
      verify: embeds || prng.chance(500) ? 'before' : 'after',
      maxTokens: embeds ? prng.between(1, 4) : prng.between(1, 50),
      maxBudget: prng.chance(60) ? 100n : 1_000_000n,
      nonce: BigInt(this.#count),
      expiresMs,
    }
  }

  #again(signed: Signed, edge: string): void {
    const { prng, coverage } = this.node.world
    coverage.count('client: intent sent again')
    this.node.after(prng.between(1, 4_000), () => this.submit(edge, signed))
  }

  #reuse(wish: Wish, edge: string): void {
    const { prng, coverage } = this.node.world
    coverage.count('client: nonce used for other content')
    const other = this.sign(wish, this.#count + 1_000)
    this.node.after(prng.between(1, 2_000), () => this.submit(edge, other))
  }

  /** Mints and transfers whose answers are lost and that are sent again; a key used for other content is refused. */
  #moveMoney(): void {
    const { genesis, prng } = this.node.world
    const [rich, poor] = USERS.map((name) => keyNamed(name))
    if (rich === undefined || poor === undefined) return
    const minted = {
      to: userAccount(poor.peer),
      amount: BigInt(prng.between(1, 20_000)),
      reason: 'gift',
      idempotencyKey: 'gift',
    }
    const moved = {
      kind: 'transfer',
      from: userAccount(rich.peer),
      to: nodeAccount(keyNamed(prng.pick(WORKERS)).peer),
    } as const
    const rest = {
      amount: BigInt(prng.between(1, 900_000)),
      reason: 'thanks',
      jobId: new Uint8Array(),
      idempotencyKey: 'thanks',
    }
    const bodies = [
      ['mint', sealAs(mintCodec, minted, genesis.swarmId, keyNamed('mint'))],
      ['mint', sealAs(mintCodec, { ...minted, amount: minted.amount + 1n }, genesis.swarmId, keyNamed('mint'))],
      ['transfer', sealAs(transferCodec, { ...moved, ...rest }, genesis.swarmId, rich)],
    ] as const
    for (let round = 0; round < 2; round += 1) {
      for (const [place, [kind, body]] of bodies.entries())
        this.node.propose(kind, `${CLIENT}/${kind}/${place}/${round}`, body, () => {})
    }
  }
}

/** A wish with nothing strange about it. */
export function plainWish(parts: Partial<Wish> & Pick<Wish, 'nonce'>): Wish {
  return {
    ...{ user: 'rich', task: 'chat', verifiable: true, stop: [] },
    replicas: 1,
    verify: 'after',
    maxTokens: 24,
    maxBudget: 1_000_000n,
    expiresMs: BigInt(START_MS + 60_000),
    ...parts,
  }
}
