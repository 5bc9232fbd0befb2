/** The whole path over HTTP, ours with its quorum, books and chains, against llama-server: speed, first words, the event loop. */
import { type Clients, forkClients, type Load } from './clients.ts'
import { watchLoop } from './loop-watch.ts'
import type { Model } from './models.ts'
import { inTurn, type Row, type Samples } from './rows.ts'
import { type Server, startOurs, startTheirs } from './servers.ts'
import type { SuiteContext } from './suite.ts'

const THREADS = 1
const SLOTS = 16
const WANTED_SPEED = 1
const WANTED_TTFT_MS = 5
const WANTED_LOOP_MS = 5

type Case = Pick<Load, 'clients' | 'questions' | 'promptWords' | 'tokens'> & { readonly name: string }

const TALK = { promptWords: 30, tokens: 64 }
const CASES: readonly Case[] = [
  { name: '1 client', clients: 1, questions: 2, ...TALK },
  { name: '4 clients', clients: 4, questions: 2, ...TALK },
  { name: '16 clients', clients: 16, questions: 2, ...TALK },
]
/** Long prompts and short answers, staggered by their own lengths: prompts are read while others write. */
const MIXED: Case = { name: '8 clients, long prompts', clients: 8, questions: 2, promptWords: 200, tokens: 24 }

export async function servingSuite(context: SuiteContext): Promise<readonly Row[]> {
  const { large, tiny } = context.models
  return [...(await against(context, large, [...CASES, MIXED])), ...(await against(context, tiny, CASES))]
}

async function against(context: SuiteContext, model: Model, cases: readonly Case[]): Promise<readonly Row[]> {
  const options = { threads: THREADS, slots: SLOTS }
  const [loop, clients] = [await watchLoop(), forkClients()]
  const servers: Server[] = []
  const rows: Row[] = []
  try {
    const theirs = await startTheirs(model, options)
    servers.push(theirs)
    const ours = await startOurs(model, options, context.driver, loop.env)
    servers.push(ours)
    for (const each of cases) {
      const samples = await inTurn(
        [
          {
            name: 'ours',
            async run() {
              await loop.p99Ms()
              const served = await ask(clients, ours, each)
              return { ...served, loopMs: await loop.p99Ms() }
            },
          },
          { name: 'theirs', run: () => ask(clients, theirs, each) },
        ],
        context.rounds,
      )
      rows.push(...rowsOf(`${each.name}, ${model.name}, ${THREADS}T`, samples, each.clients === SLOTS))
    }
  } finally {
    clients.close()
    for (const server of servers) await server.stop()
    loop.close()
  }
  return rows
}

async function ask(clients: Clients, { address, body }: Server, each: Case): Promise<Readonly<Record<string, number>>> {
  const { tokensPerSecond, ttftMs } = await clients.run({ ...each, address, body })
  return { tokensPerSecond, ttftMs }
}

function rowsOf(name: string, samples: Samples, isFull: boolean): readonly Row[] {
  const reference = 'llama-server'
  const pair = (figure: string) => ({ ours: samples('ours', figure), reference, theirs: samples('theirs', figure) })
  const speed: Row = {
    ...{ test: `HTTP, ${name}`, unit: 't/s', comparison: 'ratio', ...pair('tokensPerSecond') },
    wanted: { atLeast: WANTED_SPEED },
  }
  const ttft: Row = {
    ...{ test: `HTTP first words p50, ${name}`, unit: 'ms', comparison: 'difference', ...pair('ttftMs') },
    wanted: { atMost: WANTED_TTFT_MS },
  }
  const loop: Row = {
    ...{ test: `daemon's event loop p99, ${name}`, unit: 'ms', comparison: 'alone' },
    ...{ ours: samples('ours', 'loopMs'), reference: 'limit', theirs: [], wanted: { atMost: WANTED_LOOP_MS } },
  }
  return isFull ? [speed, ttft, loop] : [speed, ttft]
}
