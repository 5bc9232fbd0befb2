/** How far a cheat's logits are from the model's, in the measure that quantisations are known by: what the power curves are read at. */
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
} from '../../node/calibration/engine.ts'
import { divergence } from '../../node/calibration/noise.ts'
import { type Claim, TOP_K } from '../../node/calibration/outputs.ts'
import { promptOf } from '../../node/calibration/prompts.ts'
import { Prng } from '../../node/simulation/prng.ts'

const OUTPUTS = 40
const MAX_TOKENS = 128
const VARIANT = { name: 'best', load: { threads: 1 } }
const SAMPLING = { kind: 'gumbel-v1', temperatureMilli: 1_000, topK: TOP_K } as const

type Row = { readonly model: string; readonly digest: string; readonly meanNats: number; readonly sameBest: number }
type Seen = { readonly ids: readonly number[]; readonly logits: readonly number[] }

/** Mean over all positions of honest outputs at T = 1, on the best tokens that both list; and how often the best one is the same. */
export async function divergences(open: OpenModel, model: ModelFile, cheats: readonly ModelFile[], seed: number) {
  const engine = await openEngine(open, model, VARIANT)
  const claims = await honestClaims(engine, seed)
  const meant = await seenBy(engine, claims).finally(() => engine.close())
  const rows: Row[] = []
  for (const cheat of cheats) {
    const other = await openEngine(open, cheat, VARIANT)
    const found = await seenBy(other, claims).finally(() => other.close())
    const nats = meant.map((seen, place) => between(seen, found[place])).filter((value) => value !== undefined)
    const same = meant.filter(({ ids }, place) => ids[0] === found[place]?.ids[0]).length
    const mean = nats.reduce((sum, value) => sum + value, 0) / nats.length
    rows.push({ model: cheat.name, digest: cheat.digest, meanNats: mean, sameBest: same / meant.length })
  }
  return { seed, outputs: claims.length, positions: meant.length, rows }
}

async function honestClaims(engine: Engine, seed: number): Promise<readonly Claim[]> {
  const prng = new Prng(seed)
  const wishes = Array.from({ length: OUTPUTS }, (_, index) => ({
    prompt: promptOf(index, prng),
    seed: prng.bytes(32),
  }))
  return inParallel(wishes, SLOTS, async (wish) => {
    const promptIds = await promptIdsOf(engine, wish.prompt, MAX_TOKENS)
    const job = { promptIds, sampling: SAMPLING, seed: wish.seed }
    return { ...job, outputIds: Uint32Array.from(await generateIds(engine, { ...job, maxTokens: MAX_TOKENS })) }
  })
}

async function seenBy(engine: Engine, claims: readonly Claim[]): Promise<readonly Seen[]> {
  const audits = await inParallel(claims, SLOTS, (claim) => auditClaim(engine, claim))
  return audits.flat().map(({ topIds, topLogits }) => ({ ids: Array.from(topIds), logits: Array.from(topLogits) }))
}

/** @returns undefined where they list nothing in common */
function between(meant: Seen, found: Seen | undefined): number | undefined {
  const there = new Map(found?.ids.map((id, place) => [id, found.logits[place] ?? 0]))
  const both = meant.ids.flatMap((id, place) => {
    const logit = there.get(id)
    return logit === undefined ? [] : [[meant.logits[place] ?? 0, logit] as const]
  })
  return both.length === 0
    ? undefined
    : divergence(
        both.map(([logit]) => logit),
        both.map(([, logit]) => logit),
      )
}
