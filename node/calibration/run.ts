/** Runs models: honest outputs in every variant, false claims, and an audit of each in other variants. */
import { FabricError } from '../../core/errors.ts'
import type { AuditPosition } from '../../models/backend.ts'
import { Prng } from '../simulation/prng.ts'
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
} from './engine.ts'
import type { Recorded } from './noise.ts'
import { EDITS, TEMPERATURES_MILLI, TOP_K, TWISTS, type Twist, type Wish } from './outputs.ts'
import { type PromptKind, promptOf } from './prompts.ts'
import { HONEST, type Made, type Trial } from './trials.ts'
import type { Variant } from './variants.ts'

export type RunOptions = {
  readonly seed: number
  /** Honest outputs; half of them fit the table, half try it. */
  readonly outputs: number
  /** Outputs of each false set. */
  readonly cheats: number
  readonly maxTokens: number
  readonly variants: readonly Variant[]
}

export type RunPorts = {
  readonly open: OpenModel
  readonly nowMs: () => number
  /** Told before each stage, and while it lasts. */
  readonly onProgress: (stage: string, done: number, total: number) => void
  readonly signal: AbortSignal
}

/** Tokens and milliseconds of one kind of work by the first variant, eight sequences together. */
export type Spent = { tokens: number; ms: number }

export type RunResult = {
  readonly trials: readonly Trial[]
  readonly engines: readonly { readonly name: string; readonly engineId: string; readonly driver: string }[]
  /** Variants that this machine cannot run. */
  readonly skipped: readonly string[]
  readonly generating: Spent
  readonly auditing: Spent
}

type Planned = {
  readonly index: number
  /** Of the variant that makes the honest output. */
  readonly place: number
  readonly kind: PromptKind
  readonly wish: Wish
  readonly shape: Made['shape']
}

const ALONE_PERMILLE = 200
const VERIFIERS_OF_ONE = 2
/** Outputs whose logits are kept. */
const RECORDED_MAX = 160
const RECORDED_TOKENS_MIN = 64

/** @throws FabricError CF_MODEL_*; the signal's reason */
export async function runTrials(
  model: ModelFile,
  cheats: readonly ModelFile[],
  options: RunOptions,
  ports: RunPorts,
): Promise<RunResult> {
  return new Runner(model, options, ports).run(cheats)
}

class Runner {
  readonly #model: ModelFile
  readonly #options: RunOptions
  readonly #ports: RunPorts
  readonly #prng: Prng
  readonly #engines = new Map<string, { readonly engineId: string; readonly driver: string }>()
  readonly #skipped: string[] = []
  readonly #made: Made[] = []
  readonly #generating: Spent = { tokens: 0, ms: 0 }
  readonly #auditing: Spent = { tokens: 0, ms: 0 }
  #stopIds: readonly number[] = []

  constructor(model: ModelFile, options: RunOptions, ports: RunPorts) {
    this.#model = model
    this.#options = options
    this.#ports = ports
    this.#prng = new Prng(options.seed)
  }

