/** `cfab-node credits`: balance, history, audit, mint. */
import { ERRORS, FabricError } from '../../core/errors.ts'
import { parseAccountId } from '../../core/ids.ts'
import type { Config } from '../config.ts'
import { type Client, withClient } from './client.ts'
import type { Io } from './io.ts'
import { listAt, member, textAt } from './json.ts'
import { columns, json, section, shortId } from './print.ts'

type Json = { readonly json?: boolean }

export async function showBalance(account: string | undefined, options: Json, config: Config, io: Io): Promise<number> {
  return withClient(config, async (client) => {
    const ids = account === undefined ? await ownAccounts(client) : [await accountIn(account, client)]
    const views = await Promise.all(ids.map((id) => client.json(`/api/v1/credits/accounts/${accountPath(id)}`)))
    if (options.json === true) io.out(json(account === undefined ? views : views[0]))
    else io.out(views.map(balanceText).join('\n'))
    return 0
  })
}

function balanceText(view: unknown): string {
  return section(`${textAt(view, 'account_type')}/${textAt(view, 'account_id')}`, [
    ['spendable', textAt(view, 'balance', 'spendable')],
    ['held', textAt(view, 'balance', 'held')],
    ['pending', textAt(view, 'balance', 'pending')],
  ])
}

export type HistoryOptions = Json & { readonly limit?: string; readonly job?: string; readonly cursor?: string }

export async function showHistory(
  account: string | undefined,
  options: HistoryOptions,
  config: Config,
  io: Io,
): Promise<number> {
  return withClient(config, async (client) => {
    const query = new URLSearchParams()
    if (account !== undefined) {
      const [type = '', id = ''] = accountPath(await accountIn(account, client)).split('/')
      query.set('account_type', type)
      query.set('account_id', id)
    }
    if (options.job !== undefined) query.set('job_id', options.job)
    if (options.limit !== undefined) query.set('limit', options.limit)
    if (options.cursor !== undefined) query.set('cursor', options.cursor)
    const page = await client.json(`/api/v1/credits/transactions/list?${query}`)
    if (options.json === true) io.out(json(page))
    else io.out(historyText(page))
    return 0
  })
}

function historyText(page: unknown): string {
  const head = ['TIME', 'KIND', 'FROM', 'TO', 'AMOUNT', 'JOB', 'REASON']
  const rows = listAt(page, 'items').map((item) => [
    textAt(item, 'time'),
    textAt(item, 'kind'),
    shortAccount(textAt(item, 'debit')),
    shortAccount(textAt(item, 'credit')),
    textAt(item, 'amount'),
    textAt(item, 'job_id').slice(0, 12),
    textAt(item, 'reason'),
  ])
  const cursor = textAt(page, 'next_cursor')
  return columns([head, ...rows]) + (cursor === '-' ? '' : `more: --cursor ${cursor}\n`)
}

function shortAccount(id: string): string {
  const [type = '', name] = id.split('/')
  return name === undefined ? type : `${type}/${shortId(name)}`
}

/** Exit status 0 only when the books sum to zero and the log, applied again from genesis, gives them. */
export async function showAudit(options: Json, config: Config, io: Io): Promise<number> {
  const audit = await withClient(config, (client) => client.json('/api/v1/credits/audit'))
  const [zeroSum, replay] = [member(audit, 'zero_sum') === true, member(audit, 'replay_matches') === true]
  if (options.json === true) io.out(json(audit))
  else {
    io.out(
      section('Audit', [
        ['zero sum', zeroSum ? 'yes' : `NO, the accounts sum to ${textAt(audit, 'total')}`],
        ['replay', replay ? 'the log gives the same books' : 'NO, the log gives other books'],
        ['entries', textAt(audit, 'entries')],
        ['accounts', textAt(audit, 'accounts')],
        ['open holds', textAt(audit, 'open_holds')],
      ]),
    )
  }
  return zeroSum && replay ? 0 : ERRORS.CF_STORE_FORKED.exit
}

export type MintOptions = Json & { readonly reason: string; readonly idempotencyKey?: string }

export async function mint(
  account: string,
  amount: string,
  options: MintOptions,
  config: Config,
  io: Io,
): Promise<number> {
  return withClient(config, async (client) => {
    const [type, id] = accountPath(await accountIn(account, client)).split('/')
    const row = await client.json('/api/v1/credits/mint', {
      method: 'POST',
      admin: true,
      body: { account_type: type, account_id: id, amount, reason: options.reason },
      headers: options.idempotencyKey === undefined ? {} : { 'idempotency-key': options.idempotencyKey },
    })
    if (options.json === true) io.out(json(row))
    else io.out(`minted ${textAt(row, 'amount')} to ${textAt(row, 'credit')}\ntransaction ${textAt(row, 'id')}\n`)
    return 0
  })
}

async function ownAccounts(client: Client): Promise<readonly string[]> {
  const status = await client.json('/api/v1/status')
  return [`user/${textAt(status, 'user')}`, `node/${textAt(status, 'node')}`]
}

/** `me` is the local user's account. */
async function accountIn(text: string, client: Client): Promise<string> {
  if (text === 'me') return (await ownAccounts(client))[0] ?? ''
  const id = parseAccountId(text)
  if (id === undefined)
    throw new FabricError('CF_LEDGER_ACCOUNT_UNKNOWN', {
      expected: 'me, user/<id>, node/<id>, platform/<region> or mint',
    })
  return id
}

function accountPath(id: string): string {
  return id === 'mint' ? 'mint/mint' : id
}
