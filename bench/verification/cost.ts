/**
 * What being checkable costs a worker, in tokens a second and in bytes; what an audit costs, and what that makes of the network's work
 * at the default policy.
 */
import { DEFAULT_POLICY } from '../../core/log/genesis.ts'
import { PANEL_PERMILLE, REPORTS_MAX } from '../../core/verification/auditing.ts'
import type { SamplingSpec } from '../../models/backend.ts'
import { CFAB_TINY } from '../../models/catalogue.ts'
import { HOST_DEFAULTS, HostBackend } from '../../node/hosts/host-backend.ts'
import { systemClock } from '../../node/runtime/system.ts'
import { Proof } from '../engine/proof.ts'
import { inTurn, quantile, type Samples, type Way } from '../engine/rows.ts'
import { median } from '../report.ts'
import { proofBytes } from './bytes.ts'
import { cpuMsOf } from './cpu.ts'
import { auditRatioOf125m } from './recorded.ts'

const STREAMS = 8
const THREADS = 1
/** Of one stream in one run; an answer that ends is followed by another. */
const TOKENS = 512
const ANSWER_TOKENS_MAX = 256
const RUN_MS_MAX = 120_000
const MEMORY_BYTES_MAX = 2 ** 32
const OPENING = 'Once upon a time there was a small boat'
const CHECKABLE: SamplingSpec = { kind: 'gumbel-v1', temperatureMilli: 700, topK: 40 }
/** The same distribution without a seed that anybody could check. */
const PLAIN: SamplingSpec = {
  ...{ kind: 'llama', temperature: 0.7, topK: 40, topP: 1, minP: 0 },
  ...{ frequencyPenalty: 0, presencePenalty: 0, seed: 1 },
}
const REPLICAS = 3
const WANTED_SLOWDOWN = 0.01

type Answer = { readonly ids: readonly number[]; readonly ms: number }

export async function costPart(runs: number): Promise<object> {
  const { path, digest, contextTokens } = CFAB_TINY
  const engine = new HostBackend(HOST_DEFAULTS, { clock: systemClock, onEvent: () => undefined })
  const file = { format: 'gguf', path, digest, contextTokens, gpu: 'off' } as const
  const loaded = await engine.load({ ...file, threads: THREADS, slotCount: STREAMS, memoryBytesMax: MEMORY_BYTES_MAX })
  try {
    const prompt = await engine.tokenize(OPENING, true)
    const samples = await inTurn([...writing(engine, prompt), checking(engine, prompt)], runs)
    const ratios = samples('audit', 'ratio')
    return {
      ...{ model: { name: CFAB_TINY.id, digest }, engineId: loaded.engineId, driver: loaded.driver.kind },
      ...{ streams: STREAMS, threads: THREADS, runs },
      slowdown: slowdownOf(samples),
      proofBytes: proofBytes(),
      audit: { unit: 'CPU time of an audit over that of the generation', overGeneration: spread(ratios) },
      overhead: { 'cfab-tiny': overheadOf(median(ratios)), '125m': overheadOf(auditRatioOf125m()) },
    }
  } finally {
    await engine.close()
  }
}

function writing(engine: HostBackend, prompt: Uint32Array): readonly Way[] {
  const way = (name: string, sampling: SamplingSpec, open: () => Proof | undefined): Way => ({
    name,
    run: async () => {
      const startMs = cpuMsOf(engine.pid)
      const lanes = Array.from({ length: STREAMS }, (_, lane) => stream(engine, prompt, sampling, lane, open))
      const tokens = (await Promise.all(lanes)).reduce((sum, count) => sum + count, 0)
      return { us: ((cpuMsOf(engine.pid) - startMs) * 1_000) / tokens }
    },
  })
  return [
    way('checkable', CHECKABLE, () => new Proof()),
    way('checkable without chain', CHECKABLE, () => undefined),
    way('plain', PLAIN, () => undefined),
  ]
}

