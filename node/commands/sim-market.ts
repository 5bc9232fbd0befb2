/** `cfab-node sim --market`: what honest and cheating workers earn under the project's own rules of audit, payment and slash. */
import { FabricError } from '../../core/errors.ts'
import { DEFAULT_POLICY } from '../../core/log/genesis.ts'
import { systemClock, systemRandom } from '../runtime/system.ts'
import { type MarketReport, type MarketRequest, runMarket } from '../simulation/market/market.ts'
import { drawSeed } from '../simulation/prng.ts'
import type { Io } from './io.ts'
import { columns, json, section } from './print.ts'

export type MarketFlags = {
  readonly jobs?: string
  readonly seed?: string
  readonly audits?: string
  readonly json?: boolean
}

const EXIT_VIOLATION = 70
const SEED_MAX = 0xffffffff
const JOBS_MAX = 200_000
/** Of honest workers as auditors: one in twenty looks at nothing, one in twenty does so by agreement, one in forty accuses everybody. */
const AUDITORS = { lazyPermille: 50, colludingPermille: 50, maliciousPermille: 25 }
const PER_KIND = 2

/** @returns exit status 70 when a kind of cheat earns as much as honest work does */
export async function runMarketCommand(flags: MarketFlags, io: Io): Promise<number> {
  const request: MarketRequest = {
    jobs: whole('--jobs', flags.jobs ?? '20000', 1, JOBS_MAX),
    seed: flags.seed === undefined ? drawSeed(systemRandom) : whole('--seed', flags.seed, 0, SEED_MAX),
    auditPermille: whole('--audits', flags.audits ?? String(DEFAULT_POLICY.auditPermille), 0, 1_000),
    ...{ perKind: PER_KIND, ...AUDITORS },
  }
  const startedMs = systemClock.nowMs()
  const report = runMarket(request)
  io.out(flags.json === true ? json(report) : marketText(report))
  io.err(`simulated in ${((systemClock.nowMs() - startedMs) / 1_000).toFixed(1)} s\n`)
  return report.everyCheatLoses ? 0 : EXIT_VIOLATION
}

function whole(key: string, text: string, min: number, max: number): number {
  const value = Number(text)
  if (Number.isInteger(value) && value >= min && value <= max) return value
  throw new FabricError('CF_CONFIG_INVALID', { source: 'flag', key, expected: `a whole number from ${min} to ${max}` })
}

export function marketText({ request, kinds, auditors, jobs, audits, everyCheatLoses }: MarketReport): string {
  const { seed, auditPermille } = request
  const facts = section('Market', [
    ['seed', String(seed)],
    ['audits', `${auditPermille / 10} % of a known worker, ${audits} made`],
    ['jobs', `${jobs.paid} paid, ${jobs.refunded} refunded; ${jobs.wrongPaid} paid for a wrong answer`],
  ])
  const rows = kinds.map(({ kind, answers, value, valueError, paidShare, failedShare, slashes, ...found }) => [
    kind,
    String(answers),
    `${value.toFixed(3)} ± ${valueError.toFixed(3)}`,
    percent(paidShare),
    percent(failedShare),
    String(slashes),
    found.firstFailedAfter === null ? 'never' : found.firstFailedAfter.toFixed(1),
    found.breakEven === null ? '-' : percent(found.breakEven),
  ])
  const head = ['KIND', 'ANSWERS', 'VALUE', 'PAID', 'FAILED', 'SLASHES', 'FOUND AFTER', 'EVEN AT']
  const auditing = auditors.map(({ kind, members, outvotedShare, pay, barredAfter, value, ...mean }) => [
    ...[kind, String(members), mean.answers.toFixed(0), mean.audits.toFixed(0), percent(outvotedShare)],
    pay.toFixed(3),
    barredAfter === null ? 'never' : barredAfter.toFixed(0),
    (1_000 * value).toFixed(2),
  ])
  const auditingHead = [
    ...['AUDITOR', 'MEMBERS', 'ANSWERS', 'AUDITS', 'OUTVOTED', 'PAY OF ONE', 'BARRED AFTER'],
    'VALUE OF 1,000 JOBS',
  ]
  const tables = [columns([head, ...rows]), columns([auditingHead, ...auditing])]
  return `${facts}\n${tables.join('\n')}\nevery cheat loses: ${everyCheatLoses ? 'yes' : 'no'}\n`
}

function percent(share: number): string {
  return `${(100 * share).toFixed(1)} %`
}
