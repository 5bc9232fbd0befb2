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
import { type ChunkCost, Proof } from '../engine/proof.ts'
import { inTurn, quantile, type Samples, type Way } from '../engine/rows.ts'
import { median } from '../report.ts'
import { proofBytes } from './bytes.ts'
import { cpuMsOf } from './cpu.ts'
import { auditRatioOf125m } from './recorded.ts'

const STREAMS = 8
const THREADS = 1
/** Of one stream in one run; an answer that ends is followed by another, and the last is cut, so that all streams end together. */
const TOKENS = 256
/** Runs of each way to write for one of an audit: what is looked for there is far smaller. */
const WRITE_RUNS = 8
/** Seeds of a stream in a run; no way writes an answer twice. */
const ANSWERS_MAX = 64
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
/** Standard deviations. */
const NORMAL_95 = 1.96

type Answer = { readonly ids: readonly number[]; readonly ms: number }

export async function costPart(runs: number): Promise<object> {
  const { path, digest, contextTokens } = CFAB_TINY
  const engine = new HostBackend(HOST_DEFAULTS, { clock: systemClock, onEvent: () => undefined })
  const file = { format: 'gguf', path, digest, contextTokens, gpu: 'off' } as const
  const loaded = await engine.load({ ...file, threads: THREADS, slotCount: STREAMS, memoryBytesMax: MEMORY_BYTES_MAX })
  try {
    const prompt = await engine.tokenize(OPENING, true)
    const written = await inTurn(writing(engine, prompt), runs * WRITE_RUNS)
    const ratios = (await inTurn([checking(engine, prompt)], runs))('audit', 'ratio')
    return {
      ...{ model: { name: CFAB_TINY.id, digest }, engineId: loaded.engineId, driver: loaded.driver.kind },
      ...{ streams: STREAMS, threads: THREADS, runs },
      slowdown: slowdownOf(written),
      proofBytes: proofBytes(),
      audit: { unit: 'CPU time of an audit over that of the generation', overGeneration: spread(ratios) },
      overhead: { 'cfab-tiny': overheadOf(median(ratios)), '125m': overheadOf(auditRatioOf125m()) },
    }
  } finally {
    await engine.close()
  }
}

function writing(engine: HostBackend, prompt: Uint32Array): readonly Way[] {
  const way = (name: string, sampling: SamplingSpec, open: () => Proof | undefined): Way => {
    let run = 0
    return {
      name,
      run: async () => {
        const startMs = cpuMsOf(engine.pid)
        const lanes = Array.from({ length: STREAMS }, (_, lane) =>
          stream(engine, prompt, sampling, (run * STREAMS + lane) * ANSWERS_MAX, open),
        )
        run += 1
        const chunks = (await Promise.all(lanes)).flat()
        const us = ((cpuMsOf(engine.pid) - startMs) * 1_000) / (STREAMS * TOKENS)
        // The middle one for all of a kind: the clock also runs while others have the processor.
        const [verified, others] = [
          chunks.filter((chunk) => chunk.isVerified),
          chunks.filter((chunk) => !chunk.isVerified),
        ]
        const side = (name: 'workerUs' | 'receiverUs'): number =>
          [verified, others].reduce((sum, kind) => sum + median(kind.map((chunk) => chunk[name])) * kind.length, 0) /
          (STREAMS * TOKENS)
        const [chainUs, receiverUs] = [side('workerUs'), side('receiverUs')]
        return { us, chainUs, receiverUs, workerUs: us - receiverUs }
      },
    }
  }
  return [
    way('checkable', CHECKABLE, () => new Proof()),
    way('checkable without chain', CHECKABLE, () => undefined),
    way('plain', PLAIN, () => undefined),
  ]
}

/** Writes TOKENS tokens. @returns what its chunks have cost */
async function stream(
  engine: HostBackend,
  prompt: Uint32Array,
  sampling: SamplingSpec,
  firstSalt: number,
  open: () => Proof | undefined,
): Promise<readonly ChunkCost[]> {
  const chunks: ChunkCost[] = []
  let written = 0
  for (let salt = firstSalt; written < TOKENS; salt += 1) {
    const seeded = sampling.kind === 'llama' ? { ...sampling, seed: salt } : sampling
    const proof = open()
    const { ids } = await write(engine, prompt, seeded, salt, TOKENS - written, proof)
    written += ids.length
    chunks.push(...(proof?.chunks ?? []))
  }
  return chunks
}

async function write(
  engine: HostBackend,
  promptIds: Uint32Array,
  sampling: SamplingSpec,
  salt: number,
  maxTokens: number,
  proof?: Proof,
): Promise<Answer> {
  const startMs = cpuMsOf(engine.pid)
  const request = { promptIds, sampling, seed: seedOf(salt), maxTokens, stop: [] }
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
  return new Uint8Array(32)
    .with(0, salt & 0xff)
    .with(1, (salt >> 8) & 0xff)
    .with(2, salt >> 16)
}

/** One answer alone, then its audit alone. */
function checking(engine: HostBackend, promptIds: Uint32Array): Way {
  let salt = 0
  const run = async () => {
    let [writeMs, auditMs, answers] = [0, 0, 0]
    for (; answers < STREAMS; answers += 1) {
      const { ids, ms } = await write(engine, promptIds, CHECKABLE, salt, TOKENS)
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

/**
 * In time of processors, both processes together: what else the machine does meanwhile counts for nothing. The ways draw other tokens
 * from the same distribution, so that only many runs say what one costs more.
 */
function slowdownOf(samples: Samples): object {
  const plain = samples('plain', 'us')
  const more = (way: string, figure: string): object =>
    spread(samples(way, figure).map((cost, run) => cost / (plain[run] ?? Number.NaN) - 1))
  return {
    ...{ unit: 'microseconds of CPU time a token', runs: plain.length, tokensOfRun: STREAMS * TOKENS },
    ...{ plain, worker: samples('checkable', 'workerUs') },
    /** By the clock, the middle chunk of a run: what the sides of the chain add. */
    chain: { worker: samples('checkable', 'chainUs'), receiver: samples('checkable', 'receiverUs') },
    ...{ withoutChain: samples('checkable without chain', 'us'), wanted: WANTED_SLOWDOWN },
    ...{ more: more('checkable', 'workerUs'), moreWithoutChain: more('checkable without chain', 'us') },
    moreWithReceiver: more('checkable', 'us'),
  }
}

/** With the bounds between which the median lies with 95 % certainty, whatever the distribution: by the order of the values. */
function spread(values: readonly number[]) {
  const sorted = values.toSorted((a, b) => a - b)
  const half = (NORMAL_95 * Math.sqrt(values.length)) / 2
  const bound = (place: number): number | undefined => sorted[Math.min(values.length - 1, Math.max(0, place))]
  const interval = [bound(Math.floor(values.length / 2 - half)), bound(Math.ceil(values.length / 2 + half) - 1)]
  return {
    ...{ values, median: median(values), interval },
    quartiles: [quantile(values, 0.25), quantile(values, 0.75)],
  }
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
