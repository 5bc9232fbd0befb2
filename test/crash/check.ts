/** What must hold after the last crash, asked of a daemon that was left alone: nothing promised is lost, nothing is paid twice. */

import { parseSwarmId } from '../../core/ids.ts'
import { parseAmount } from '../../core/ledger/amount.ts'
import { verifyReceiptFile } from '../../core/receipt/verify.ts'
import { getJson } from '../support/spawned-node.ts'
import type { Book } from './book.ts'

export type Books = {
  readonly jobs: number
  readonly paid: number
  readonly refunded: number
  readonly transactions: number
}

type Job = {
  readonly job_id: string
  readonly phase: string
  readonly outcome: string | null
  readonly hold: string
  readonly cost: string | null
  readonly refund: string | null
  readonly text: string | null
}
type Transaction = {
  readonly id: string
  readonly kind: string
  readonly amount: string
  readonly job_id: string | null
  readonly idempotency_key: string
  readonly hash: string
}

const PAGE = 200
const RECEIPTS_AT_ONCE = 8

/** Asks, compares, and notes every violation in the book. */
export async function checkEnd(address: string, swarm: string, book: Book): Promise<Books> {
  const jobs = new Map((await all<Job>(`${address}/api/v1/p2p/jobs`)).map((job) => [job.job_id, job]))
  const transactions = await all<Transaction>(`${address}/api/v1/credits/transactions/list`)
  checkPromises(jobs, transactions, book)
  const byJob = groupBy(transactions.filter(({ kind }) => kind !== 'spend' && kind !== 'mint'))
  for (const job of jobs.values()) checkMoney(job, byJob.get(job.job_id) ?? [], book)
  for (const id of byJob.keys()) if (!jobs.has(id)) book.violate(`the log holds job ${id}, the node does not know it`)
  await checkReceipts(address, swarm, [...jobs.values()], book)
  await checkAudit(address, book)
  const paid = [...jobs.values()].filter(isPaid).length
  return { jobs: jobs.size, paid, refunded: jobs.size - paid, transactions: transactions.length }
}

function checkPromises(jobs: ReadonlyMap<string, Job>, transactions: readonly Transaction[], book: Book): void {
  const byKey = new Map<string, Transaction[]>()
  for (const row of transactions) byKey.set(row.idempotency_key, [...(byKey.get(row.idempotency_key) ?? []), row])
  for (const [key, rows] of byKey) if (rows.length > 1) book.violate(`key ${key} moved credit ${rows.length} times`)
  for (const { wish, id } of book.promised.values()) {
    if (wish.kind === 'mint' || wish.kind === 'spend') {
      const row = byKey.get(wish.key)?.[0]
      if (row?.id !== id || row.kind !== wish.kind) book.violate(`${wish.kind} ${wish.key} was promised as ${id}`)
    } else if (!jobs.has(id)) book.violate(`job ${id} was promised and does not exist`)
  }
  for (const [id, text] of book.texts) {
    const job = jobs.get(id)
    if (job === undefined || !isPaid(job)) book.violate(`job ${id} was answered for and is now ${job?.outcome}`)
    else if (job.text !== text) book.violate(`job ${id} was answered "${text}", its receipt says "${job.text}"`)
  }
}

/** One hold, one settlement, and the two are equal. */
function checkMoney(job: Job, rows: readonly Transaction[], book: Book): void {
  const id = job.job_id
  if (job.phase !== 'settled') {
    book.violate(`job ${id} is ${job.phase}`)
    return
  }
  const holds = rows.filter(({ kind }) => kind === 'hold')
  const legs = rows.filter(({ kind }) => kind !== 'hold')
  if (holds.length !== 1) book.violate(`job ${id} has ${holds.length} holds`)
  if (new Set(legs.map(({ hash }) => hash)).size !== 1) book.violate(`job ${id} has not exactly one settlement`)
  const refund = sum(legs.filter(({ kind }) => kind === 'refund'))
  const cost = sum(legs.filter(({ kind }) => kind !== 'refund'))
  const said = [amount(job.hold), amount(job.cost ?? '0'), amount(job.refund ?? '0')]
  if (sum(holds) !== cost + refund || [sum(holds), cost, refund].some((part, place) => part !== said[place]))
    book.violate(`job ${id} held ${sum(holds)}, cost ${cost}, gave back ${refund}, and says ${said.join(', ')}`)
  if (isPaid(job) !== cost > 0n) book.violate(`job ${id} is ${job.outcome} and cost ${cost}`)
}

async function checkReceipts(address: string, swarm: string, jobs: readonly Job[], book: Book): Promise<void> {
  const root = parseSwarmId(swarm)
  const trust = { roots: new Set(root === undefined ? [] : [root]) }
  const waiting = [...jobs]
  const lane = async (): Promise<void> => {
    for (let job = waiting.shift(); job !== undefined; job = waiting.shift()) {
      const answer = await fetch(`${address}/api/v1/p2p/receipts/${job.job_id}`)
      const verdict = verifyReceiptFile(new Uint8Array(await answer.arrayBuffer()), trust)
      if (verdict.status !== 'valid') book.violate(`the receipt of ${job.job_id} is ${JSON.stringify(verdict.status)}`)
      else if (verdict.facts.jobId !== job.job_id || verdict.facts.settlement.cost !== amount(job.cost ?? '0'))
        book.violate(`the receipt of ${job.job_id} is about something else`)
    }
  }
  await Promise.all(Array.from({ length: RECEIPTS_AT_ONCE }, lane))
}

async function checkAudit(address: string, book: Book): Promise<void> {
  const audit = JSON.stringify(await getJson(`${address}/api/v1/credits/audit`))
  for (const fact of ['"zero_sum":true', '"replay_matches":true', '"open_holds":0'])
    if (!audit.includes(fact)) book.violate(`the audit does not say ${fact}: ${audit}`)
}

/** Every page of a list. */
async function all<T>(url: string): Promise<readonly T[]> {
  const items: T[] = []
  let cursor: string | null = null
  do {
    const query = new URLSearchParams({ limit: String(PAGE), ...(cursor === null ? {} : { cursor }) })
    const page: { readonly items: readonly T[]; readonly next_cursor: string | null } = JSON.parse(
      await (await fetch(`${url}?${query}`)).text(),
    )
    items.push(...page.items)
    cursor = page.next_cursor
  } while (cursor !== null)
  return items
}

function groupBy(rows: readonly Transaction[]): ReadonlyMap<string, readonly Transaction[]> {
  const groups = new Map<string, Transaction[]>()
  for (const row of rows) {
    if (row.job_id === null) continue
    const group = groups.get(row.job_id) ?? []
    groups.set(row.job_id, group)
    group.push(row)
  }
  return groups
}

/** What was not given back was paid for; the outcome's word says how much it was checked. */
function isPaid({ outcome }: Job): boolean {
  return outcome !== null && outcome !== 'refunded' && outcome !== 'rejected'
}

function amount(text: string): bigint {
  return parseAmount(text) ?? -1n
}

function sum(rows: readonly Transaction[]): bigint {
  return rows.reduce((total, row) => total + amount(row.amount), 0n)
}
