/** `POST /api/v1/p2p/simulate` parsed at the door, and the same wish from a command line. Fractions are numbers from 0 to 1. */
import { LIMITS } from '../../core/limits.ts'
import { SIMULATION_LIMITS as BOUNDS, PEER_KINDS, type SimulationRequest } from '../runtime/simulation.ts'
import { credits, type Fields, integer, number, object, oneOf, optional, refuseUnknown } from './fields.ts'
import { badRequest } from './problem.ts'

const FIELDS = new Set([
  'peers',
  'validators',
  'jobs',
  'users',
  'replicas',
  'verify',
  'seed',
  'faults',
  'latency',
  'arrivals_per_second',
  'model',
  'user_budget',
  'detail',
  'limit',
])
const FAULT_KINDS = PEER_KINDS.filter((kind) => kind !== 'honest')
const FAULTS = new Set<string>([...FAULT_KINDS, 'byzantine_validators', 'loss'])
const LATENCY = new Set(['mean_ms', 'jitter_ms'])
const MODEL = new Set(['mega_params', 'prompt_tokens', 'max_tokens'])
const NOTHING: Fields = {}
const DEFAULTS = {
  peers: 100,
  validators: 4,
  jobs: 100,
  users: 4,
  replicas: 3,
  arrivalsPerSecond: 20,
  meanMs: 40,
  jitterMs: 20,
  megaParams: 7_000,
  promptTokens: 32,
  maxTokens: 64,
  /** A thousand credits, as in a new local swarm. */
  userBudget: 1_000_000_000n,
} as const
const ARRIVALS_MIN = 0.01
const fraction = number(0, 1)

/** @throws CF_CONTROL_BAD_REQUEST with `param` */
export function parseSimulationRequest(body: unknown): SimulationRequest {
  const fields = body === undefined || body === null ? NOTHING : object(body, 'body')
  refuseUnknown(fields, FIELDS)
  const seed = optional(fields, 'seed', integer(0, BOUNDS.seedMax))
  const validators =
    optional(fields, 'validators', integer(BOUNDS.validatorCountMin, BOUNDS.validatorCountMax)) ?? DEFAULTS.validators
  return {
    peers: optional(fields, 'peers', integer(BOUNDS.peerCountMin, BOUNDS.peerCountMax)) ?? DEFAULTS.peers,
    validators,
    jobs: optional(fields, 'jobs', integer(1, BOUNDS.jobCountMax)) ?? DEFAULTS.jobs,
    users: optional(fields, 'users', integer(1, BOUNDS.userCountMax)) ?? DEFAULTS.users,
    replicas: optional(fields, 'replicas', integer(1, LIMITS.replicaCountMax)) ?? DEFAULTS.replicas,
    verify: optional(fields, 'verify', oneOf('after', 'before')) ?? 'after',
    ...(seed === undefined ? {} : { seed }),
    ...readFaults(optional(fields, 'faults', object) ?? NOTHING, validators),
    latency: readLatency(optional(fields, 'latency', object) ?? NOTHING),
    arrivalsPerSecond:
      optional(fields, 'arrivals_per_second', number(ARRIVALS_MIN, BOUNDS.arrivalsPerSecondMax)) ??
      DEFAULTS.arrivalsPerSecond,
    model: readModel(optional(fields, 'model', object) ?? NOTHING),
    userBudget: readBudget(fields),
    detail: optional(fields, 'detail', oneOf('summary', 'jobs')) ?? 'summary',
    limit: optional(fields, 'limit', integer(0, BOUNDS.jobsShownMax)) ?? BOUNDS.jobsShownDefault,
  }
}

function readFaults(
  fields: Fields,
  validators: number,
): Pick<SimulationRequest, 'faults' | 'byzantineValidators' | 'loss'> {
  refuseUnknown(fields, FAULTS, 'faults.')
  const share = (kind: string): number => optional(fields, kind, fraction, 'faults.') ?? 0
  const sum = FAULT_KINDS.reduce((total, kind) => total + share(kind), 0)
  // Tenths do not add up exactly in binary.
  if (sum > 1 + Number.EPSILON * FAULT_KINDS.length)
    throw badRequest('faults', 'fractions of the peers that sum to at most 1')
  return {
    faults: {
      crash: share('crash'),
      liar: share('liar'),
      silent: share('silent'),
      busy: share('busy'),
      slow: share('slow'),
    },
    byzantineValidators: optional(fields, 'byzantine_validators', integer(0, validators), 'faults.') ?? 0,
    loss: share('loss'),
  }
}

function readLatency(fields: Fields): SimulationRequest['latency'] {
  refuseUnknown(fields, LATENCY, 'latency.')
  const meanMs = optional(fields, 'mean_ms', integer(0, BOUNDS.latencyMsMax), 'latency.') ?? DEFAULTS.meanMs
  const jitterMs = optional(fields, 'jitter_ms', integer(0, meanMs), 'latency.') ?? Math.min(DEFAULTS.jitterMs, meanMs)
  return { meanMs, jitterMs }
}

function readModel(fields: Fields): SimulationRequest['model'] {
  refuseUnknown(fields, MODEL, 'model.')
  const read = (name: string, max: number): number | undefined => optional(fields, name, integer(1, max), 'model.')
  return {
    megaParams: read('mega_params', BOUNDS.megaParamsMax) ?? DEFAULTS.megaParams,
    promptTokens: read('prompt_tokens', BOUNDS.promptTokensMax) ?? DEFAULTS.promptTokens,
    maxTokens: read('max_tokens', BOUNDS.outputTokensMax) ?? DEFAULTS.maxTokens,
  }
}

function readBudget(fields: Fields): bigint {
  const budget = optional(fields, 'user_budget', credits) ?? DEFAULTS.userBudget
  if (budget === 0n) throw badRequest('user_budget', 'more than 0')
  return budget
}
