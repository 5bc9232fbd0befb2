/** Signs intents for callers of this machine's HTTP API with the local user's key, so that they need no key of their own. */
import { domainHash } from '#core/hash'
import { equalBytes, u64be } from '../../core/codec/bytes.ts'
import { FabricError } from '../../core/errors.ts'
import { sealAs } from '../../core/identity/envelope.ts'
import type { KeyPair } from '../../core/identity/keys.ts'
import { type Digest, type JobId, parseDigest } from '../../core/ids.ts'
import { quote as priceOf } from '../../core/ledger/pricing.ts'
import { jobInputsCodec, seedsCommitmentOf } from '../../core/log/inputs.ts'
import { type Intent, intentCodec, intentFault, payloadCodec, payloadCommitment } from '../../core/log/intent.ts'
import { intentOf } from '../../core/log/settling.ts'
import { type LogState, nonceKey } from '../../core/log/state.ts'
import type { JobRequest } from '../runtime/app.ts'
import type { Clock, Random } from '../runtime/ports.ts'
import { formOf } from './forms.ts'
import type { NodeModel } from './model.ts'
import { defaultMode, seedsFor } from './seeds.ts'
import { biasOf, checkStop, samplingOf, sizeOf } from './wish.ts'
import { wordsIn } from './words.ts'

export type CustodyPorts = {
  readonly user: KeyPair
  readonly state: () => LogState
  readonly clock: Clock
  readonly random: Random
}

export type Drafted = {
  readonly intent: Intent
  /** Body `job-inputs`. */
  readonly inputs: Uint8Array
}

const INTENT_LIFETIME_MS = 600_000
const U64_BYTES = 8

export class Custody {
  readonly #ports: CustodyPorts

  constructor(ports: CustodyPorts) {
    this.#ports = ports
  }

  /** @throws FabricError CF_MODEL_*, CF_WORKER_STARTING, CF_JOB_CONTEXT_EXCEEDED, CF_JOB_INVALID, CF_JOB_OVER_BUDGET */
  async draft(model: NodeModel, request: JobRequest): Promise<Drafted> {
    const { state, clock } = this.#ports
    const { genesis } = state()
    const { task } = request.input
    if ((task === 'embedding') !== (model.entry.task === 'embedding'))
      throw new FabricError('CF_MODEL_UNSUPPORTED', { param: 'model', model: request.model, task })
    const loaded = model.now()
    const words = wordsIn(request.input)
    const stop = checkStop(request)
    const form = formOf(request, loaded)
    const size = await sizeOf(model, loaded, request, words)
    const nonce = request.nonce ?? new DataView(this.#ports.random.bytes(U64_BYTES).buffer).getBigUint64(0)
    const payload = payloadCodec.encode({
      salt: this.#secret('salt', request.nonce),
      ...words,
      ...{ grammar: form, logitBias: biasOf(request, loaded) },
      logprobs: request.topLogprobs === undefined ? 0 : request.topLogprobs + 1,
    })
    // Nobody could earn it: all clocks are one owner's.
    if ((request.speedTarget ?? 0) > 0 && genesis.local) throw new FabricError('CF_JOB_INVALID', { field: 'speed' })
    const mode = request.seeds ?? defaultMode(state(), digestIn(loaded.digest))
    const seeds = seedsFor(request.replicas, mode, this.#secret('seeds', request.nonce), request.seedNonce)
    const { replicas, speedTarget = 0 } = request
    const sampling = samplingOf(request, form)
    const priced = { modelMegaParams: model.entry.megaParams, ...size, replicas, speedTarget, task, sampling }
    const { hold } = priceOf(genesis.prices, priced)
    const maxBudget = request.maxBudget ?? hold
    if (hold > maxBudget) throw new FabricError('CF_JOB_OVER_BUDGET', { hold, maxBudget })
    const intent: Intent = {
      ...priced,
      ...{ payloadCommitment: payloadCommitment(payload), seedsCommitment: seedsCommitmentOf(seeds) },
      stop,
      modelDigest: digestIn(loaded.digest),
      templateDigest: digestIn(loaded.templateDigest),
      // Vectors are shown after the verdict: there is nothing to stream before it.
      verify: task === 'embedding' ? 'before' : request.verify,
      ...{ region: request.region ?? genesis.region, maxBudget, nonce },
      expiresMs: BigInt(clock.nowMs() + INTENT_LIFETIME_MS),
    }
    const fault = intentFault(intent)
    if (fault !== undefined) throw new FabricError('CF_JOB_INVALID', { field: fault })
    return { intent, inputs: jobInputsCodec.encode({ payload, seeds }) }
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

/** @throws CF_MODEL_LOAD_FAILED when the engine reports something that is no digest */
function digestIn(hex: string): Digest {
  const digest = parseDigest(hex)
  if (digest === undefined) throw new FabricError('CF_MODEL_LOAD_FAILED', { field: 'digest' })
  return digest
}
