/**
 * What a job keeps out of the log: its words and its seeds, and what of them is told to whom. The intent binds both by salted hashes.
 *
 * Why each replica has a seed commitment of its own: in some jobs every replica draws its tokens from another seed. Nobody but the
 * client and its edge knows in which, so a worker that hands in another's output has, now and then, tokens that its own seed cannot give.
 *
 * @see docs/PROTOCOL.md#seeds
 */
import { domainHash } from '#core/hash'
import { toHex } from '../codec/bytes.ts'
import { type BodyOf, bytes, bytesMax, defineBody, digest, list, record } from '../codec/schema.ts'
import { type Digest, digestBytes, digestOf } from '../ids.ts'
import { LIMITS } from '../limits.ts'
import { accept, reject, type Validation } from '../validation.ts'
import { isAuditable } from '../verification/replayable.ts'
import { type Intent, isPayloadOf, type Payload, payloadCodec, payloadCommitment } from './intent.ts'

/** Seeds and commitments of all replicas, and lengths. */
const SEEDS_BYTES_MAX = 1_024

/** What a client hands to its edge beside the signed intent; seeds in order of replica. */
export const jobInputsCodec = defineBody(
  'job-inputs',
  {
    payload: bytesMax(LIMITS.payloadBytesMax),
    /** Nonce: what the seed is made of. Salt: keeps it hidden whether two nonces are equal. */
    seeds: list(record({ nonce: bytes(32), salt: bytes(32) }), LIMITS.replicaCountMax),
  },
  LIMITS.payloadBytesMax + SEEDS_BYTES_MAX,
)
export type JobInputs = BodyOf<typeof jobInputsCodec>
export type Seed = JobInputs['seeds'][number]

/** What the worker of one replica is told, and whoever repeats its work: the words, its own seed, and the other replicas' commitments. */
export const replicaInputsCodec = defineBody(
  'replica-inputs',
  {
    payload: bytesMax(LIMITS.payloadBytesMax),
    nonce: bytes(32),
    salt: bytes(32),
    /** Of all replicas, in their order: together they are what the intent binds. */
    commitments: list(digest(), LIMITS.replicaCountMax),
  },
  jobInputsCodec.bytesMax,
)

/** What a generation needs that is not in its intent. */
export type ReplicaInputs = { readonly payload: Payload; readonly seedNonce: Uint8Array }

/**
 * `shared`: honest outputs may be equal, and equal ones vouch for each other. `split`: a copied output has tokens that its worker's own
 * seed cannot give. `hidden`: a coin that only client and edge know says which of the two.
 */
export const SEED_MODES = ['hidden', 'shared', 'split'] as const
export type SeedMode = (typeof SEED_MODES)[number]

/** In order of replica. */
export type OpenInputs = { readonly payload: Payload; readonly seeds: readonly Seed[] }

export function seedCommitment(replica: number, { nonce, salt }: Seed): Digest {
  return digestOf(domainHash('seed-commitment', Uint8Array.of(replica), nonce, salt))
}

/** What an intent carries of its seeds. @param commitments  of all replicas, in their order */
export function seedsCommitment(commitments: readonly Digest[]): Digest {
  return digestOf(domainHash('seed-commitments', ...commitments.map(digestBytes)))
}

/** @param seeds  in order of replica */
export function seedsCommitmentOf(seeds: readonly Seed[]): Digest {
  return seedsCommitment(commitmentsOf(seeds))
}

function commitmentsOf(seeds: readonly Seed[]): readonly Digest[] {
  return seeds.map((one, replica) => seedCommitment(replica, one))
}

/** Whether these are the seeds that the client signed for, one a replica. */
export function areSeedsOf(
  { replicas, seedsCommitment: signed }: Pick<Intent, 'replicas' | 'seedsCommitment'>,
  seeds: readonly Seed[],
): boolean {
  return seeds.length === replicas && seedsCommitmentOf(seeds) === signed
}

/** Opens what a client handed over. */
export function openJobInputs(intent: Intent, encoded: Uint8Array): Validation<OpenInputs> {
  const inputs = jobInputsCodec.decode(encoded)
  if (inputs.action !== 'accept') return inputs
  const { payload, seeds } = inputs.value
  if (!areSeedsOf(intent, seeds)) return reject('commitment_mismatch', 'seeds')
  const words = openPayload(intent, payload)
  return words.action === 'accept' ? accept({ payload: words.value, seeds }) : words
}

/** Opens what a worker was told of its replica, or an auditor or referee of another's. */
export function openReplicaInputs(intent: Intent, replica: number, encoded: Uint8Array): Validation<ReplicaInputs> {
  const inputs = replicaInputsCodec.decode(encoded)
  if (inputs.action !== 'accept') return inputs
  const { payload, commitments, nonce, salt } = inputs.value
  const isSigned = commitments.length === intent.replicas && seedsCommitment(commitments) === intent.seedsCommitment
  if (!isSigned || commitments[replica] !== seedCommitment(replica, { nonce, salt }))
    return reject('commitment_mismatch', 'seeds')
  const words = openPayload(intent, payload)
  return words.action === 'accept' ? accept({ payload: words.value, seedNonce: nonce }) : words
}

function openPayload(intent: Intent, encoded: Uint8Array): Validation<Payload> {
  const payload = payloadCodec.decode(encoded)
  if (payload.action !== 'accept') return payload
  const isOurs = payloadCommitment(encoded) === intent.payloadCommitment && isPayloadOf(intent, payload.value)
  return isOurs ? payload : reject('commitment_mismatch', 'payload')
}

/**
 * Takes from a job's inputs what one replica may know.
 *
 * @param encoded  a `job-inputs` body; anything else, or nothing that is kept any more, gives empty bytes, which nobody accepts
 */
export function replicaInputsOf(encoded: Uint8Array | undefined, replica: number): Uint8Array {
  const inputs = jobInputsCodec.decode(encoded ?? new Uint8Array())
  const own = inputs.action === 'accept' ? inputs.value.seeds[replica] : undefined
  if (inputs.action !== 'accept' || own === undefined) return new Uint8Array()
  const { payload, seeds } = inputs.value
  return replicaInputsCodec.encode({ payload, ...own, commitments: commitmentsOf(seeds) })
}

/** @param encoded  a `job-inputs` body; @returns none where it is not kept any more */
export function seedsIn(encoded: Uint8Array | undefined): readonly Seed[] {
  const inputs = jobInputsCodec.decode(encoded ?? new Uint8Array())
  return inputs.action === 'accept' ? inputs.value.seeds : []
}

/**
 * One name a replica: equal names, and only those, mean that honest replicas may draw equal tokens. At temperature 0 nothing is drawn.
 *
 * @param seeds  in order of replica
 */
export function seedNames(intent: Pick<Intent, 'task' | 'sampling'>, seeds: readonly Seed[]): readonly string[] {
  const matters = isAuditable(intent) && intent.sampling.temperatureMilli > 0
  return seeds.map(({ nonce }) => (matters ? toHex(nonce) : ''))
}

/** Whether honest replicas are expected to say different things. */
export function isSplit(intent: Pick<Intent, 'task' | 'sampling'>, seeds: readonly Seed[]): boolean {
  return new Set(seedNames(intent, seeds)).size > 1
}
