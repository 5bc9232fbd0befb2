/**
 * Calibrates the audit of a model: runs it honestly in every variant and dishonestly in many ways, fits the table of thresholds on
 * one half of the honest outputs, and tries it on the other half and on the cheats.
 *
 * @see docs/CALIBRATION.md
 */
import type { PolicyTable } from '../../core/verification/policy-table.ts'
import { Prng } from '../simulation/prng.ts'
import { type Assessment, assess } from './assess.ts'
import type { ModelFile } from './engine.ts'
import { type RunOptions, type RunPorts, type RunResult, runTrials } from './run.ts'
import { fitTable } from './table.ts'
import type { Trial } from './trials.ts'

export type CalibrateOptions = RunOptions & {
  /** Of the bootstrap, for each row and length. */
  readonly draws: number
}

export type Calibration = Omit<RunResult, 'trials'> & {
  readonly model: ModelFile
  readonly table: PolicyTable
  /** Pairs of engine classes without rows. */
  readonly leftOut: readonly string[]
  readonly assessment: Assessment
  readonly trials: readonly Trial[]
}

/** @throws FabricError CF_MODEL_*, CF_CONFIG_INVALID for too few outputs; the signal's reason */
export async function calibrate(
  model: ModelFile,
  cheats: readonly ModelFile[],
  options: CalibrateOptions,
  ports: RunPorts,
): Promise<Calibration> {
  const { trials, ...run } = await runTrials(model, cheats, options, ports)
  ports.onProgress('thresholds', 0, 1)
  const fit = { draws: options.draws, prng: new Prng(options.seed) }
  const engineId = run.engines.find(({ name }) => name === options.variants[0]?.name)?.engineId ?? ''
  const { table, leftOut } = fitTable(model.digest, engineId, trials, fit)
  const assessment = assess(table, trials, options.seed)
  return { ...run, model, table, leftOut, assessment, trials }
}
