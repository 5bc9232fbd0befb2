/** Many dishonest outputs against a table that is there already: a rate near one is worth no more than the number of runs behind it. */
import type { PolicyTable } from '../../core/verification/policy-table.ts'
import {
  auditClaim,
  type Engine,
  generateIds,
  inParallel,
  type ModelFile,
  type OpenModel,
  openEngine,
  promptIdsOf,
  SLOTS,
  tryEngine,
} from '../../node/calibration/engine.ts'
import { type Claim, EDITS, type Edit, TEMPERATURES_MILLI, TOP_K } from '../../node/calibration/outputs.ts'
import { type Caught, wholePower, windowPower } from '../../node/calibration/power.ts'
import { type PromptKind, promptOf } from '../../node/calibration/prompts.ts'
import type { Trial } from '../../node/calibration/trials.ts'
import type { Variant } from '../../node/calibration/variants.ts'
import type { Prng } from '../../node/simulation/prng.ts'

const LENGTHS = [64, 128, 256] as const

export type CheatsOptions = {
  readonly maxTokens: number
  /** Of another model in place of the named one, by that model's name. */
  readonly outputs: Readonly<Record<string, number>>
  /** Honest outputs with one token changed. */
  readonly edits: number
  readonly variants: readonly Variant[]
  readonly table: PolicyTable
}

export type CheatRuns = {
  readonly set: string
  readonly outputs: number
  readonly tokens: number
  readonly whole: Caught
  /** Stretches of one output, one after the other. */
  readonly windows: readonly (Caught & { readonly tokens: number })[]
}

type Planned = { readonly index: number; readonly kind: PromptKind; readonly claim: Omit<Claim, 'outputIds'> }
type Output = Planned & { readonly claim: Claim; readonly proverEngine: string; readonly proverName: string }

export type CheatPorts = {
  readonly open: OpenModel
  readonly prng: Prng
  readonly onProgress: (stage: string, done: number, total: number) => void
}

/**
 * Makes outputs and audits each once, both in variants that are drawn for it.
 *
 * @param model  that was named
 * @returns      one row a cheat model, and one for edits
 */
export async function cheatRuns(
  model: ModelFile,
  cheats: readonly ModelFile[],
  options: CheatsOptions,
  ports: CheatPorts,
): Promise<readonly CheatRuns[]> {
  const sets = new Map<string, readonly Output[]>()
  for (const cheat of cheats) {
    const count = options.outputs[cheat.name] ?? 0
    if (count > 0) sets.set(cheat.name, await made(model, cheat, count, options, ports))
  }
  const honest = await made(model, model, options.edits, options, ports)
  const edit = EDITS['one token']
  if (edit !== undefined) sets.set('one token', edited(honest, edit, ports.prng))
  const trials = await audited(model, sets, options, ports)
  return [...sets.keys()].map((set) => rowOf(set, options.table, trials.get(set) ?? []))
}

/** @param runs  what makes them; the named model has the say over prompts */
async function made(
  model: ModelFile,
  runs: ModelFile,
  count: number,
  { maxTokens, variants }: CheatsOptions,
  { open, prng, onProgress }: CheatPorts,
): Promise<readonly Output[]> {
  const first = await openEngine(open, model, prng.pick(variants.slice(0, 1)))
  const planned = await plannedBy(first, count, maxTokens, prng).finally(() => first.close())
  const byVariant = Map.groupBy(planned, () => prng.pick(variants))
  const outputs: Output[] = []
  for (const [variant, mine] of byVariant) {
    const engine = await tryEngine(open, runs, variant)
    if (engine === undefined) continue
    const all = inParallel(mine, SLOTS, async (one): Promise<Output> => {
      const ids = await generateIds(engine, { ...one.claim, maxTokens })
      const claim = { ...one.claim, outputIds: Uint32Array.from(ids) }
      return { ...one, claim, proverEngine: engine.model.engineId, proverName: variant.name }
    })
    outputs.push(...(await all.finally(() => engine.close())))
    onProgress(`outputs of ${runs.name}`, outputs.length, planned.length)
  }
  return outputs
}

async function plannedBy(engine: Engine, count: number, maxTokens: number, prng: Prng): Promise<readonly Planned[]> {
  const planned: Planned[] = []
  for (let index = 0; index < count; index += 1) {
    const prompt = promptOf(index, prng)
    const temperatureMilli = TEMPERATURES_MILLI[Math.floor(index / 10) % TEMPERATURES_MILLI.length] ?? 0
    const sampling = { kind: 'gumbel-v1', temperatureMilli, topK: TOP_K } as const
    const promptIds = await promptIdsOf(engine, prompt, maxTokens)
    planned.push({ index, kind: prompt.kind, claim: { promptIds, sampling, seed: prng.bytes(32) } })
  }
  return planned
}

function edited(honest: readonly Output[], edit: Edit, prng: Prng): readonly Output[] {
  return honest.flatMap((output) => {
    const outputIds = edit(output.claim.outputIds, [], prng)
    return outputIds === undefined ? [] : [{ ...output, claim: { ...output.claim, outputIds } }]
  })
}

async function audited(
  model: ModelFile,
  sets: ReadonlyMap<string, readonly Output[]>,
  { variants }: CheatsOptions,
  { open, prng, onProgress }: CheatPorts,
): Promise<ReadonlyMap<string, readonly Trial[]>> {
  const all = [...sets].flatMap(([set, outputs]) =>
    outputs.filter(({ claim }) => claim.outputIds.length > 0).map((output) => ({ set, output })),
  )
  const trials: Trial[] = []
  for (const [variant, mine] of Map.groupBy(all, () => prng.pick(variants))) {
    const engine = await tryEngine(open, model, variant)
    if (engine === undefined) continue
    const judged = inParallel(mine, SLOTS, async ({ set, output }): Promise<Trial> => {
      const { claim, ...facts } = output
      const positions = await auditClaim(engine, claim)
      const margins = Float32Array.from(positions, ({ margin }) => margin)
      const { temperatureMilli } = claim.sampling
      const verifier = { verifierEngine: engine.model.engineId, verifierName: variant.name }
      return { ...facts, ...verifier, set, shape: 'beside others', temperatureMilli, claim, margins }
    })
    trials.push(...(await judged.finally(() => engine.close())))
    onProgress('audits', trials.length, all.length)
  }
  return Map.groupBy(trials, ({ set }) => set)
}

function rowOf(set: string, table: PolicyTable, trials: readonly Trial[]): CheatRuns {
  return {
    ...{ set, outputs: trials.length, whole: wholePower(table, trials) },
    tokens: trials.reduce((sum, { margins }) => sum + margins.length, 0),
    // An edit is in one place: a stretch without it is honest.
    windows: set in EDITS ? [] : LENGTHS.map((length) => ({ tokens: length, ...windowPower(table, trials, length) })),
  }
}
