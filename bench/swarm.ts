/**
 * What other machines cost a job: the same questions to an edge of three daemons over TLS on loopback, where another daemon computes
 * and a third judges and logs, and to a swarm of one process, in turn. The difference is network, signatures seen for the first
 * time, and the way to the region log and back.
 */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { CFAB_TINY } from '../models/catalogue.ts'
import { type SwarmNode, stopAll, swarmOf } from '../test/support/swarm-nodes.ts'
import { type ChatClient, forkChatClient } from './chat-client.ts'
import { startBenchDaemon } from './daemon.ts'
import { median, type Result } from './report.ts'

type Sample = { readonly ttftMs: number; readonly tokensPerSecond: number }

const MAX_TOKENS = 128
const WARM_UPS = 5
/** Time for the roster that has all three. */
const SETTLE_MS = 8_000
/** Tokens at the beginning that do not count for the speed: what was generated before the certificate comes at once. */
const SKIPPED = 8
/** Answers with fewer tokens say nothing about the speed. */
const TOKENS_MIN = 24
/** Events of a stream that are no tokens: the opening, and then the finish, the outcome and the end. */
const EVENTS_BEFORE = 1
const EVENTS_AFTER = 3
const SMALL = ['--slots', '2', '--embedding-model', 'none']

export async function swarmBench(runs: number): Promise<Result> {
  const folder = await mkdtemp(join(tmpdir(), 'cfab-bench-'))
  const local = await startBenchDaemon(join(folder, 'local'), 1, SMALL)
  let nodes: readonly SwarmNode[] = []
  const client = forkChatClient()
  try {
    nodes = await swarmOf(folder, 2)
    await new Promise((resolve) => setTimeout(resolve, SETTLE_MS))
    const edge = nodes[1]
    if (edge === undefined) throw new Error('three nodes')
    const [alone, together]: [Sample[], Sample[]] = [[], []]
    for (let run = -WARM_UPS; run < runs; run += 1) {
      const prompt = `Tell me a short story about fox number ${run + WARM_UPS}.`
      const pair = [await ask(client, local.address, prompt), await ask(client, edge.address, prompt)] as const
      if (run < 0) continue
      alone.push(pair[0])
      together.push(pair[1])
    }
    return resultOf(alone, together)
  } finally {
    client.close()
    await Promise.all([stopAll(nodes), local.stop()])
    await rm(folder, { recursive: true, force: true })
  }
}

async function ask(client: ChatClient, address: string, content: string): Promise<Sample> {
  const messages = [{ role: 'user', content }]
  const asked = { model: CFAB_TINY.id, stream: true, temperature: 0.8, max_tokens: MAX_TOKENS, messages }
  const { events } = await client.ask(address, JSON.stringify(asked))
  const times = events.slice(EVENTS_BEFORE, -EVENTS_AFTER)
  const [from = 0, to = 0] = [times[SKIPPED], times.at(-1)]
  const isLong = times.length >= TOKENS_MIN
  return {
    ttftMs: times[0] ?? Number.NaN,
    tokensPerSecond: isLong ? ((times.length - 1 - SKIPPED) * 1_000) / (to - from) : Number.NaN,
  }
}

function resultOf(alone: readonly Sample[], together: readonly Sample[]): Result {
  const of = (samples: readonly Sample[], field: keyof Sample): number[] =>
    samples.map((sample) => sample[field]).filter((value) => Number.isFinite(value))
  const [ttft, ttftSwarm] = [of(alone, 'ttftMs'), of(together, 'ttftMs')]
  const [speed, speedSwarm] = [of(alone, 'tokensPerSecond'), of(together, 'tokensPerSecond')]
  return {
    bench: 'swarm',
    figures: [
      { name: 'TTFT, one process', unit: 'ms', values: ttft },
      { name: 'TTFT, three daemons', unit: 'ms', values: ttftSwarm },
      { name: 'decode, one process', unit: 't/s', values: speed },
      { name: 'decode, three daemons', unit: 't/s', values: speedSwarm },
    ],
    ratios: [
      { name: 'TTFT, three daemons / one process', value: median(ttftSwarm) / median(ttft) },
      { name: 'decode, three daemons / one process', value: median(speedSwarm) / median(speed) },
    ],
  }
}
