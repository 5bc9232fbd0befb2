import { toHex } from '../../../core/codec/bytes.ts'
import {
  isSplit,
  jobInputsCodec,
  replicaInputsCodec,
  replicaInputsOf,
  type Seed,
  seedCommitment,
  seedsCommitmentOf,
} from '../../../core/log/inputs.ts'
import {
  type Intent,
  intentCodec,
  PLAIN,
  payloadCodec,
  payloadCommitment,
  plainMessage,
} from '../../../core/log/intent.ts'
import type { RejectReason } from '../../../core/validation.ts'
import { intentOfAlice } from '../../support/log-swarm.ts'
import { missing } from '../../support/missing.ts'
import { sharedSeeds, splitSeeds } from '../../support/seeds.ts'
import type { VectorCase, VectorFile } from '../vector.ts'

const REPLICAS = 3
const PAYLOAD = payloadOf('What is the weather?')
const OTHER_PAYLOAD = payloadOf('Buy this.')
const SHARED = sharedSeeds(REPLICAS)
const SPLIT = splitSeeds(REPLICAS)

export function inputsVectors(): VectorFile {
  return {
    name: 'inputs',
    describe:
      'Open job inputs under an intent and give the seed commitments, whether the seeds are split, and what each replica is told; with a replica, open what it was told and give its seed nonce.',
    cases: [...jobCases(), ...replicaCases()],
  }
}

function payloadOf(words: string): Uint8Array {
  const salt = new Uint8Array(32).fill(9)
  return payloadCodec.encode({ ...PLAIN, salt, messages: [plainMessage('user', words)], texts: [], logprobs: 0 })
}

function intentOf(seeds: readonly Seed[], parts: Partial<Intent> = {}): Intent {
  const bound = { payloadCommitment: payloadCommitment(PAYLOAD), seedsCommitment: seedsCommitmentOf(seeds) }
  return intentOfAlice({ replicas: seeds.length, ...bound, ...parts })
}

function jobCases(): VectorCase[] {
  const cold = { kind: 'gumbel-v1', temperatureMilli: 0, topK: 1 } as const
  const neutral = { topPMilli: 1_000, frequencyPenaltyMilli: 0, presencePenaltyMilli: 0 }
  const good: readonly (readonly [string, Intent, readonly Seed[]])[] = [
    ['one seed for all', intentOf(SHARED), SHARED],
    ['a seed for each', intentOf(SPLIT), SPLIT],
    ['a seed for each where nothing is drawn', intentOf(SPLIT, { sampling: { ...cold, ...neutral } }), SPLIT],
    ['one replica', intentOf(SHARED.slice(0, 1)), SHARED.slice(0, 1)],
  ]
  const intent = intentOf(SPLIT)
  const swapped = [SPLIT[1], SPLIT[0], SPLIT[2]].map((seed) => seed ?? missing())
  const whole = jobInputsCodec.encode({ payload: PAYLOAD, seeds: SPLIT })
  const bad: readonly (readonly [string, RejectReason, Uint8Array])[] = [
    ['seeds of another job', 'commitment_mismatch', jobInputsCodec.encode({ payload: PAYLOAD, seeds: SHARED })],
    ['two seeds changed places', 'commitment_mismatch', jobInputsCodec.encode({ payload: PAYLOAD, seeds: swapped })],
    ['a seed less', 'commitment_mismatch', jobInputsCodec.encode({ payload: PAYLOAD, seeds: SPLIT.slice(1) })],
    ['other words', 'commitment_mismatch', jobInputsCodec.encode({ payload: OTHER_PAYLOAD, seeds: SPLIT })],
    ['words that are none', 'bytes_truncated', jobInputsCodec.encode({ payload: new Uint8Array(), seeds: SPLIT })],
    ['inputs cut off', 'bytes_truncated', whole.subarray(0, -1)],
    ['inputs with a byte more', 'bytes_trailing', Uint8Array.from([...whole, 0])],
  ]
  return [
    ...good.map(([name, signed, seeds]): VectorCase => {
      const inputs = jobInputsCodec.encode({ payload: PAYLOAD, seeds })
      const expect = {
        commitments: seeds.map((seed, replica) => seedCommitment(replica, seed)),
        seedsCommitment: signed.seedsCommitment,
        split: isSplit(signed, seeds),
        replicaInputs: seeds.map((_, replica) => toHex(replicaInputsOf(inputs, replica))),
      }
      return { name, accept: true, input: { intent: hex(signed), inputs: toHex(inputs) }, expect }
    }),
    ...bad.map(([name, reason, inputs]): VectorCase => {
      return { name, accept: false, input: { intent: hex(intent), inputs: toHex(inputs) }, expect: { reason } }
    }),
  ]
}

function hex(intent: Intent): string {
  return toHex(intentCodec.encode(intent))
}

function replicaCases(): VectorCase[] {
  const intent = hex(intentOf(SPLIT))
  const job = jobInputsCodec.encode({ payload: PAYLOAD, seeds: SPLIT })
  const commitments = SPLIT.map((seed, replica) => seedCommitment(replica, seed))
  const own = { payload: PAYLOAD, ...(SPLIT[1] ?? missing()), commitments }
  const bad: readonly (readonly [string, Uint8Array])[] = [
    ['another replica\u2019s inputs', replicaInputsOf(job, 0)],
    ['another salt', replicaInputsCodec.encode({ ...own, salt: new Uint8Array(32) })],
    ['another nonce', replicaInputsCodec.encode({ ...own, nonce: new Uint8Array(32) })],
    ['a commitment less', replicaInputsCodec.encode({ ...own, commitments: commitments.slice(0, 2) })],
    [
      'commitments of its own',
      replicaInputsCodec.encode({ ...own, commitments: commitments.with(0, commitments[1] ?? missing()) }),
    ],
    ['other words for a replica', replicaInputsCodec.encode({ ...own, payload: OTHER_PAYLOAD })],
  ]
  const good: VectorCase = {
    name: 'what the second replica is told',
    accept: true,
    input: { intent, replica: 1, inputs: toHex(replicaInputsOf(job, 1)) },
    expect: { seedNonce: toHex((SPLIT[1] ?? missing()).nonce) },
  }
  const refused = bad.map(([name, inputs]): VectorCase => {
    return {
      name,
      accept: false,
      input: { intent, replica: 1, inputs: toHex(inputs) },
      expect: { reason: 'commitment_mismatch' },
    }
  })
  return [good, ...refused]
}
