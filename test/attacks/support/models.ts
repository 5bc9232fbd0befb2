/** Models that claim to be others, and the audit of what they say. */
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { type Digest, parseDigest } from '../../../core/ids.ts'
import { type AuditedPosition, type AuditStatistics, statisticsOf } from '../../../core/verification/audit.ts'
import { ANY_CLASS, type PolicyTable, verdictOf } from '../../../core/verification/policy-table.ts'
import type { Backend, LoadedModel, LoadRequest, SamplingSpec } from '../../../models/backend.ts'
import { CFAB_TINY } from '../../../models/catalogue.ts'
import { fileDigest } from '../../../models/model-file.ts'
import { readPolicyFile } from '../../../node/calibration/policy-file.ts'
import { answerOf, NEVER } from '../../support/ask-backend.ts'
import { createHost, TINY_LOAD } from '../../support/host.ts'
import { missing } from '../../support/missing.ts'

export const DATA = join(CFAB_TINY.path, '..')
export const SMALL = join(DATA, 'cfab-tiny-small-f16.gguf')
export const Q8 = join(DATA, 'cfab-tiny-q8_0.gguf')
export const Q4 = join(DATA, 'cfab-tiny-q4_0.gguf')
export const WARM: SamplingSpec & { kind: 'gumbel-v1' } = { kind: 'gumbel-v1', temperatureMilli: 900, topK: 40 }

/** The model writes tales; each of these begins one. */
const OPENINGS: readonly string[] = [
  'Once upon a time',
  'One day a little girl named Mia',
  'In the morning the old bear',
  'There was a boy who',
  'The cat',
  'Tom and Sue went',
  'A big storm',
  'Every night',
]

export type Machine = { readonly backend: Backend; readonly model: LoadedModel }

/** A compute host of its own with this file in it. */
export async function machineWith(path: string, more: Partial<LoadRequest> = {}): Promise<Machine> {
  const { backend } = createHost()
  const model = await backend.load({ ...TINY_LOAD, path, digest: await fileDigest(path), ...more })
  return { backend, model }
}

export type Job = {
  readonly promptIds: Uint32Array
  readonly sampling: SamplingSpec & { kind: 'gumbel-v1' }
  readonly seed: Uint8Array
  readonly maxTokens: number
}
export type Output = {
  readonly job: Job
  readonly ids: readonly number[]
  readonly text: string
  readonly finish: string
}

export const seedOf = (number: number): Uint8Array =>
  Uint8Array.from({ length: 32 }, (_, place) => (number >> (8 * (place % 4))) & 0xff)

/** Tales to go on with, each with another opening or seed. */
export async function jobsFor(
  { backend }: Machine,
  count: number,
  { sampling = WARM, maxTokens = 64, openings = OPENINGS }: Partial<Job> & { openings?: readonly string[] } = {},
): Promise<readonly Job[]> {
  const prompts = await Promise.all(openings.map((opening) => promptOf(backend, opening)))
  return Array.from({ length: count }, (_, place) => ({
    promptIds: prompts[place % prompts.length] ?? missing(),
    sampling,
    seed: seedOf(1_000 + place),
    maxTokens,
  }))
}

/** Of plain text with the start token that a rendered prompt has. */
export async function promptOf(backend: Backend, text: string): Promise<Uint32Array> {
  return Uint32Array.from([...(await backend.tokenize('', true)), ...(await backend.tokenize(text, false))])
}

export async function say(
  { backend }: Machine,
  job: Job,
  more: { readonly prefixIds?: Uint32Array } = {},
): Promise<Output> {
  const { ids, text, finish } = await answerOf(backend.generate({ ...job, stop: [], ...more }, NEVER))
  return { job, ids, text, finish }
}

export function sayAll(machine: Machine, jobs: readonly Job[]): Promise<readonly Output[]> {
  return inTurns(jobs, (job) => say(machine, job))
}

export type Audit = {
  readonly positions: readonly AuditedPosition[]
  readonly statistics: AuditStatistics
  readonly verdict: 'pass' | 'suspect' | 'fail' | 'abstain'
}

/**
 * What an auditor with the named model finds.
 *
 * @param first  judges only so many positions
 */
export async function auditOf(
  verifier: Machine,
  { job, ids }: Pick<Output, 'job' | 'ids'>,
  { first = ids.length, prover = verifier }: { readonly first?: number; readonly prover?: Machine } = {},
): Promise<Audit> {
  const { promptIds, sampling, seed } = job
  const outputIds = Uint32Array.from(ids.slice(0, first))
  const chunks = verifier.backend.schedule(promptIds.length)
  const positions = await verifier.backend.audit({ promptIds, sampling, seed, outputIds, chunks }, NEVER)
  const statistics = statisticsOf(positions, outputIds)
  const verdict = verdictOf(tableFor(verifier.model.digest), statistics, {
    proverEngine: prover.model.engineId,
    verifierEngine: verifier.model.engineId,
    temperatureMilli: sampling.temperatureMilli,
  })
  return { positions, statistics, verdict }
}

/** As many calls at once as a host takes without refusing one. */
const AT_ONCE = 8

export async function inTurns<In, Out>(all: readonly In[], work: (one: In) => Promise<Out>): Promise<readonly Out[]> {
  const done: Out[] = []
  for (let start = 0; start < all.length; start += AT_ONCE)
    done.push(...(await Promise.all(all.slice(start, start + AT_ONCE).map(work))))
  return done
}

export function auditAll(
  verifier: Machine,
  outputs: readonly Pick<Output, 'job' | 'ids'>[],
  options: { readonly first?: number; readonly prover?: Machine } = {},
): Promise<readonly Audit[]> {
  return inTurns(outputs, (output) => auditOf(verifier, output, options))
}

/** Starting values in the place of a calibration: 1 nat for one token, means that fall with the length. */
const STARTING = {
  suspectMicro: [8_000, 6_000, 4_000, 3_000],
  failMicro: [12_000, 9_000, 6_000, 4_500],
  worstMicro: 1_000_000,
  honestAudits: 0,
  honestTokens: 0,
}

/** The shipped table of a model, else one of starting values. */
export function tableFor(modelDigest: string): PolicyTable {
  const model = parseDigest(modelDigest) ?? missing('a digest')
  return shippedTable(model) ?? startingTable(model)
}

function startingTable(model: Digest): PolicyTable {
  const rows = [0, 1, 2].map((temperature) => ({ prover: ANY_CLASS, verifier: ANY_CLASS, temperature, ...STARTING }))
  return { model, engine: 'starting values', rows }
}

const shipped = await Promise.all(
  readdirSync(DATA)
    .filter((file) => file.endsWith('.policy'))
    .map(async (file) => (await readPolicyFile(join(DATA, file))).table),
)

export function shippedTable(model: Digest): PolicyTable | undefined {
  return shipped.find((table) => table.model === model)
}

/** In nats, for people. */
export function nats(micro: number): string {
  return (micro / 1e6).toPrecision(2)
}

export function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[values.length >> 1] ?? 0
}

export function count<T>(all: readonly T[], wanted: (one: T) => boolean): number {
  return all.filter(wanted).length
}
