/** What a table would have done: to the honest outputs that did not make it, and to every false set. */
import type { PolicyTable } from '../../core/verification/policy-table.ts'
import { TABLE_LENGTHS } from '../../core/verification/policy-table.ts'
import { Prng } from '../simulation/prng.ts'
import { type Rate, rateOf } from './bounds.ts'
import { noiseScaleFor, noisyMargins, type Recorded } from './noise.ts'
import { type Caught, joinedPower, type Verdict, verdictOn, wholePower, windowPower } from './power.ts'
import { HONEST, isForFit, type Trial } from './trials.ts'

export type HonestFigures = {
  readonly outputs: number
  readonly audits: number
  readonly tokens: number
  /** Of single audits. */
  readonly suspected: Rate
  readonly failed: Rate
  /** Of outputs, by the rule of two: both auditors suspect or fail it, one of them fails it. What a dispute would begin with. */
  readonly rejected: Rate
  readonly worstNats: number
  /** Audits in which the auditor would have picked another token somewhere. */
  readonly differing: Rate
  /** Audits of engines that the table has no row for. */
  readonly abstained: number
}

export type PowerAt = Caught & { readonly tokens: number }
export type CheatFigures = {
  readonly set: string
  readonly outputs: number
  readonly whole: Caught
  /** Stretches of one output. */
  readonly windows: readonly PowerAt[]
  /** Outputs of one worker together, by bootstrap. */
  readonly joined: readonly PowerAt[]
  /** Whole outputs, by temperature in thousandths. */
  readonly byTemperature: readonly (Caught & { readonly temperatureMilli: number })[]
  readonly meanNats: number
}

const WINDOWS = [16, 32, ...TABLE_LENGTHS] as const
const JOINED = [...TABLE_LENGTHS, 1_024, 2_048, 4_096] as const
export const JOINED_DRAWS = 3_000
/** Edits are in one place: a stretch without it is honest. */
const ONLY_WHOLE: ReadonlySet<string> = new Set(['one token', 'early stop'])

export function honestFigures(table: PolicyTable, trials: readonly Trial[]): HonestFigures {
  const all = trials.map((trial) => ({ trial, verdict: verdictOn(table, trial, trial.margins) }))
  const judged = all.filter(({ verdict }) => verdict !== 'abstain')
  const count = (verdict: Verdict): number => judged.filter((one) => one.verdict === verdict).length
  const byOutput = [...Map.groupBy(judged, ({ trial }) => trial.index).values()]
  const isRejected = (audits: typeof judged): boolean =>
    audits.filter(({ verdict }) => verdict !== 'pass').length >= 2 && audits.some(({ verdict }) => verdict === 'fail')
  const differing = judged.filter(({ trial }) => trial.margins.some((margin) => margin > 0)).length
  return {
    ...{ outputs: byOutput.length, audits: judged.length, abstained: all.length - judged.length },
    tokens: judged.reduce((sum, { trial }) => sum + trial.margins.length, 0),
    ...{ suspected: rateOf(count('suspect'), judged.length), failed: rateOf(count('fail'), judged.length) },
    rejected: rateOf(byOutput.filter(isRejected).length, byOutput.length),
    worstNats: judged.reduce((worst, { trial }) => trial.margins.reduce((a, b) => Math.max(a, b), worst), 0),
    differing: rateOf(differing, judged.length),
  }
}

export function cheatFigures(table: PolicyTable, set: string, trials: readonly Trial[], prng: Prng): CheatFigures {
  const isWhole = ONLY_WHOLE.has(set)
  const temperatures = [...new Set(trials.map(({ temperatureMilli }) => temperatureMilli))].sort((a, b) => a - b)
  const tokens = trials.reduce((sum, { margins }) => sum + margins.length, 0)
  const nats = trials.reduce((sum, { margins }) => margins.reduce((a, b) => a + Math.min(b, 3), sum), 0)
  return {
    ...{ set, outputs: trials.length, whole: wholePower(table, trials), meanNats: nats / Math.max(1, tokens) },
    windows: isWhole
      ? []
      : WINDOWS.map((length) => ({ tokens: length, ...windowPower(table, trials, length) })).filter(hasRuns),
    joined: isWhole ? [] : JOINED.map((length) => ({ tokens: length, ...joinedAt(table, trials, length, prng) })),
    byTemperature: temperatures.map((temperatureMilli) => ({
      temperatureMilli,
      ...wholePower(
        table,
        trials.filter((trial) => trial.temperatureMilli === temperatureMilli),
      ),
    })),
  }
}