  async run(cheats: readonly ModelFile[]): Promise<RunResult> {
    const planned = await this.#plan()
    await this.#makeHonest(planned)
    const some = planned.slice(0, this.#options.cheats)
    for (const cheat of cheats) await this.#makeWith(cheat, some)
    await this.#makeTwisted(some)
    this.#edit()
    const trials = await this.#audit()
    const engines = [...this.#engines].map(([name, facts]) => ({ name, ...facts }))
    return { trials, engines, skipped: this.#skipped, generating: this.#generating, auditing: this.#auditing }
  }

  get #best(): Variant {
    const [best] = this.#options.variants
    if (best === undefined) throw new FabricError('CF_CONFIG_INVALID', { key: 'variants', expected: 'at least one' })
    return best
  }

  /** @returns what to generate; the first variant has to be able to run it */
  async #plan(): Promise<readonly Planned[]> {
    const { outputs, maxTokens } = this.#options
    const engine = await openEngine(this.#ports.open, this.#model, this.#best)
    try {
      this.#stopIds = engine.model.stopIds
      const planned: Planned[] = []
      for (let index = 0; index < outputs; index += 1) {
        this.#ports.signal.throwIfAborted()
        const prompt = promptOf(index, this.#prng)
        const promptIds = await promptIdsOf(engine, prompt, maxTokens)
        const round = Math.floor(index / 10)
        const temperatureMilli = TEMPERATURES_MILLI[round % TEMPERATURES_MILLI.length] ?? 0
        const sampling = { kind: 'gumbel-v1', temperatureMilli, topK: TOP_K } as const
        const place = this.#prng.below(this.#options.variants.length)
        const shape = this.#prng.chance(ALONE_PERMILLE) ? 'alone' : 'beside others'
        planned.push({
          index,
          place,
          kind: prompt.kind,
          shape,
          wish: { promptIds, sampling, seed: this.#prng.bytes(32), maxTokens },
        })
      }
      return planned
    } finally {
      await engine.close()
    }
  }

  /** The first variant comes last: what others could not run is its. */
  async #makeHonest(planned: readonly Planned[]): Promise<void> {
    const { variants } = this.#options
    let left: readonly Planned[] = []
    for (const [place, variant] of [...variants.entries()].reverse()) {
      const mine = [...planned.filter((one) => one.place === place), ...(place === 0 ? left : [])]
      const engine = place === 0 ? await this.#openBest() : await tryEngine(this.#ports.open, this.#model, variant)
      if (engine === undefined) {
        this.#skipped.push(variant.name)
        left = [...left, ...mine]
        continue
      }
      const { engineId, driver } = engine.model
      this.#engines.set(variant.name, { engineId, driver: driver.kind })
      await this.#make(engine, HONEST, variant.name, mine, (wish) => wish).finally(() => engine.close())
    }
  }

  #openBest(): Promise<Engine> {
    return openEngine(this.#ports.open, this.#model, this.#best)
  }

  async #makeWith(cheat: ModelFile, planned: readonly Planned[]): Promise<void> {
    const engine = await openEngine(this.#ports.open, cheat, this.#best)
    await this.#make(engine, cheat.name, this.#best.name, planned, (wish) => wish).finally(() => engine.close())
  }

  async #makeTwisted(planned: readonly Planned[]): Promise<void> {
    const engine = await this.#openBest()
    try {
      for (const [name, twist] of Object.entries(TWISTS)) {
        // Another seed, topK or colder temperature changes nothing where the best token is taken anyway.
        const isFelt = ({ wish }: Planned): boolean => wish.sampling.temperatureMilli > 0 || name === 'another prompt'
        await this.#make(engine, name, this.#best.name, planned.filter(isFelt), twist)
      }
    } finally {
      await engine.close()
    }
  }

  async #make(engine: Engine, set: string, name: string, planned: readonly Planned[], twist: Twist): Promise<void> {
    const { onProgress, signal, nowMs } = this.#ports
    const { engineId } = engine.model
    let done = 0
    const makeOne = async ({ index, kind, shape, wish }: Planned): Promise<void> => {
      signal.throwIfAborted()
      const ids = await generateIds(engine, twist(wish))
      onProgress(`${set} by ${name}`, ++done, planned.length)
      const { promptIds, sampling, seed } = wish
      const claim = { promptIds, sampling, seed, outputIds: Uint32Array.from(ids) }
      if (ids.length > 0) this.#made.push({ set, index, kind, shape, claim, proverEngine: engineId, proverName: name })
    }
    const isAlone = ({ shape }: Planned): boolean => shape === 'alone'
    await inParallel(planned.filter(isAlone), 1, makeOne)
    const [startMs, before] = [nowMs(), this.#made.length]
    await inParallel(
      planned.filter((one) => !isAlone(one)),
      SLOTS,
      makeOne,
    )
    if (set !== HONEST || name !== this.#best.name) return
    this.#generating.tokens += this.#made.slice(before).reduce((sum, { claim }) => sum + claim.outputIds.length, 0)
    this.#generating.ms += nowMs() - startMs
  }

  /** Of honest outputs, the first ones that are long enough. */
  #edit(): void {
    const honest = this.#made.filter(({ set }) => set === HONEST).sort((a, b) => a.index - b.index)
    for (const [name, edit] of Object.entries(EDITS)) {
      const edited = honest.flatMap((made): readonly Made[] => {
        const outputIds = edit(made.claim.outputIds, this.#stopIds, this.#prng)
        return outputIds === undefined ? [] : [{ ...made, set: name, claim: { ...made.claim, outputIds } }]
      })
      this.#made.push(...edited.slice(0, this.#options.cheats))
    }
  }

  async #audit(): Promise<readonly Trial[]> {
    const usable = this.#options.variants.filter(({ name }) => this.#engines.has(name))
    const lists = new Map<string, Made[]>(usable.map(({ name }) => [name, []]))
    // They came in the order in which they ended: the draws must not depend on that.
    const ordered = this.#made.toSorted((a, b) => a.index - b.index || (a.set < b.set ? -1 : 1))
    for (const made of ordered) {
      const wanted = Math.min(usable.length, made.set === HONEST ? VERIFIERS_OF_ONE : 1)
      const drawn = new Set<Variant>()
      while (drawn.size < wanted) drawn.add(this.#prng.pick(usable))
      for (const { name } of drawn) lists.get(name)?.push(made)
    }
    const trials: Trial[] = []
    for (const variant of usable) trials.push(...(await this.#auditWith(variant, lists.get(variant.name) ?? [])))
    return trials
  }

  async #auditWith(variant: Variant, list: readonly Made[]): Promise<readonly Trial[]> {
    const engine = await openEngine(this.#ports.open, this.#model, variant)
    const { onProgress, signal, nowMs } = this.#ports
    const isBest = variant.name === this.#best.name
    let [done, recorded] = [0, 0]
    const startMs = nowMs()
    try {
      return await inParallel(list, SLOTS, async (made): Promise<Trial> => {
        signal.throwIfAborted()
        const { claim, set, ...facts } = made
        const positions = await auditClaim(engine, claim)
        onProgress(`audits by ${variant.name}`, ++done, list.length)
        const isRecorded =
          isBest && set === HONEST && claim.outputIds.length >= RECORDED_TOKENS_MIN && recorded < RECORDED_MAX
        if (isRecorded) recorded += 1
        if (isBest) this.#auditing.tokens += claim.outputIds.length
        return {
          ...facts,
          ...{
            set,
            claim: { sampling: claim.sampling, seed: claim.seed },
            margins: Float32Array.from(positions, ({ margin }) => margin),
          },
          ...{ temperatureMilli: claim.sampling.temperatureMilli, verifierEngine: engine.model.engineId },
          ...{ verifierName: variant.name, ...(isRecorded ? { recorded: positions.map(recordedOf) } : {}) },
        }
      })
    } finally {
      if (isBest) this.#auditing.ms += nowMs() - startMs
      await engine.close()
    }
  }
}

function recordedOf({ topIds, topLogits }: AuditPosition): Recorded {
  return { ids: Uint32Array.from(topIds), logits: Float32Array.from(topLogits) }
}
