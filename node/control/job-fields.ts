/** What the OpenAI routes and the p2p route share of a job request: model, replicas, nonce. */
import { createHash } from 'node:crypto'
import { parseRegion } from '../../core/ids.ts'
import { LIMITS } from '../../core/limits.ts'
import { SEED_MODES } from '../../core/log/inputs.ts'
import type { JobInput, JobRequest } from '../runtime/app.ts'
import { CONTROL_LIMITS } from './bounds.ts'
import { credits, type Fields, integer, oneOf, optional, parsed, required, text, unsigned64 } from './fields.ts'
import { badRequest, unsupported } from './problem.ts'

export const FABRIC_FIELDS = new Set(['replicas', 'seeds', 'speed', 'verify', 'max_budget', 'region', 'nonce'])

export function readModel(fields: Fields): string {
  return required(fields, 'model', text(CONTROL_LIMITS.modelIdCharsMax))
}

/** Nothing is drawn: the protocol wants the neutral sampler. */
export const EMBEDDING_SAMPLING = { temperatureMilli: 0, topK: 1 } as const

export type FabricOptions = Pick<
  JobRequest,
  'replicas' | 'seeds' | 'speedTarget' | 'verify' | 'maxBudget' | 'region' | 'nonce'
>

/**
 * Replicas, their seeds, what is paid for speed, verification, budget, region and nonce.
 *
 * Why the nonce may come from `Idempotency-Key`: the log admits one intent per user and nonce for ever, so a retry of the same key cannot
 * be charged twice, whichever edge it reaches.
 *
 * @param onlyVerify  the one mode that the task knows
 */
export function readFabricOptions(
  fields: Fields,
  idempotencyKey: string | undefined,
  path: string,
  onlyVerify?: 'before',
): FabricOptions {
  const maxBudget = optional(fields, 'max_budget', credits, path)
  const region = optional(fields, 'region', parsed(parseRegion, 'a region name'), path)
  const given = optional(fields, 'nonce', unsigned64, path)
  if (given !== undefined && idempotencyKey !== undefined)
    throw badRequest(`${path}nonce`, 'to be absent beside Idempotency-Key')
  const verify = optional(fields, 'verify', oneOf('after', 'before'), path)
  if (onlyVerify !== undefined && verify !== undefined && verify !== onlyVerify)
    throw unsupported(`${path}verify`, onlyVerify)
  const seeds = optional(fields, 'seeds', oneOf(...SEED_MODES), path)
  const speedTarget = optional(fields, 'speed', integer(1, CONTROL_LIMITS.speedMax), path)
  const nonce = given ?? (idempotencyKey === undefined ? undefined : nonceOf(idempotencyKey))
  return {
    replicas: optional(fields, 'replicas', integer(1, LIMITS.replicaCountMax), path) ?? 1,
    verify: verify ?? onlyVerify ?? 'after',
    ...(seeds === undefined ? {} : { seeds }),
    ...(speedTarget === undefined ? {} : { speedTarget }),
    ...(maxBudget === undefined ? {} : { maxBudget }),
    ...(region === undefined ? {} : { region }),
    ...(nonce === undefined ? {} : { nonce }),
  }
}

/** First 8 bytes of the key's SHA-256, big-endian. */
export function nonceOf(idempotencyKey: string): bigint {
  return createHash('sha256').update(idempotencyKey).digest().readBigUInt64BE(0)
}

/**
 * The nonce of one of the jobs that a request starts: the first has the request's own, the others follow from it and their place, so that
 * a repeated request is the same jobs.
 */
export function choiceNonce(nonce: bigint, index: number): bigint {
  return index === 0 ? nonce : nonceOf(`${nonce}/${index}`)
}

/** The same job once for each input, each with a nonce of its own when the request has one. */
export function jobsOf(inputs: readonly JobInput[], job: Omit<JobRequest, 'input'>): readonly JobRequest[] {
  return inputs.map((input, index) =>
    job.nonce === undefined ? { ...job, input } : { ...job, input, nonce: choiceNonce(job.nonce, index) },
  )
}
