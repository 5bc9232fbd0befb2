/** From the sampling that an intent asks for to the one that a backend runs. */
import type { Payload, Sampling } from '../../core/log/intent.ts'
import type { SamplingSpec } from '../../models/backend.ts'

/**
 * @param seed       32 bytes, the job's; `llama` takes its first four, big-endian
 * @param logitBias  only of `llama`
 */
export function samplingSpec(sampling: Sampling, seed: Uint8Array, logitBias: Payload['logitBias']): SamplingSpec {
  const { temperatureMilli, topK } = sampling
  if (sampling.kind === 'gumbel-v1') return { kind: 'gumbel-v1', temperatureMilli, topK }
  return {
    kind: 'llama',
    temperature: temperatureMilli / 1_000,
    topK,
    topP: sampling.topPMilli / 1_000,
    minP: 0,
    frequencyPenalty: sampling.frequencyPenaltyMilli / 1_000,
    presencePenalty: sampling.presencePenaltyMilli / 1_000,
    seed: new DataView(seed.buffer, seed.byteOffset, seed.length).getUint32(0),
    ...(logitBias.length === 0 ? {} : { logitBias: logitBias.map(({ id, biasMilli }) => [id, biasMilli / 1_000]) }),
  }
}