function hasRuns({ caught }: PowerAt): boolean {
  return caught.runs > 0
}

/** A third of the draws for each temperature, which a worker's jobs are judged by apart. */
function joinedAt(table: PolicyTable, trials: readonly Trial[], length: number, prng: Prng): Caught {
  const groups = [...Map.groupBy(trials, ({ temperatureMilli }) => temperatureMilli).values()]
  const draws = Math.floor(JOINED_DRAWS / Math.max(1, groups.length))
  const all = groups.map((group) => joinedPower(table, group, length, draws, prng))
  const sum = (pick: (caught: Caught) => number): number => all.reduce((total, caught) => total + pick(caught), 0)
  const runs = sum(({ caught }) => caught.runs)
  return {
    caught: rateOf(
      sum(({ caught }) => caught.events),
      runs,
    ),
    failed: rateOf(
      sum(({ failed }) => failed.events),
      runs,
    ),
    abstained: sum(({ abstained }) => abstained),
  }
}

export type NoiseFigures = CheatFigures & { readonly divergenceNats: number; readonly scaleNats: number }

/** Mean divergences that quantisation is known by: q8_0, q6_K and q4_K_M of Llama 3 8B against f16 (llama.cpp's perplexity README). */
export const NOISE_NATS = [0.0014, 0.0055, 0.03] as const
/** Positions that the scale is solved on. */
const SOLVED_POSITIONS_MAX = 4_000

type WithLogits = Trial & { readonly recorded: readonly Recorded[] }

/** Power against noise of a known size, on the recorded logits of honest outputs at T > 0 and at 0. */
export function noiseFigures(
  table: PolicyTable,
  trials: readonly Trial[],
  divergenceNats: number,
  prng: Prng,
): NoiseFigures | undefined {
  const recorded = trials.filter((trial): trial is WithLogits => trial.recorded !== undefined)
  const positions = recorded.flatMap((trial) => trial.recorded)
  if (positions.length === 0) return undefined
  const stride = Math.ceil(positions.length / SOLVED_POSITIONS_MAX)
  const some = positions.filter((_, place) => place % stride === 0)
  const scaleNats = noiseScaleFor(some, divergenceNats, prng)
  const noisy = recorded.map((trial) => ({
    ...trial,
    margins: noisyMargins(trial.recorded, trial.claim, scaleNats, prng),
  }))
  const set = `noise of ${divergenceNats} nats`
  return { ...cheatFigures(table, set, noisy, prng), divergenceNats, scaleNats }
}

export type Assessment = {
  readonly fitted: HonestFigures
  /** The half that did not make the table. */
  readonly held: HonestFigures
  readonly cheats: readonly CheatFigures[]
  readonly noise: readonly NoiseFigures[]
}

export function assess(table: PolicyTable, trials: readonly Trial[], seed: number): Assessment {
  const prng = new Prng(seed)
  const honest = trials.filter(({ set }) => set === HONEST)
  const sets = [...new Set(trials.map(({ set }) => set))].filter((set) => set !== HONEST).sort()
  const held = honest.filter((trial) => !isForFit(trial))
  return {
    fitted: honestFigures(table, honest.filter(isForFit)),
    held: honestFigures(table, held),
    cheats: sets.map((set) =>
      cheatFigures(
        table,
        set,
        trials.filter((trial) => trial.set === set),
        prng,
      ),
    ),
    noise: NOISE_NATS.flatMap((nats) => noiseFigures(table, honest, nats, prng) ?? []),
  }
}
