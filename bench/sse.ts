/**
 * Tokens to many clients: the real chat route, feeds and event streams over scripted jobs against bare node:http that writes the
 * same bytes. Processor time of the server for each token, in turn; the clients are one process for both.
 */
import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { type Figure, median, type Result } from './report.ts'

/** A process of the benchmark: each order is answered by one message. */
type Helper = { readonly child: ChildProcess; readonly gone: Promise<never> }
type Load = { readonly clients: number; readonly tokensPerSecond: number }

const LOADS: readonly Load[] = [
  { clients: 100, tokensPerSecond: 50 },
  { clients: 1_000, tokensPerSecond: 8 },
]
const SPEAK_MS = 700
const SETTLE_MS = 200
/** Rounds that are thrown away: until compilers have seen some ten thousand tokens. */
const WARM_UPS = 4
const KINDS = ['bare', 'fabric'] as const
const NAMES = { bare: 'bare node:http', fabric: 'chat route' } as const

export async function sseBench(runs: number): Promise<Result> {
  const figures: Figure[] = []
  for (const load of LOADS) figures.push(...(await underLoad(load, runs)))
  return {
    bench: 'sse',
    figures,
    ratios: LOADS.map(({ clients }) => {
      const of = (kind: keyof typeof NAMES) =>
        median(figures.find(({ name }) => name === nameOf(clients, kind))?.values ?? [])
      return { name: `${clients} clients, chat route / bare`, value: of('fabric') / of('bare') }
    }),
  }
}

async function underLoad({ clients, tokensPerSecond }: Load, runs: number): Promise<readonly Figure[]> {
  const listeners = forkFile('./sse-clients.ts', 'clients')
  const servers = await Promise.all(KINDS.map((kind) => startServer(kind)))
  const values = KINDS.map((): number[] => [])
  const bytes = KINDS.map((): number[] => [])
  try {
    for (const server of servers) {
      const { address } = server
      await ask(listeners, { address, count: clients })
      await pause()
      await ask(server, { say: 0, ms: 0 })
      await pause()
    }
    for (let run = -WARM_UPS; run < runs; run += 1)
      for (const [place, server] of servers.entries()) {
        const before = numberIn(await ask(listeners, 'count'), 'bytes')
        const report = await ask(server, { say: tokensPerSecond, ms: SPEAK_MS })
        await pause()
        const tokens = numberIn(report, 'tokens')
        const received = numberIn(await ask(listeners, 'count'), 'bytes') - before
        if (run >= 0) values[place]?.push(numberIn(report, 'cpuUs') / tokens)
        if (run >= 0) bytes[place]?.push(received / tokens)
      }
  } finally {
    for (const { child } of [listeners, ...servers]) child.kill()
  }
  const [bare, fabric] = bytes.map(median)
  if (bare === undefined || fabric === undefined || Math.abs(bare - fabric) > 2)
    throw new Error(`not the same bytes a token: ${bare} and ${fabric}`)
  return KINDS.map((kind, place) => ({ name: nameOf(clients, kind), unit: 'us/token', values: values[place] ?? [] }))
}

function nameOf(clients: number, kind: keyof typeof NAMES): string {
  return `${clients} clients, ${NAMES[kind]}`
}

async function startServer(kind: string): Promise<Helper & { readonly address: string }> {
  const helper = forkFile('./sse-server.ts', kind)
  return { ...helper, address: String(Object(await heard(helper)).address) }
}

function forkFile(file: string, role: string): Helper {
  const child = fork(fileURLToPath(new URL(file, import.meta.url)), [role])
  const gone = once(child, 'exit').then(() => {
    throw new Error('a process of the benchmark ended')
  })
  // Killed in the end, when nobody waits for it any more.
  gone.catch(() => undefined)
  return { child, gone }
}

function ask(helper: Helper, order: object | string): Promise<unknown> {
  helper.child.send(order)
  return heard(helper)
}

async function heard({ child, gone }: Helper): Promise<unknown> {
  const patience = new AbortController()
  try {
    const [answer] = await Promise.race([once(child, 'message', { signal: patience.signal }), gone])
    return answer
  } finally {
    patience.abort()
  }
}

function numberIn(answer: unknown, field: string): number {
  const value: unknown = Object(answer)[field]
  if (typeof value !== 'number') throw new Error(`no ${field}`)
  return value
}

function pause(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, SETTLE_MS))
}
