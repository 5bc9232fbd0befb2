/** How far apart the probes of auditors are: of honest ones in every variant, and of those that ran another model or none. */
import { domainHash } from '#core/hash'
import { u32be } from '../../core/codec/bytes.ts'
import { digestOf } from '../../core/ids.ts'
import {
  type AuditStatistics,
  type Probe,
  probeDistance,
  probePositions,
  probesAgree,
  probesOf,
  statisticsOf,
  stepsOf,
} from '../../core/verification/audit.ts'
import { panelOf, type Said } from '../../core/verification/panel.ts'
import { type PolicyTable, verdictOf } from '../../core/verification/policy-table.ts'
import { rateOf } from '../../node/calibration/bounds.ts'
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
import { type Claim, TEMPERATURES_MILLI, TOP_K } from '../../node/calibration/outputs.ts'
import { promptOf } from '../../node/calibration/prompts.ts'
import type { Variant } from '../../node/calibration/variants.ts'
import { Prng } from '../../node/simulation/prng.ts'

/** Lengths that answers are asked for; an output may end before. */
const LENGTHS = [8, 32, 96] as const
const STEPS_PER_NAT = 256
/** Figures are given for outputs of more tokens than the first of two and no more than the second. */
const LENGTH_ENDS = [0, 4, 16, 64, Number.POSITIVE_INFINITY]
const NO_DIGEST = digestOf(new Uint8Array(32))

export type ProbeOptions = {
  readonly outputs: number
  /** Outputs of each model that is not the one that was named: honest auditors must agree about those too. */
  readonly cheatOutputs: number
  readonly seed: number
  readonly variants: readonly Variant[]
  readonly table: PolicyTable
}

type Seen = {
  readonly probes: readonly Probe[]
  readonly statistics: AuditStatistics
  readonly engineId: string
}
type Output = { readonly set: string; readonly prover: string; readonly claim: Claim; readonly at: readonly number[] }
type Pair = { readonly output: Output; readonly one: Seen; readonly other: Seen }

export async function probeFigures(
  open: OpenModel,
  model: ModelFile,
  cheats: readonly ModelFile[],
  options: ProbeOptions,
) {
  const outputs = await outputsOf(open, model, cheats, options)
  const views: { readonly name: string; readonly seen: readonly Seen[] }[] = []
  for (const { name, load } of options.variants) {
    const engine = await tryEngine(open, model, { name, load })
    if (engine !== undefined) views.push({ name, seen: await seenBy(engine, outputs).finally(() => engine.close()) })
  }
  const pairs = views.flatMap(({ seen }, place) =>
    views.slice(place + 1).flatMap(({ seen: others }) => pairsOf(outputs, seen, others)),
  )
  const honest = views.map(({ seen }) => seen)
  const [best = []] = honest
  const guesses = outputs.map(({ claim, at }, place) => guessed(best[place], claim, at, usualGap(best)))
  const liars: { readonly ran: string; readonly seen: readonly Seen[] }[] = [
    { ran: 'no model: the usual gap', seen: guesses },
  ]
  for (const cheat of cheats) {
    const engine = await openEngine(open, cheat, { name: cheat.name, load: { threads: 1 } })
    liars.push({ ran: cheat.name, seen: await seenBy(engine, outputs).finally(() => engine.close()) })
  }
  const judge = judgeOf(options.table)
  return {
    ...{ seed: options.seed, outputs: outputs.length, auditors: views.map(({ name }) => name) },
    honest: { ...figuresOf(pairs), byLength: byLength(pairs) },
    panelsOfHonest: ['honest', 'false'].map((of) => ({ of, ...outvotedIn(outputs, honest, of === 'honest', judge) })),
    dishonest: liars.map(({ ran, seen }) => ({
      ran,
      takenForHonest: LENGTH_ENDS.slice(1).map((end, place) =>
        takenIn(outputs, { best, seen }, LENGTH_ENDS[place] ?? 0, end),
      ),
      panels: withLiar(outputs, honest, seen, judge),
    })),
  }
}

async function outputsOf(
  open: OpenModel,
  model: ModelFile,
  cheats: readonly ModelFile[],
  { outputs, cheatOutputs, seed }: ProbeOptions,
): Promise<readonly Output[]> {
  const prng = new Prng(seed)
  const made: Output[] = []
  for (const file of [model, ...cheats]) {
    const engine = await openEngine(open, file, { name: file.name, load: { threads: 1 } })
    const set = file === model ? 'honest' : file.name
    made.push(
      ...(await madeBy(engine, set, file === model ? outputs : cheatOutputs, prng).finally(() => engine.close())),
    )
  }
  return made
}

async function madeBy(engine: Engine, set: string, count: number, prng: Prng): Promise<readonly Output[]> {
  const wishes = Array.from({ length: count }, (_, index) => ({
    ...{ index, prompt: promptOf(index, prng), seed: prng.bytes(32) },
    temperatureMilli: TEMPERATURES_MILLI[Math.floor(index / 10) % TEMPERATURES_MILLI.length] ?? 0,
    maxTokens: LENGTHS[Math.floor(index / 30) % LENGTHS.length] ?? 0,
  }))
  const all = await inParallel(wishes, SLOTS, async ({ index, prompt, seed, temperatureMilli, maxTokens }) => {
    const sampling = { kind: 'gumbel-v1', temperatureMilli, topK: TOP_K } as const
    const job = { promptIds: await promptIdsOf(engine, prompt, maxTokens), sampling, seed }
    const outputIds = Uint32Array.from(await generateIds(engine, { ...job, maxTokens }))
    const beacon = digestOf(domainHash('bench-probes', u32be(index)))
    return {
      ...{ set, prover: engine.model.engineId, claim: { ...job, outputIds } },
      at: probePositions(beacon, 0, outputIds.length),
    }
  })
  return all.filter(({ claim }) => claim.outputIds.length > 0)
}

