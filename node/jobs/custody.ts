/** Signs intents for callers of this machine's HTTP API with the local user's key, so that they need no key of their own. */
import { domainHash } from '#core/hash'
import { equalBytes, u64be, utf8 } from '../../core/codec/bytes.ts'
import { isTextWithin } from '../../core/codec/schema.ts'
import { FabricError } from '../../core/errors.ts'
import { sealAs } from '../../core/identity/envelope.ts'
import type { KeyPair } from '../../core/identity/keys.ts'
import { type Digest, type JobId, parseDigest } from '../../core/ids.ts'
import { quote as priceOf } from '../../core/ledger/pricing.ts'
import { LIMITS } from '../../core/limits.ts'
import { type Intent, intentCodec, payloadCodec, payloadCommitment } from '../../core/log/intent.ts'
import { intentOf } from '../../core/log/settling.ts'
import { type LogState, nonceKey } from '../../core/log/state.ts'
import type { ChatMessage } from '../../models/backend.ts'
import type { CatalogueEntry } from '../../models/catalogue.ts'
import type { JobRequest } from '../runtime/app.ts'
import type { Clock, Random } from '../runtime/ports.ts'
import type { ModelRunner } from './runner.ts'

export type CustodyPorts = {
  readonly user: KeyPair
  readonly runner: ModelRunner
  readonly model: CatalogueEntry
  readonly state: () => LogState
  readonly clock: Clock
  readonly random: Random
}

export type Drafted = { readonly intent: Intent; readonly payload: Uint8Array }

const MAX_TOKENS_DEFAULT = 1_024
const INTENT_LIFETIME_MS = 600_000
const U64_BYTES = 8
/** More than MessagePack adds to a message, or salt and seed nonce to all of them. */
const MESSAGE_OVERHEAD_BYTES = 128

export class Custody {
  readonly #ports: CustodyPorts

  constructor(ports: CustodyPorts) {
    this.#ports = ports
  }

  /** @throws FabricError CF_MODEL_UNKNOWN, CF_WORKER_STARTING, CF_JOB_CONTEXT_EXCEEDED, CF_JOB_INVALID, CF_JOB_OVER_BUDGET */
  async draft(request: JobRequest): Promise<Drafted> {
    const { runner, model, state, clock } = this.#ports
    const { genesis } = state()
    const loaded = runner.current
    if (request.model !== model.id) throw new FabricError('CF_MODEL_UNKNOWN', { loaded: model.id })
    if (loaded === undefined) throw new FabricError('CF_WORKER_STARTING')
    if (!fits(request.messages)) throw new FabricError('CF_JOB_INVALID', { field: 'messages' })
    const promptTokens = (await runner.promptIds(request.messages)).length
    const room = loaded.contextTokens - promptTokens
    const maxTokens = request.maxTokens ?? Math.min(MAX_TOKENS_DEFAULT, room)
    if (room < 1 || maxTokens > room) {
      throw new FabricError('CF_JOB_CONTEXT_EXCEEDED', { promptTokens, maxTokens, contextTokens: loaded.contextTokens })
    }
    const nonce = request.nonce ?? new DataView(this.#ports.random.bytes(U64_BYTES).buffer).getBigUint64(0)
    const payload = payloadCodec.encode({
      salt: this.#secret('salt', request.nonce),
      seedNonce: request.seedNonce ?? this.#secret('seed', request.nonce),
      messages: request.messages,
    })
    const priced = { modelMegaParams: model.megaParams, promptTokens, maxTokens, replicas: request.replicas }
    const { hold } = priceOf(genesis.prices, priced)
    const maxBudget = request.maxBudget ?? hold
    if (hold > maxBudget) throw new FabricError('CF_JOB_OVER_BUDGET', { hold, maxBudget })
    const intent: Intent = {
      ...priced,
      payloadCommitment: payloadCommitment(payload),
      modelDigest: digestIn(loaded.digest),
      templateDigest: digestIn(loaded.templateDigest),
      sampling: { kind: 'gumbel-v1', temperatureMilli: request.temperatureMilli, topK: request.topK },
      ...{ verify: request.verify, region: request.region ?? genesis.region, maxBudget, nonce },
      expiresMs: BigInt(clock.nowMs() + INTENT_LIFETIME_MS),
    }
    return { intent, payload }
  }

  sign({ intent }: Drafted): Uint8Array {
    return sealAs(intentCodec, intent, this.#ports.state().swarmId, this.#ports.user)
  }

  /**
   * The job that this request has already become, if its nonce was used.
   *
   * @throws CF_JOB_NONCE_USED when the nonce belongs to a request with other content
   */
  earlier({ intent }: Drafted): JobId | undefined {
    const { state, user } = this.#ports
    const id = state().nonces.get(nonceKey(user.peer, intent.nonce))
    const job = id === undefined ? undefined : state().jobs.get(id)
    if (id === undefined || job === undefined) return undefined
    // A repeat is the same wish at a later time.
    const same = equalBytes(
      intentCodec.encode({ ...intent, expiresMs: 0n }),
      intentCodec.encode({ ...intentOf(job), expiresMs: 0n }),
    )
    if (!same) throw new FabricError('CF_JOB_NONCE_USED', { job: id })
    return id
  }

  /** With a nonce of the caller's the secret follows from it, so that the repeated request is the same to the byte. */
  #secret(purpose: string, nonce: bigint | undefined): Uint8Array {
    if (nonce === undefined) return this.#ports.random.bytes(32)
    return domainHash(`custody-${purpose}`, this.#ports.user.seed, u64be(nonce))
  }
}

/** Bounds of the payload's codec, asked of what came from outside. */
function fits(messages: readonly ChatMessage[]): boolean {
  const bytes = messages.reduce(
    (sum, { content }) => sum + utf8(content).length + MESSAGE_OVERHEAD_BYTES,
    MESSAGE_OVERHEAD_BYTES,
  )
  const sound = messages.every(({ content }) => isTextWithin(content, LIMITS.messageBytesMax))
  return messages.length >= 1 && messages.length <= LIMITS.messageCountMax && sound && bytes <= LIMITS.payloadBytesMax
}

/** @throws CF_MODEL_LOAD_FAILED when the engine reports something that is no digest */
function digestIn(hex: string): Digest {
  const digest = parseDigest(hex)
  if (digest === undefined) throw new FabricError('CF_MODEL_LOAD_FAILED', { field: 'digest' })
  return digest
}
