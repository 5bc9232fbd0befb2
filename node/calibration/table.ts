/** Makes the table of a model from its honest trials. */
import { encodeWire } from '../../core/codec/canonical.ts'
import { FabricError } from '../../core/errors.ts'
import { parseDigest } from '../../core/ids.ts'
import { invariant } from '../../core/invariant.ts'
import {
  type PolicyRow,
  type PolicyTable,
  policyTableCodec,
  temperatureBucket,
} from '../../core/verification/policy-table.ts'
import { type FitOptions, fitThresholds } from './fit.ts'
import { classPattern, HONEST, isForFit, type Trial } from './trials.ts'

const BUCKETS = [0, 1, 2] as const
/** Fewer outputs fit nothing. */
const GROUP_OUTPUTS_MIN = 8

export type FittedTable = {
  readonly table: PolicyTable
  /** Pairs of engine classes that were measured and found no room, or had too few outputs; `verdictOf` abstains on them. */
  readonly leftOut: readonly string[]
}

/**
 * Fits a row for each pair of engine classes and each bucket of temperature; pairs with most audits first, as many as a table holds.
 *
 * @param engine  id of the engine that this machine runs by itself
 * @throws        FabricError CF_CONFIG_INVALID when there are too few outputs for any row
 */
export function fitTable(digest: string, engine: string, trials: readonly Trial[], options: FitOptions): FittedTable {
  const model = parseDigest(digest)
  invariant(model !== undefined, 'a model file has a digest')
  const leftOut: string[] = []
  let rows: readonly PolicyRow[] = []
  for (const [pair, group] of groupsOf(trials)) {
    const more = rowsOf(group, options)
    const isRoom = more.length > 0 && fits({ model, engine, rows: [...rows, ...more] })
    if (isRoom) rows = [...rows, ...more]
    else leftOut.push(pair)
  }
  if (rows.length === 0)
    throw new FabricError('CF_CONFIG_INVALID', { source: 'flag', key: '--outputs', expected: 'more honest outputs' })
  return { table: { model, engine, rows }, leftOut }
}

/** By pair of classes, those with most trials first. */
function groupsOf(trials: readonly Trial[]): readonly (readonly [string, readonly Trial[]])[] {
  const groups = Map.groupBy(
    trials.filter((trial) => trial.set === HONEST && isForFit(trial)),
    ({ proverEngine, verifierEngine }) => `${classPattern(proverEngine)} by ${classPattern(verifierEngine)}`,
  )
  return [...groups].sort(([a, one], [b, other]) => other.length - one.length || (a < b ? -1 : 1))
}

/** All buckets of a pair, or none: a pair that is judged at one temperature is judged at all. */
function rowsOf(group: readonly Trial[], options: FitOptions): readonly PolicyRow[] {
  const [first] = group
  if (first === undefined) return []
  const [prover, verifier] = [classPattern(first.proverEngine), classPattern(first.verifierEngine)]
  const worstNats = group.reduce((worst, { margins }) => margins.reduce((a, b) => Math.max(a, b), worst), 0)
  const rows = BUCKETS.flatMap((temperature): readonly PolicyRow[] => {
    const mine = group.filter((trial) => temperatureBucket(trial.temperatureMilli) === temperature)
    const outputs = new Set(mine.map(({ index }) => index)).size
    if (outputs < GROUP_OUTPUTS_MIN) return []
    const thresholds = fitThresholds({ margins: mine.map(({ margins }) => margins), outputs, worstNats }, options)
    return [{ prover, verifier, temperature, ...thresholds }]
  })
  return rows.length === BUCKETS.length ? rows : []
}

const ROWS_MAX = 12
const DIGEST_BYTES = 32

/** By its encoding, for one that is too long cannot be encoded as a table. */
function fits({ engine, rows }: PolicyTable): boolean {
  const wire = rows.map(({ suspectMicro, failMicro, ...row }) => [
    ...[row.prover, row.verifier, row.temperature, suspectMicro, failMicro],
    ...[row.worstMicro, row.honestAudits, row.honestTokens],
  ])
  const bytes = encodeWire([1, new Uint8Array(DIGEST_BYTES), engine, wire]).length
  return rows.length <= ROWS_MAX && bytes <= policyTableCodec.bytesMax
}
