/** What a spawned node goes through: clients that hang up, and compute hosts that die under it. */
import { readFileSync } from 'node:fs'
import { textAt } from '../../node/commands/json.ts'
import { Book } from '../crash/book.ts'
import { type Books, checkEnd } from '../crash/check.ts'
import { ask } from '../support/control.ts'
import { missing } from '../support/missing.ts'
import type { SeededRandom } from '../support/seeded-random.ts'
import { childrenOf, getJson, isAlive, type SpawnedNode } from '../support/spawned-node.ts'
import { type Chat, type Ending, streamChat } from './clients.ts'

const TOPICS = ['Tell me a long story.', 'What is the capital of France?', 'Hello!', 'Tell me about a dog and a bird.']
const TOKENS_MAX = 300
const HANG_UP_MS_MAX = 1_500
/** One client in so many stays to the end. */
const STAYS_ONE_IN = 8
const POLL_MS = 5
const SETTLE_MS_MAX = 120_000

export type Tally = Map<string, number>

function chatOf(random: SeededRandom): Chat {
  const content = TOPICS[random.below(TOPICS.length)] ?? missing()
  return { content, maxTokens: 1 + random.below(TOKENS_MAX), seed: random.below(1_000_000) }
}

function note(tally: Tally, ending: Ending): void {
  const what = 'code' in ending ? ` ${ending.code}` : ''
  const name = ending.how + what
  tally.set(name, (tally.get(name) ?? 0) + 1)
}

/** So many clients at once, each some rounds, most of which end by the client's hanging up. @returns what else went wrong */
export async function hangUps(
  node: SpawnedNode,
  { clients, rounds, random }: { readonly clients: number; readonly rounds: number; readonly random: SeededRandom },
  tally: Tally,
): Promise<readonly string[]> {
  const faults: string[] = []
  const client = async (): Promise<void> => {
    for (let round = 0; round < rounds; round += 1) {
      const leave = new AbortController()
      const stays = random.below(STAYS_ONE_IN) === 0
      const timer = stays ? undefined : setTimeout(() => leave.abort(), random.below(HANG_UP_MS_MAX))
      const ending = await streamChat(node.address, chatOf(random), leave.signal)
      clearTimeout(timer)
      note(tally, ending)
      if (ending.how === 'broken') faults.push(ending.what)
    }
  }
  await Promise.all(Array.from({ length: clients }, client))
  return faults
}

export type Kills = { readonly faults: readonly string[]; readonly readyMs: readonly number[] }

/** Streams all the while; the host of the chat model is killed that often, each time at a random moment. */
export async function killHosts(
  node: SpawnedNode,
  { clients, kills, random }: { readonly clients: number; readonly kills: number; readonly random: SeededRandom },
  tally: Tally,
): Promise<Kills> {
  const faults: string[] = []
  const readyMs: number[] = []
  let isOver = false
  const client = async (): Promise<void> => {
    while (!isOver) {
      const ending = await streamChat(node.address, chatOf(random))
      note(tally, ending)
      if (ending.how === 'broken') faults.push(ending.what)
      if (ending.how === 'refused') await pause(20)
    }
  }
  const streams = Array.from({ length: clients }, client)
  for (let kill = 0; kill < kills; kill += 1) {
    await pause(50 + random.below(800))
    const pid = await chatHost(node)
    const signal = random.below(2) === 0 ? 'SIGSEGV' : 'SIGABRT'
    process.kill(pid, signal)
    const startedMs = performance.now()
    await until(async () => !isAlive(pid))
    // The node may not have noticed yet: its word alone is not enough.
    await chatHost(node)
    readyMs.push(Math.round(performance.now() - startedMs))
    tally.set(signal, (tally.get(signal) ?? 0) + 1)
  }
  isOver = true
  await Promise.all(streams)
  return { faults, readyMs }
}

/** @returns once the node has one that is ready */
async function chatHost(node: SpawnedNode): Promise<number> {
  let found: number | undefined
  await until(async () => {
    found = childrenOf(node.pid).find(hasModel)
    return found !== undefined && (await ask(`${node.address}/readyz`)).status === 200
  })
  return found ?? missing()
}

/** A program that looks for the libraries opens them too. Where the system does not tell, any child is as good. */
function hasModel(pid: number): boolean {
  if (process.platform !== 'linux') return true
  try {
    const isHost = readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes('models/host')
    return isHost && readFileSync(`/proc/${pid}/maps`, 'utf8').includes('libllama')
  } catch {
    return false
  }
}

/** Asks as many chats as there are slots, at once, then holds the books against every job. */
export async function checkCalm(
  node: SpawnedNode,
  slots: number,
): Promise<{ readonly books: Books; readonly faults: readonly string[] }> {
  const chat = { content: 'What is the capital of France?', maxTokens: 8, seed: 1 }
  const endings = await Promise.all(Array.from({ length: slots }, () => streamChat(node.address, chat)))
  const faults = endings
    .filter(({ how }) => how !== 'whole')
    .map((ending) => `afterwards a chat ended as ${JSON.stringify(ending)}`)
  await until(async () => Number(textAt(await statusOf(node), 'jobs', 'open')) === 0)
  const metrics = (await ask(`${node.address}/metrics`)).body
  const busy = metrics.split('\n').filter((line) => /^cfab_slots_busy\S* [1-9]/.test(line))
  const book = new Book()
  const books = await checkEnd(node.address, textAt(await statusOf(node), 'swarm'), book)
  return { books, faults: [...faults, ...busy.map((line) => `still busy: ${line}`), ...book.violations] }
}

function statusOf(node: SpawnedNode): Promise<unknown> {
  return getJson(`${node.address}/api/v1/status`)
}

async function until(what: () => Promise<boolean>): Promise<void> {
  const startedMs = performance.now()
  while (!(await what())) {
    if (performance.now() - startedMs > SETTLE_MS_MAX)
      throw new Error(`not within ${SETTLE_MS_MAX} ms: ${what.toString()}`)
    await pause(POLL_MS)
  }
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms))
}
