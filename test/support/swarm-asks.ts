/** What tests ask daemons of a swarm: who is there, an answer to a prompt, who worked on it, and where the money is. */
import { listAt, member, textAt } from '../../node/commands/json.ts'
import type { SwarmNode } from './spawned-swarm.ts'

export type SeenPeer = {
  readonly id: string
  readonly state: string
  readonly addresses: readonly string[]
  readonly ineligible: string | null
}
export type ChatAnswer = { readonly jobId: string; readonly text: string; readonly outcome: string }
export type Prompt = { readonly maxTokens: number; readonly content?: string }

export const MODEL = 'cfab-tiny'
/** Each look asks several daemons: more often would slow down what is waited for. */
const LOOK_PAUSE_MS = 100
const EVENTUALLY_MS = 60_000

/** Looks until it is so. @throws when it is not in time, saying what did not come */
export async function eventually(
  what: string,
  isSo: () => Promise<boolean>,
  limitMs: number = EVENTUALLY_MS,
): Promise<void> {
  const endMs = performance.now() + limitMs
  while (!(await isSo())) {
    if (performance.now() > endMs) throw new Error(`not within ${limitMs} ms: ${what}`)
    await new Promise((resolve) => setTimeout(resolve, LOOK_PAUSE_MS))
  }
}

/** Everybody that a node knows, itself included; nobody while it does not answer. */
export async function peersOf(node: SwarmNode): Promise<readonly SeenPeer[]> {
  const answer = await node.json('/api/v1/p2p/peers').catch(() => undefined)
  return listAt(answer, 'items').map((peer) => {
    const ineligible = member(peer, 'ineligible')
    return {
      ...{ id: textAt(peer, 'id'), state: textAt(peer, 'state'), addresses: listAt(peer, 'addresses').map(String) },
      ineligible: typeof ineligible === 'string' ? ineligible : null,
    }
  })
}

/** Whether each of the observers has each of the seen in a state. */
export async function allSee(
  observers: readonly SwarmNode[],
  state: string,
  seen: readonly SwarmNode[] = observers,
): Promise<boolean> {
  const views = await Promise.all(observers.map(peersOf))
  return views.every((view) => seen.every(({ peer }) => view.some((one) => one.id === peer && one.state === state)))
}

/** @throws with the answer unless it is 200 */
export async function chat(node: SwarmNode, prompt: Prompt): Promise<ChatAnswer> {
  const answer = await node.json('/v1/chat/completions', bodyOf(prompt))
  return {
    jobId: textAt(answer, 'cfab', 'job_id'),
    text: textAt(listAt(answer, 'choices')[0], 'message', 'content'),
    outcome: textAt(answer, 'cfab', 'outcome'),
  }
}

function bodyOf({ maxTokens, content = 'Tell me a story about a fox.' }: Prompt): Record<string, unknown> {
  return { model: MODEL, max_tokens: maxTokens, messages: [{ role: 'user', content }] }
}

export async function workersOf(node: SwarmNode, jobId: string): Promise<readonly string[]> {
  const replicas = listAt(await node.json(`/api/v1/p2p/jobs/${jobId}`), 'replicas')
  return replicas.map((replica) => textAt(replica, 'worker'))
}

/** A prompt in its own time, without waiting for what comes of it. @returns the status and the code or outcome */
export async function tryChat(node: SwarmNode, prompt: Prompt): Promise<string> {
  const options = {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(bodyOf(prompt)),
  }
  const reply = await node.ask('/v1/chat/completions', options)
  const body: unknown = JSON.parse(reply.body)
  return reply.status === 200 ? textAt(body, 'cfab', 'outcome') : textAt(body, 'error', 'code')
}

export type Credits = { readonly spendable: string; readonly held: string }

export async function creditsOf(node: SwarmNode): Promise<Credits> {
  const status = await node.json('/api/v1/status')
  return { spendable: textAt(status, 'credits', 'spendable'), held: textAt(status, 'credits', 'held') }
}

export type Audited = { readonly entries: string; readonly openHolds: string }

/** Applies the whole log again from the genesis. @throws when money was made or lost, or the tables differ */
export async function auditOf(node: SwarmNode): Promise<Audited> {
  const audit = await node.json('/api/v1/credits/audit')
  const isSound = member(audit, 'zero_sum') === true && member(audit, 'replay_matches') === true
  if (!isSound) throw new Error(JSON.stringify(audit))
  return { entries: textAt(audit, 'entries'), openHolds: textAt(audit, 'open_holds') }
}

/** Whether every node has the same log, it adds up on each, and no job is left open in it. */
export async function sameBooks(nodes: readonly SwarmNode[]): Promise<boolean> {
  const audits = await Promise.all(nodes.map(auditOf))
  return audits.every(({ entries, openHolds }) => entries === audits[0]?.entries && openHolds === '0')
}

/** Whether every node takes prompts, and sees all workers among them. */
export async function allReady(nodes: readonly SwarmNode[], workers: readonly SwarmNode[] = nodes): Promise<boolean> {
  const ready = await Promise.all(nodes.map((node) => node.ask('/readyz').catch(() => undefined)))
  const views = await Promise.all(nodes.map(peersOf))
  const isEligible = (view: readonly SeenPeer[], id: string): boolean =>
    view.some((seen) => seen.id === id && seen.state === 'alive' && seen.ineligible === null)
  return (
    ready.every((reply) => reply?.status === 200) &&
    views.every((view) => workers.every(({ peer }) => isEligible(view, peer)))
  )
}
