/** What simulated users ask for: sealed intents, one job each. */
import { sealAs } from '../../core/identity/envelope.ts'
import { type Digest, digestOf, type JobId, type UserId } from '../../core/ids.ts'
import { invariant } from '../../core/invariant.ts'
import { type Seed, seedsCommitmentOf } from '../../core/log/inputs.ts'
import { type Intent, intentCodec, jobIdOf, NEUTRAL } from '../../core/log/intent.ts'
import { MODEL, REGION } from './swarm.ts'
import { nowMs, type World } from './world.ts'

export type Wish = {
  readonly id: JobId
  readonly user: UserId
  readonly intent: Intent
  readonly envelope: Uint8Array
}

const LIFETIME_MS = 600_000
const DIGEST_BYTES = 32

/** All replicas of all jobs share one seed: nothing here depends on which tokens they draw. */
export function seedsOf(replicas: number): readonly Seed[] {
  return Array.from({ length: replicas }, (_, replica) => {
    return { nonce: new Uint8Array(DIGEST_BYTES), salt: new Uint8Array(DIGEST_BYTES).fill(replica) }
  })
}

/** @param number  0-based; users take turns, and no two wishes have the same nonce */
export function makeWish(world: World, number: number): Wish {
  const { swarm, prng, request, recorder } = world
  const { swarmId } = swarm.genesis
  const user = swarm.users[number % swarm.users.length]
  invariant(user !== undefined, 'a simulation has users')
  const { megaParams, promptTokens, maxTokens } = request.model
  const template: Digest = MODEL
  const intent: Intent = {
    ...{ task: 'chat', payloadCommitment: digestOf(prng.bytes(DIGEST_BYTES)), stop: [] },
    seedsCommitment: seedsCommitmentOf(seedsOf(request.replicas)),
    ...{ modelDigest: MODEL, modelMegaParams: megaParams, templateDigest: template },
    sampling: { kind: 'gumbel-v1', temperatureMilli: 700, topK: 40, ...NEUTRAL },
    ...{ promptTokens, maxTokens, replicas: request.replicas, verify: request.verify, region: REGION },
    ...{ maxBudget: request.userBudget, nonce: BigInt(number), expiresMs: BigInt(nowMs(world) + LIFETIME_MS) },
    speedTarget: 0,
  }
  recorder.signatures += 1
  const envelope = sealAs(intentCodec, intent, swarmId, user)
  return { id: jobIdOf(swarmId, intentCodec.encode(intent)), user: user.peer, intent, envelope }
}
