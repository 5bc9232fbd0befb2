/**
 * The whole path (HTTP, intent, hold, draw, certificate, worker, stream) against calling the same backend directly, in the same
 * run, interleaved: what the protocol costs a user in time to first token and in tokens per second.
 *
 * Both ask the same prompts of the same engine in a child process, each prompt once. The client of the whole path is a process of its
 * own, as a user's is; the direct caller is this process.
 */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Backend, LoadRequest } from '../models/backend.ts'
import { CFAB_TINY } from '../models/catalogue.ts'
import { HOST_DEFAULTS, HostBackend } from '../node/hosts/host-backend.ts'
import { systemClock } from '../node/runtime/system.ts'
import { type ChatClient, forkChatClient } from './chat-client.ts'
import { startBenchDaemon } from './daemon.ts'
import { median, type Result } from './report.ts'

type Sample = { readonly ttftMs: number; readonly tokensPerSecond: number }

const THREADS = 1
const SLOTS = 8
const MAX_TOKENS = 256
/** Pairs that are thrown away: compilers, caches and the disk's journal need some. */
const WARM_UPS = 15
/** Tokens at the beginning that do not count for the speed: what was generated before the certificate comes at once. */
const SKIPPED = 8
/** Answers with fewer tokens say nothing about the speed. */
const TOKENS_MIN = 24
/** Events of a stream that are no tokens: the opening, and then the finish, the outcome and the end. */
const EVENTS_BEFORE = 1
const EVENTS_AFTER = 3

export async function wholePath(runs: number): Promise<Result> {
  const home = await mkdtemp(join(tmpdir(), 'cfab-bench-'))
  const backend = new HostBackend(HOST_DEFAULTS, { clock: systemClock, onEvent: () => undefined })
  const daemon = await startBenchDaemon(home, THREADS)
  const client = forkChatClient()
  try {
    await backend.load(loadRequest())
    const direct: Sample[] = []
    const whole: Sample[] = []
    for (let run = -WARM_UPS; run < runs; ) {
      const prompt = `Tell me a short story about fox number ${run + WARM_UPS}.`
      const pair = [await directRun(backend, prompt, run), await httpRun(client, daemon.address, prompt)] as const
      run += 1
      if (run <= 0) continue
      direct.push(pair[0])
      whole.push(pair[1])
    }
    return resultOf(direct, whole)
  } finally {
    client.close()
    await daemon.stop()
    await backend.close()
    await rm(home, { recursive: true, force: true })
  }
}

function loadRequest(): LoadRequest {
  const { format, path, digest, contextTokens } = CFAB_TINY
  const limits = { slotCount: SLOTS, threads: THREADS, memoryBytesMax: 2_147_483_648 }
  return { format, path, digest, contextTokens, ...limits, gpu: 'off' }
}

async function directRun(backend: Backend, prompt: string, run: number): Promise<Sample> {
  const startMs = performance.now()
  const promptIds = await backend.tokenize(await backend.render([{ role: 'user', content: prompt }]), true)
  const seed = new Uint8Array(32).fill(run + WARM_UPS)
  const sampling = { kind: 'gumbel-v1', temperatureMilli: 800, topK: 40 } as const
  const request = { promptIds, sampling, seed, maxTokens: MAX_TOKENS, stop: [] }
  const times: number[] = []
  for await (const { text } of backend.generate(request, AbortSignal.timeout(60_000)))
    if (text !== '') times.push(performance.now() - startMs)
  return sampleOf(times)
}

async function httpRun(client: ChatClient, address: string, content: string): Promise<Sample> {
  const messages = [{ role: 'user', content }]
  const asked = { model: CFAB_TINY.id, stream: true, temperature: 0.8, max_tokens: MAX_TOKENS, messages }
  const { events } = await client.ask(address, JSON.stringify(asked))
  return sampleOf(events.slice(EVENTS_BEFORE, -EVENTS_AFTER))
}

/** @param times  milliseconds after the question, one for each token with a text */
function sampleOf(times: readonly number[]): Sample {
  const [from = 0, to = 0] = [times[SKIPPED], times.at(-1)]
  const isLong = times.length >= TOKENS_MIN
  return {
    ttftMs: times[0] ?? Number.NaN,
    tokensPerSecond: isLong ? ((times.length - 1 - SKIPPED) * 1_000) / (to - from) : Number.NaN,
  }
}

function resultOf(direct: readonly Sample[], whole: readonly Sample[]): Result {
  const paired = (field: keyof Sample) => {
    const pairs = direct.map((sample, place) => [sample[field], whole[place]?.[field] ?? Number.NaN] as const)
    return pairs.filter(([one, other]) => Number.isFinite(one) && Number.isFinite(other))
  }
  const [ttft, speed] = [paired('ttftMs'), paired('tokensPerSecond')]
  const added = ttft.map(([one, other]) => other - one)
  const ratio = speed.map(([one, other]) => other / one)
  return {
    bench: 'whole-path',
    figures: [
      { name: 'TTFT, backend directly', unit: 'ms', values: ttft.map(([one]) => one) },
      { name: 'TTFT, whole path over HTTP', unit: 'ms', values: ttft.map(([, other]) => other) },
      { name: 'TTFT, added', unit: 'ms', values: added },
      { name: 'decode, backend directly', unit: 't/s', values: speed.map(([one]) => one) },
      { name: 'decode, whole path over HTTP', unit: 't/s', values: speed.map(([, other]) => other) },
      { name: 'decode, whole path / backend', unit: '', values: ratio },
    ],
    ratios: [
      { name: 'TTFT added, ms (median of pairs)', value: median(added) },
      { name: 'decode, whole path / backend (median of pairs)', value: median(ratio) },
    ],
  }
}
