/** `cfab-node job`: submit, watch, get. */
import { stat, writeFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { FabricError } from '../../core/errors.ts'
import { type JobId, parseJobId } from '../../core/ids.ts'
import type { Config } from '../config.ts'
import { systemClock } from '../runtime/system.ts'
import { type Client, withClient } from './client.ts'
import { DaemonError, report } from './failure.ts'
import type { Io } from './io.ts'
import { listAt, member, textAt } from './json.ts'
import { LiveView } from './live.ts'
import { columns, json, plainText, section, shortId } from './print.ts'

export type SubmitOptions = {
  readonly model?: string
  readonly replicas?: string
  readonly seeds?: string
  readonly speed?: string
  readonly maxBudget?: string
  readonly verify?: string
  readonly temperature?: string
  readonly topK?: string
  readonly topP?: string
  readonly stop?: readonly string[]
  readonly maxTokens?: string
  readonly seed?: string
  readonly region?: string
  readonly nonce?: string
  readonly dryRun?: boolean
  readonly detach?: boolean
  readonly out?: string
  readonly json?: boolean
}
type WatchOptions = { readonly out?: string; readonly json?: boolean }

const RECEIPT_WAIT_MS = 10_000
const RECEIPT_POLL_MS = 200
const EXIT_INTERRUPTED = 130

export async function submitJob(
  words: readonly string[],
  options: SubmitOptions,
  config: Config,
  io: Io,
): Promise<number> {
  const prompt = await promptOf(words, io)
  return withClient(config, async (client) => {
    const body = intentBody(prompt, options, options.model ?? (await chatModel(client)) ?? config.model)
    const answer = await client.json('/api/v1/p2p/intents', { method: 'POST', body })
    if (options.dryRun === true) {
      io.out(options.json === true ? json(answer) : quoteText(answer))
      return 0
    }
    const id = jobIdIn(textAt(answer, 'job_id'))
    io.err(`job ${id}${member(answer, 'repeated') === true ? ' (submitted before)' : ''}\n`)
    if (options.detach === true) {
      io.out(options.json === true ? json(answer) : `${id}\n`)
      return 0
    }
    return follow(client, id, options, io)
  })
}

/** The model that the node serves, whatever it is: this shell's settings need not be those that it was started with. */
async function chatModel(client: Client): Promise<string | undefined> {
  const models = listAt(await client.json('/api/v1/status'), 'models')
  const chat = models.find((model) => textAt(model, 'task') === 'chat')
  return chat === undefined ? undefined : textAt(chat, 'id')
}

export async function watchJob(id: string, options: WatchOptions, config: Config, io: Io): Promise<number> {
  return withClient(config, (client) => follow(client, jobIdIn(id), options, io))
}

export async function showJob(
  id: string,
  options: { readonly json?: boolean },
  config: Config,
  io: Io,
): Promise<number> {
  const job = await withClient(config, (client) => client.json(`/api/v1/p2p/jobs/${jobIdIn(id)}`))
  io.out(options.json === true ? json(job) : jobText(job))
  return 0
}

export type DisputeOptions = { readonly replica: string; readonly claim: string; readonly json?: boolean }

/** Opens a dispute; its end comes with the log, and `job get` shows it. */
export async function disputeJob(id: string, options: DisputeOptions, config: Config, io: Io): Promise<number> {
  const body = { replica: Number(options.replica), claim: options.claim }
  const path = `/api/v1/p2p/jobs/${jobIdIn(id)}/disputes`
  const dispute = await withClient(config, (client) => client.json(path, { method: 'POST', body }))
  io.out(options.json === true ? json(dispute) : disputesText([dispute]))
  return 0
}

async function promptOf(words: readonly string[], io: Io): Promise<string> {
  const input = words.length === 0 || (words.length === 1 && words[0] === '-') ? await io.readInput() : words.join(' ')
  if (input === null || input === '')
    throw new FabricError('CF_JOB_INVALID', { reason: 'no prompt: give it as an argument or on standard input' })
  return input
}

/** Numbers that do not read as numbers go as text: the daemon's answer then names the field. */
function intentBody(prompt: string, options: SubmitOptions, model: string): Readonly<Record<string, unknown>> {
  const numeric = (text: string | undefined): number | string | undefined => {
    return text !== undefined && text.trim() !== '' && Number.isFinite(Number(text)) ? Number(text) : text
  }
  return {
    model,
    prompt,
    replicas: numeric(options.replicas),
    seeds: options.seeds,
    speed: numeric(options.speed),
    temperature: numeric(options.temperature),
    top_k: numeric(options.topK),
    top_p: numeric(options.topP),
    stop: options.stop,
    max_tokens: numeric(options.maxTokens),
    seed: numeric(options.seed),
    verify: options.verify,
    max_budget: options.maxBudget,
    region: options.region,
    nonce: options.nonce,
    dry_run: options.dryRun,
  }
}

/** Shows the job until its outcome; Ctrl-C asks it to stop, a second one leaves it. */
async function follow(client: Client, id: JobId, options: WatchOptions, io: Io): Promise<number> {
  const view = new LiveView(io, systemClock, options.json !== true)
  const stop = stopper(client, id, view, io)
  try {
    const outcome = await Promise.race([lastOutcome(client, id, view), stop.left])
    view.endLine()
    return outcome === 'left' ? EXIT_INTERRUPTED : await conclude(client, id, outcome, options, io)
  } finally {
    stop.release()
  }
}

async function lastOutcome(client: Client, id: JobId, view: LiveView): Promise<unknown> {
  for await (const event of client.events(`/api/v1/p2p/jobs/${id}/events`)) {
    if (event.name === 'outcome') return event.data
    view.show(event)
  }
  throw new FabricError('CF_CONTROL_UNREACHABLE', {
    address: client.address,
    reason: 'the stream ended before the outcome',
  })
}

function stopper(
  client: Client,
  id: JobId,
  view: LiveView,
  io: Io,
): { readonly left: Promise<'left'>; readonly release: () => void } {
  const { promise: left, resolve: leave } = Promise.withResolvers<'left'>()
  const release = io.onStop((again) => {
    if (again) return leave('left')
    view.stage('stopping', 'again to leave at once')
    client.json(`/api/v1/p2p/jobs/${id}`, { method: 'DELETE' }).catch((error: unknown) => report(error, io))
  })
  return { left, release }
}

async function conclude(client: Client, id: JobId, outcome: unknown, options: WatchOptions, io: Io): Promise<number> {
  const said = textAt(outcome, 'outcome')
  const file = said === 'pending' ? undefined : await saveReceipt(client, id, options.out, io)
  if (options.json === true) {
    const job = await client.json(`/api/v1/p2p/jobs/${id}`)
    io.out(json({ job, outcome, receipt_file: file ?? null }))
  } else {
    const assurance = textAt(outcome, 'assurance')
    const facts: (readonly [string, string])[] = [
      ['outcome', assurance === '-' || assurance === said ? said : `${said} (${assurance})`],
      ['cost', textAt(outcome, 'cost')],
      ['refund', textAt(outcome, 'refund')],
      ['receipt', file ?? `pending: cfab-node job watch ${id}`],
    ]
    io.err(columns(facts))
  }
  if (said !== 'rejected' && said !== 'refunded') return 0
  return report(new FabricError('CF_JOB_FAILED', { reason: textAt(outcome, 'reason'), job: id }), io)
}

/** The receipt is written with the settlement; a moment may lie between the outcome and its file. */
async function saveReceipt(client: Client, id: JobId, out: string | undefined, io: Io): Promise<string> {
  const path = await receiptPath(id, out, io.cwd)
  const deadlineMs = systemClock.nowMs() + RECEIPT_WAIT_MS
  for (;;) {
    try {
      await writeFile(path, await client.bytes(`/api/v1/p2p/receipts/${id}`))
      return path
    } catch (error) {
      const notYet = error instanceof DaemonError && error.code === 'CF_JOB_NOT_SETTLED'
      if (!notYet || systemClock.nowMs() > deadlineMs) throw error
      await systemClock.sleep(RECEIPT_POLL_MS)
    }
  }
}

/** @param out  a folder or a file name; absent: the working folder */
async function receiptPath(id: JobId, out: string | undefined, cwd: string): Promise<string> {
  const target = resolve(cwd, out ?? '.')
  const isFolder = await stat(target).then(
    (facts) => facts.isDirectory(),
    () => false,
  )
  return isFolder ? join(target, `${id.slice(0, 12)}.cfab-receipt`) : target
}

function jobIdIn(text: string): JobId {
  const id = parseJobId(text)
  if (id === undefined) throw new FabricError('CF_JOB_UNKNOWN', { expected: 'a job id of 64 hexadecimal digits' })
  return id
}

function quoteText(quote: unknown): string {
  return section(`Quote for ${textAt(quote, 'model')}`, [
    ['prompt tokens', textAt(quote, 'prompt_tokens')],
    ['max tokens', textAt(quote, 'max_tokens')],
    ['replicas', textAt(quote, 'replicas')],
    ['held at most', textAt(quote, 'price', 'hold')],
    ['of it base', textAt(quote, 'price', 'base')],
    ['of it bonus', textAt(quote, 'price', 'bonus')],
    ['of it speed', textAt(quote, 'price', 'speed')],
    ['of it audits', textAt(quote, 'price', 'audits')],
    ['of it fee', textAt(quote, 'price', 'fee')],
    ['eligible peers', String(listAt(quote, 'eligible_peers').length)],
  ])
}

export function jobText(job: unknown): string {
  const facts = section(`Job ${textAt(job, 'job_id')}`, [
    ['phase', textAt(job, 'phase')],
    ['outcome', textAt(job, 'outcome')],
    ['assurance', textAt(job, 'assurance')],
    ['reason', textAt(job, 'reason')],
    ['model', textAt(job, 'model')],
    ['task', member(job, 'verifiable') === false ? `${textAt(job, 'task')}, unverifiable` : textAt(job, 'task')],
    ['created', textAt(job, 'created')],
    ['held', textAt(job, 'hold')],
    ['cost', textAt(job, 'cost')],
    ['refund', textAt(job, 'refund')],
  ])
  const head = ['REPLICA', 'WORKER', 'STATE', 'VERDICT', 'TOKENS']
  const rows = listAt(job, 'replicas').map((replica, index) => [
    String(index),
    shortId(textAt(replica, 'worker')),
    textAt(replica, 'state'),
    textAt(replica, 'verdict'),
    textAt(replica, 'tokens'),
  ])
  const text = member(job, 'text')
  const disputes = listAt(job, 'disputes')
  const contested = disputes.length === 0 ? '' : `\n${disputesText(disputes)}`
  return `${facts}${rows.length === 0 ? '' : `\n${columns([head, ...rows])}`}${contested}${typeof text === 'string' ? `\n${plainText(text)}\n` : ''}`
}

function disputesText(disputes: readonly unknown[]): string {
  const rows = disputes.map((dispute) => [
    textAt(dispute, 'replica'),
    textAt(dispute, 'claim'),
    shortId(textAt(dispute, 'opener')),
    textAt(dispute, 'bond'),
    member(dispute, 'outcome') === null ? 'open' : textAt(dispute, 'outcome'),
  ])
  return columns([['DISPUTED', 'CLAIM', 'BY', 'BOND', 'OUTCOME'], ...rows])
}
