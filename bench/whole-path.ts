/**
 * The whole path (HTTP, intent, hold, draw, certificate, worker, stream) against calling the same backend directly, in the same
 * run, interleaved: what the protocol costs a user in time to first token and in tokens per second.
 */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Backend, LoadRequest } from '../models/backend.ts'
import { CFAB_TINY } from '../models/catalogue.ts'
import { HOST_DEFAULTS, HostBackend } from '../node/hosts/host-backend.ts'
import { systemClock } from '../node/runtime/system.ts'
import { startBenchDaemon } from './daemon.ts'
import { median, type Result } from './report.ts'

type Sample = { readonly ttftMs: number; readonly tokensPerSecond: number }

const THREADS = 1
const MAX_TOKENS = 256
const PROMPT = 'Tell me a short story about a fox.'
const MESSAGES = [{ role: 'user', content: PROMPT }] as const

export async function wholePath(runs: number): Promise<Result> {
  const home = await mkdtemp(join(tmpdir(), 'cfab-bench-'))
  const backend = new HostBackend(HOST_DEFAULTS, { clock: systemClock, onEvent: () => undefined })
  const daemon = await startBenchDaemon(home, THREADS)
  try {
    await backend.load(loadRequest())
    const direct: Sample[] = []
    const whole: Sample[] = []
    for (let run = 0; run <= runs; run += 1) {
      const pair = [await directRun(backend, run), await httpRun(daemon.address)] as const
      // The first pair warms both up.
      if (run > 0) {
        direct.push(pair[0])
        whole.push(pair[1])
      }
    }
    return resultOf(direct, whole)
  } finally {
    await daemon.stop()
    await backend.close()
    await rm(home, { recursive: true, force: true })
  }
}

function loadRequest(): LoadRequest {
  const { path, digest, contextTokens } = CFAB_TINY
  return { path, digest, contextTokens, slotCount: 8, threads: THREADS, memoryBytesMax: 2_147_483_648, gpu: 'off' }
}

async function directRun(backend: Backend, run: number): Promise<Sample> {
  const startMs = performance.now()
  const promptIds = await backend.tokenize(await backend.render(MESSAGES), true)
  const seed = new Uint8Array(32).fill(run + 1)
  const sampling = { kind: 'gumbel-v1', temperatureMilli: 800, topK: 40 } as const
  const times: number[] = []
  for await (const batch of backend.generate(
    { promptIds, sampling, seed, maxTokens: MAX_TOKENS },
    AbortSignal.timeout(60_000),
  ))
    for (const _ of batch.ids) times.push(performance.now())
  return sampleOf(startMs, times)
}

async function httpRun(address: string): Promise<Sample> {
  const startMs = performance.now()
  const body = JSON.stringify({
    model: CFAB_TINY.id,
    stream: true,
    temperature: 0.8,
    max_tokens: MAX_TOKENS,
    messages: MESSAGES,
  })
  const response = await fetch(`${address}/v1/chat/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body,
  })
  const times: number[] = []
  const decoder = new TextDecoder()
  for await (const part of response.body ?? [])
    for (const _ of decoder.decode(part, { stream: true }).matchAll(/"delta":\{"content":"./g))
      times.push(performance.now())
  return sampleOf(startMs, times)
}

function sampleOf(startMs: number, times: readonly number[]): Sample {
  const [first = startMs, last = startMs] = [times[0], times.at(-1)]
  return { ttftMs: first - startMs, tokensPerSecond: ((times.length - 1) * 1_000) / Math.max(1, last - first) }
}

function resultOf(direct: readonly Sample[], whole: readonly Sample[]): Result {
  const of = (samples: readonly Sample[], field: keyof Sample) => samples.map((sample) => sample[field])
  const [ttftDirect, ttftWhole] = [of(direct, 'ttftMs'), of(whole, 'ttftMs')]
  const [speedDirect, speedWhole] = [of(direct, 'tokensPerSecond'), of(whole, 'tokensPerSecond')]
  return {
    bench: 'whole-path',
    figures: [
      { name: 'TTFT, backend directly', unit: 'ms', values: ttftDirect },
      { name: 'TTFT, whole path over HTTP', unit: 'ms', values: ttftWhole },
      { name: 'decode, backend directly', unit: 't/s', values: speedDirect },
      { name: 'decode, whole path over HTTP', unit: 't/s', values: speedWhole },
    ],
    ratios: [
      {
        name: 'TTFT added, ms (median of pairs)',
        value: median(ttftWhole.map((value, place) => value - (ttftDirect[place] ?? 0))),
      },
      { name: 'decode, whole path / backend', value: median(speedWhole) / median(speedDirect) },
    ],
  }
}