function seenBy(engine: Engine, outputs: readonly Output[]): Promise<readonly Seen[]> {
  return inParallel(outputs, SLOTS, async ({ claim, at }) => {
    const positions = await auditClaim(engine, claim)
    const { outputIds } = claim
    return {
      probes: probesOf(positions, at, outputIds),
      statistics: statisticsOf(positions, outputIds),
      engineId: engine.model.engineId,
    }
  })
}

function pairsOf(outputs: readonly Output[], seen: readonly Seen[], others: readonly Seen[]): readonly Pair[] {
  return outputs.flatMap((output, place) => {
    const [one, other] = [seen[place], others[place]]
    return one === undefined || other === undefined ? [] : [{ output, one, other }]
  })
}

function figuresOf(pairs: readonly Pair[]) {
  const distances = pairs
    .map(({ one, other }) => (probeDistance(one.probes, other.probes) ?? Number.POSITIVE_INFINITY) / STEPS_PER_NAT)
    .sort((a, b) => a - b)
  const at = (share: number): number | undefined =>
    distances[Math.min(distances.length - 1, Math.floor(share * distances.length))]
  const apart = pairs.filter(({ one, other }) => !probesAgree(one.probes, other.probes)).length
  return {
    ...{ pairs: pairs.length, disagree: rateOf(apart, pairs.length) },
    distanceNats: { median: at(0.5), p99: at(0.99), p999: at(0.999), largest: distances.at(-1) },
  }
}

function byLength(pairs: readonly Pair[]) {
  return LENGTH_ENDS.slice(1).map((end, place) => {
    const from = LENGTH_ENDS[place] ?? 0
    return { tokensOver: from, ...figuresOf(pairs.filter(({ output }) => isWithin(output, from, end))) }
  })
}

function isWithin({ claim }: Output, from: number, end: number): boolean {
  return claim.outputIds.length > from && claim.outputIds.length <= end
}

type Judge = (output: Output, seen: Seen) => Said

/** As validators read a report. */
function judgeOf(table: PolicyTable): Judge {
  return ({ prover, claim }, { statistics, engineId, probes }) => {
    const { temperatureMilli } = claim.sampling
    const verdict = verdictOf(table, statistics, { proverEngine: prover, verifierEngine: engineId, temperatureMilli })
    return { verdict, probes, commit: NO_DIGEST, others: [] }
  }
}

/** Of all threes of honest auditors: how often two of them contradict the third. */
function outvotedIn(outputs: readonly Output[], views: readonly (readonly Seen[])[], isHonest: boolean, judge: Judge) {
  let [reports, outvoted] = [0, 0]
  for (const [place, output] of outputs.entries()) {
    if ((output.set === 'honest') !== isHonest) continue
    const said = views.flatMap((seen) => (seen[place] === undefined ? [] : [judge(output, seen[place])]))
    for (const three of threes(said)) {
      reports += 3
      outvoted += panelOf(three, false).outvoted.length
    }
  }
  return rateOf(outvoted, reports)
}

/** Two honest auditors and one that is not, which says that all is well: whom the panel outvotes. */
function withLiar(
  outputs: readonly Output[],
  views: readonly (readonly Seen[])[],
  liar: readonly Seen[],
  judge: Judge,
) {
  let [panels, caught, wronged] = [0, 0, 0]
  for (const [place, output] of outputs.entries()) {
    const told = liar[place]
    if (told === undefined) continue
    const lie: Said = { ...judge(output, told), verdict: 'pass' }
    const [one, other] = [views[0]?.[place], views[views.length >> 1]?.[place]]
    if (one === undefined || other === undefined) continue
    const { outvoted } = panelOf([lie, judge(output, one), judge(output, other)], false)
    panels += 1
    if (outvoted.includes(0)) caught += 1
    if (outvoted.some((at) => at > 0)) wronged += 1
  }
  return { caught: rateOf(caught, panels), wronged: rateOf(wronged, panels) }
}

function threes<T>(all: readonly T[]): readonly (readonly [T, T, T])[] {
  return all.flatMap((one, a) =>
    all.slice(a + 1).flatMap((two, b) => all.slice(a + b + 2).map((three): readonly [T, T, T] => [one, two, three])),
  )
}

function usualGap(seen: readonly Seen[]): number {
  const gaps = seen.flatMap(({ probes }) => probes.map(({ gap256 }) => gap256)).sort((a, b) => a - b)
  return gaps[gaps.length >> 1] ?? stepsOf(1)
}

/** The best that an auditor can say without looking: no margins, the claimed token as the best one, the usual gap below it. */
function guessed(seen: Seen | undefined, { outputIds }: Claim, at: readonly number[], usual: number): Seen {
  const nothing = Array.from(outputIds, (id) => ({ margin: 0, rank: 0, topIds: [id], topLogits: [0] }))
  return {
    probes: at.map((position) => ({ position, topId: outputIds[position] ?? 0, gap256: usual, claimedGap256: 0 })),
    statistics: statisticsOf(nothing, outputIds),
    engineId: seen?.engineId ?? '',
  }
}

function takenIn(
  outputs: readonly Output[],
  { best, seen }: { readonly best: readonly Seen[]; readonly seen: readonly Seen[] },
  from: number,
  end: number,
) {
  const some = outputs.flatMap((output, place) => (isWithin(output, from, end) ? [place] : []))
  const taken = some.filter((place) => probesAgree(best[place]?.probes ?? [], seen[place]?.probes ?? [])).length
  return { tokensOver: from, ...rateOf(taken, some.length) }
}