/** @returns tokens written, at least TOKENS */
async function stream(
  engine: HostBackend,
  prompt: Uint32Array,
  sampling: SamplingSpec,
  lane: number,
  open: () => Proof | undefined,
): Promise<number> {
  let written = 0
  for (let answer = 0; written < TOKENS; answer += 1) {
    const seed = lane * 64 + answer
    const { ids } = await write(
      engine,
      prompt,
      sampling.kind === 'llama' ? { ...sampling, seed } : sampling,
      seed,
      open(),
    )
    written += ids.length
  }
  return written
}

async function write(
  engine: HostBackend,
  promptIds: Uint32Array,
  sampling: SamplingSpec,
  salt: number,
  proof?: Proof,
): Promise<Answer> {
  const startMs = cpuMsOf(engine.pid)
  const request = { promptIds, sampling, seed: seedOf(salt), maxTokens: ANSWER_TOKENS_MAX, stop: [] }
  const written: number[] = []
  let whole = ''
  for await (const { ids, text } of engine.generate(request, AbortSignal.timeout(RUN_MS_MAX))) {
    proof?.tokens(ids)
    written.push(...ids)
    whole += text
  }
  proof?.end(whole)
  return { ids: written, ms: cpuMsOf(engine.pid) - startMs }
}

function seedOf(salt: number): Uint8Array {
  return Uint8Array.of(salt & 0xff, salt >> 8, ...new Uint8Array(30))
}

/** One answer alone, then its audit alone. */
function checking(engine: HostBackend, promptIds: Uint32Array): Way {
  let salt = 1_000
  const run = async () => {
    let [writeMs, auditMs, answers] = [0, 0, 0]
    for (; answers < STREAMS; answers += 1) {
      const { ids, ms } = await write(engine, promptIds, CHECKABLE, salt)
      const startMs = cpuMsOf(engine.pid)
      const claim = { promptIds, sampling: CHECKABLE, seed: seedOf(salt), outputIds: Uint32Array.from(ids) }
      const chunks = engine.schedule(promptIds.length)
      await engine.audit({ ...claim, chunks }, AbortSignal.timeout(RUN_MS_MAX))
      auditMs += cpuMsOf(engine.pid) - startMs
      writeMs += ms
      salt += 1
    }
    return { ratio: auditMs / writeMs, answers }
  }
  return { name: 'audit', run }
}

/** In time of processors, both processes together: what else the machine does meanwhile counts for nothing. */
function slowdownOf(samples: Samples): object {
  const [plain, checkable, chainless] = ['plain', 'checkable', 'checkable without chain'].map((way) =>
    samples(way, 'us'),
  )
  const more = (costs: readonly number[] = []): readonly number[] =>
    costs.map((cost, run) => cost / (plain?.[run] ?? Number.NaN) - 1)
  return {
    ...{ unit: 'microseconds of CPU time a token', plain, checkable, checkableWithoutChain: chainless },
    ...{ wanted: WANTED_SLOWDOWN, more: spread(more(checkable)), moreWithoutChain: spread(more(chainless)) },
  }
}

function spread(values: readonly number[]) {
  return { values, median: median(values), quartiles: [quantile(values, 0.25), quantile(values, 0.75)] }
}

/** Work of auditors over work of workers: share drawn x audits of a drawn output x cost of one. Honest outputs, which pass. */
function overheadOf(ratio: number): object {
  const drawn = DEFAULT_POLICY.auditPermille / 1_000
  const auditsOfDrawn = 1 + (PANEL_PERMILLE / 1_000) * (REPORTS_MAX - 1)
  const classDrawn = 1 - (1 - drawn) ** REPLICAS
  return {
    ...{ drawn, auditsOfDrawn, auditOverGeneration: ratio },
    oneReplica: drawn * auditsOfDrawn * ratio,
    threeEqualReplicas: (classDrawn * auditsOfDrawn * ratio) / REPLICAS,
  }
}
