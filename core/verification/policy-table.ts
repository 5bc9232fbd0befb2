/**
 * Thresholds of the prefill audit for one model, measured by calibration and never guessed: without a table a model's audits are
 * recorded and judge nobody (shadow mode).
 *
 * @see docs/CALIBRATION.md
 */
import { domainHash } from '#core/hash'
import { type BodyOf, defineBody, digest, list, record, text, u8, u32 } from '../codec/schema.ts'
import { type Digest, digestOf } from '../ids.ts'
import type { AuditStatistics } from './audit.ts'

/** Output lengths in tokens that the means are fitted for; a longer output is judged as the longest. */
export const TABLE_LENGTHS = [64, 128, 256, 512] as const
/** Any class of engine; within other text, any part of its name. */
export const ANY_CLASS = '*'
const ROW_COUNT_MAX = 12
const CLASS_BYTES_MAX = 40
/** With its envelope it fits an entry of the log. */
const TABLE_BYTES_MAX = 800

const thresholds = list(u32(), TABLE_LENGTHS.length)

export const policyTableCodec = defineBody(
  'policy-table',
  {
    model: digest(),
    /** Of the calibration; a model's numbers are another engine's only as far as both were measured. */
    engine: text(96),
    /** The first that fits is used. */
    rows: list(
      record({
        /** Classes of engine as `backendClassOf` gives them; `*` stands for any text in them, as in `cpu-* linux-x64`. */
        prover: text(CLASS_BYTES_MAX),
        verifier: text(CLASS_BYTES_MAX),
        /** 0: T = 0; 1: below 0.75; 2: 0.75 and more. */
        temperature: u8(),
        /** S1 above which an output is suspect, for each of TABLE_LENGTHS, in millionths of a nat. */
        suspectMicro: thresholds,
        /** S1 above which it fails. */
        failMicro: thresholds,
        /** S3 that no honest output has reached. */
        worstMicro: u32(),
        honestAudits: u32(),
        honestTokens: u32(),
      }),
      ROW_COUNT_MAX,
    ),
  },
  TABLE_BYTES_MAX,
)
export type PolicyTable = BodyOf<typeof policyTableCodec>
export type PolicyRow = PolicyTable['rows'][number]

/** Names a table in findings and receipts, whatever the swarm. */
export function policyIdOf(tableBody: Uint8Array): Digest {
  return digestOf(domainHash('policy-table', tableBody))
}

/** Whether every row has a threshold for each length, and none fails what it does not suspect. */
export function isTable({ rows }: PolicyTable): boolean {
  return rows.every(
    ({ suspectMicro, failMicro, temperature }) =>
      temperature <= 2 &&
      suspectMicro.length === TABLE_LENGTHS.length &&
      failMicro.length === TABLE_LENGTHS.length &&
      failMicro.every((fail, place) => fail >= (suspectMicro[place] ?? 0)),
  )
}

/**
 * Honest audits that each row of a published table rests on, at least.
 *
 * Why: a threshold that no honest run has passed is little more than the largest of those that there were, and the next of n + 1 is
 * larger than all before it once in n + 1 times.
 */
export const HONEST_AUDITS_MIN = 150

/** @returns the fewest honest audits behind any row, Infinity without rows */
export function fewestHonestAudits({ rows }: PolicyTable): number {
  return rows.reduce((fewest, { honestAudits }) => Math.min(fewest, honestAudits), Number.POSITIVE_INFINITY)
}

const WARM_MILLI = 750

export function temperatureBucket(temperatureMilli: number): number {
  return temperatureMilli === 0 ? 0 : temperatureMilli < WARM_MILLI ? 1 : 2
}

/** An engine id without its version and digest of files: the kernels, the platform and what was asked of them. */
export function backendClassOf(engineId: string): string {
  const [, , ...parts] = engineId.split(' ')
  return (parts.join(' ') || engineId).slice(0, CLASS_BYTES_MAX)
}

export type Audited = {
  readonly proverEngine: string
  readonly verifierEngine: string
  readonly temperatureMilli: number
}

export function rowFor(table: PolicyTable, audited: Audited): PolicyRow | undefined {
  const [prover, verifier] = [backendClassOf(audited.proverEngine), backendClassOf(audited.verifierEngine)]
  const bucket = temperatureBucket(audited.temperatureMilli)
  return table.rows.find(
    (row) => row.temperature === bucket && matches(row.prover, prover) && matches(row.verifier, verifier),
  )
}

/** At most one `*`; why so few: a table must say which engines were measured, and no more. */
function matches(pattern: string, name: string): boolean {
  const [before = '', after] = pattern.split(ANY_CLASS)
  if (after === undefined) return pattern === name
  return name.length >= before.length + after.length && name.startsWith(before) && name.endsWith(after)
}

/** The statistics that a verdict needs. */
export type Scores = Pick<AuditStatistics, 'positions' | 'meanMicro' | 'worstMicro' | 'outsideCount'>

/**
 * Judges an output by the statistics of its audit.
 *
 * Why a short one is never judged by its mean: few tokens say little, and its largest margin must speak; a worker that cheats on short
 * outputs only is found over many of them (cusum.ts).
 *
 * @returns  `fail`: no honest run was like that; `suspect`: one in a thousand was; `abstain`: the table has no row for these engines
 */
export function verdictOf(
  table: PolicyTable,
  { positions, meanMicro, worstMicro, outsideCount }: Scores,
  audited: Audited,
): 'pass' | 'suspect' | 'fail' | 'abstain' {
  const row = rowFor(table, audited)
  if (row === undefined) return 'abstain'
  if (outsideCount > 0 || worstMicro > row.worstMicro) return 'fail'
  const place = TABLE_LENGTHS.findLastIndex((length) => positions >= length)
  if (place < 0) return 'pass'
  if (meanMicro > (row.failMicro[place] ?? 0)) return 'fail'
  return meanMicro > (row.suspectMicro[place] ?? 0) ? 'suspect' : 'pass'
}
