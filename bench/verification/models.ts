/** What is calibrated here: the bundled model, and a family of one architecture in several quantisations that lies beside the project. */
import { existsSync } from 'node:fs'
import { basename, join } from 'node:path'
import { CFAB_TINY } from '../../models/catalogue.ts'
import { fileDigest } from '../../models/model-file.ts'
import type { ModelFile } from '../../node/calibration/engine.ts'

/** Where the family lies; without it that part is left out. */
const FAMILY_FOLDER = process.env['BENCH_FAMILY'] ?? join(import.meta.dirname, '../../../shared/models/tests')
const DATA_FOLDER = join(import.meta.dirname, '../../models/data')
const CONTEXT_TOKENS = 1_024

export type Family = {
  readonly name: string
  readonly model: ModelFile
  readonly cheats: readonly ModelFile[]
  /** Where the signed table goes, and the picture. */
  readonly policy: string
  readonly svg: string
  readonly outputs: number
  readonly cheatOutputs: number
  /** Of cheats that a target is set for: enough for a bound of it, by model. */
  readonly manyOutputs: Readonly<Record<string, number>>
  readonly maxTokens: number
  readonly seed: number
}

const RESULTS_FOLDER = join(import.meta.dirname, '../results')
const DOCS_FOLDER = join(import.meta.dirname, '../../docs')

export async function families(): Promise<readonly Family[]> {
  const tiny: Family = {
    ...{ name: 'cfab-tiny-q8_0', model: await fileOf(CFAB_TINY.path) },
    cheats: [await data('cfab-tiny-q4_0.gguf'), await data('cfab-tiny-small-f16.gguf')],
    ...{ policy: join(DATA_FOLDER, 'cfab-tiny-q8_0.policy'), svg: join(DOCS_FOLDER, 'roc-cfab-tiny-q8_0.svg') },
    // Most of its outputs are shorter than a stretch of 64 tokens.
    manyOutputs: { 'cfab-tiny-small-f16': 8_600 },
    ...{ outputs: 3_600, cheatOutputs: 300, maxTokens: 256, seed: 20_261_123 },
  }
  if (!existsSync(join(FAMILY_FOLDER, 'stories260K-q8_0.gguf'))) return [tiny]
  return [tiny, await stories()]
}

async function stories(): Promise<Family> {
  const file = (name: string): Promise<ModelFile> => fileOf(join(FAMILY_FOLDER, name))
  return {
    ...{ name: 'stories260K-q8_0', model: await file('stories260K-q8_0.gguf') },
    cheats: [
      await file('stories260K-q5_0.gguf'),
      await file('stories260K-q4_0.gguf'),
      await file('stories260K-4layers-f32.gguf'),
    ],
    policy: join(RESULTS_FOLDER, 'stories260K-q8_0.policy'),
    svg: join(DOCS_FOLDER, 'roc-stories260K-q8_0.svg'),
    manyOutputs: { 'stories260K-q4_0': 400 },
    ...{ outputs: 2_400, cheatOutputs: 100, maxTokens: 256, seed: 77 },
  }
}

function data(name: string): Promise<ModelFile> {
  return fileOf(join(DATA_FOLDER, name))
}

async function fileOf(path: string): Promise<ModelFile> {
  const name = basename(path, '.gguf')
  return { name, path, digest: await fileDigest(path), contextTokens: CONTEXT_TOKENS }
}
