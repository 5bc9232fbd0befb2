import type { RefusalReason } from '../../../core/log/apply.ts'
import { buildEntry } from '../../../core/log/apply.ts'
import { holdBody } from '../../../core/log/bodies.ts'
import { type Intent, NEUTRAL, NO_SAMPLING } from '../../../core/log/intent.ts'
import { EDGE } from '../../support/job-run.ts'
import { ALICE, BOB, LogSwarm, START_MS } from '../../support/log-swarm.ts'
import { acceptedEntry, refusedEntry } from '../log-case.ts'
import type { VectorCase, VectorFile } from '../vector.ts'

export function holdVectors(): VectorFile {
  return {
    name: 'hold',
    describe: 'Apply the entries in order to the genesis, then the entry in question: the hold of an intent.',
    cases: [...acceptedCases(), ...refusedCases()],
  }
}

function holdOf(swarm: LogSwarm, parts: Partial<Intent>, user = ALICE, forwardMs = 0n): Uint8Array {
  return buildEntry(swarm.state, 'hold', swarm.holdBody(parts, user), START_MS + forwardMs).bytes
}

function acceptedCases(): VectorCase[] {
  const intents: readonly (readonly [string, Partial<Intent>])[] = [
    ['three replicas', {}],
    ['one replica of one token', { replicas: 1, promptTokens: 1, maxTokens: 1 }],
    [
      'five replicas of a large model',
      { replicas: 5, modelMegaParams: 70_000, maxTokens: 4_096, maxBudget: 500_000_000n },
    ],
    ['a budget of exactly the price', { maxBudget: 95_834n }],
    ['the longest life', { expiresMs: START_MS + 3_600_000n }],
    ['one millisecond to live', { expiresMs: START_MS + 1n }],
    [
      'an embedding job of 64 texts, priced as as many tokens of output',
      { task: 'embedding', sampling: NO_SAMPLING, verify: 'before', promptTokens: 640, maxTokens: 64 },
    ],
    ['the largest nonce', { nonce: 2n ** 64n - 1n }],
  ]
  return intents.map(([name, parts]) => {
    const swarm = new LogSwarm()
    return acceptedEntry(name, swarm, holdOf(swarm, parts))
  })
}

function refusedCases(): VectorCase[] {
  const refusals: readonly (readonly [string, RefusalReason, Partial<Intent>])[] = [
    ['no replica', 'intent_out_of_bounds', { replicas: 0 }],
    ['six replicas', 'intent_out_of_bounds', { replicas: 6 }],
    ['no token', 'intent_out_of_bounds', { maxTokens: 0 }],
    ['a budget of nothing', 'intent_out_of_bounds', { maxBudget: 0n }],
    [
      'a temperature above 2',
      'intent_out_of_bounds',
      { sampling: { kind: 'gumbel-v1', temperatureMilli: 2_001, topK: 40, ...NEUTRAL } },
    ],
    [
      'an embedding job of 65 texts',
      'intent_out_of_bounds',
      { task: 'embedding', sampling: NO_SAMPLING, verify: 'before', maxTokens: 65 },
    ],
    ['another region', 'region_mismatch', { region: 'elsewhere' }],
    ['an intent that has expired this millisecond', 'intent_expired', { expiresMs: START_MS }],
    ['an intent that lives too long', 'intent_lifetime', { expiresMs: START_MS + 3_600_001n }],
    ['a price of one more than the budget', 'budget_exceeded', { maxBudget: 95_833n }],
  ]
  const fresh = new LogSwarm()
  const used = new LogSwarm()
  used.hold()
  return [
    ...refusals.map(([name, reason, parts]) => refusedEntry(name, reason, fresh, holdOf(fresh, parts))),
    refusedEntry('a user without credit', 'insufficient_credit', fresh, holdOf(fresh, {}, BOB)),
    refusedEntry('the same intent again', 'job_exists', used, holdOf(used, {})),
    refusedEntry('the same intent after its expiry', 'job_exists', used, holdOf(used, {}, ALICE, 60_000n)),
    refusedEntry('another intent with the same nonce', 'nonce_used', used, holdOf(used, { maxTokens: 1 })),
    refusedEntry(
      'a signature that is cut',
      'body_malformed',
      fresh,
      buildEntry(fresh.state, 'hold', holdBody(EDGE.peer, fresh.intent().subarray(0, -1)), START_MS).bytes,
    ),
    refusedEntry(
      'the bare intent, that nobody drives',
      'body_malformed',
      fresh,
      buildEntry(fresh.state, 'hold', fresh.intent(), START_MS).bytes,
    ),
  ]
}
