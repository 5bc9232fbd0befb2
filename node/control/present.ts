/** Views of the app as JSON: snake_case names, amounts as decimal strings, times as ISO 8601. */
import type { AccountId } from '../../core/ids.ts'
import { formatAmount } from '../../core/ledger/amount.ts'
import type {
  AccountView,
  AuditView,
  JobProgress,
  JobView,
  ModelView,
  PeerView,
  Quote,
  StatusView,
} from '../runtime/app.ts'
import type { DisputeView } from '../runtime/disputes.ts'
import type { TransferRow } from '../runtime/ports.ts'
import type { ReportView } from '../runtime/reports.ts'
import { base64Of } from './floats.ts'
import { fabricMember, receiptUrl } from './outcome.ts'

export const isoTime = (ms: number): string => new Date(ms).toISOString()
const amountOrNull = (amount: bigint | null): string | null => (amount === null ? null : formatAmount(amount))

export function modelJson(model: ModelView): object {
  return {
    id: model.id,
    object: 'model',
    created: Math.floor(model.createdMs / 1000),
    owned_by: 'computefabric',
    cfab: {
      digest: model.digest,
      bytes: model.bytes,
      parameters: model.parameters,
      context_tokens: model.contextTokens,
      task: model.task,
      dimensions: model.dimensions,
      tool_format: model.toolFormat ?? null,
      loaded: model.loaded,
    },
  }
}

export function peerJson(peer: PeerView): object {
  return {
    id: peer.id,
    self: peer.self,
    state: peer.state,
    roles: peer.roles,
    region: peer.region,
    weight: peer.weight,
    models: peer.models,
    addresses: peer.addresses,
    rtt_ms: peer.rttMs,
    load: peer.load,
    slots: peer.slots,
    tokens_per_second: peer.tokensPerSecond,
    ineligible: peer.ineligible,
  }
}

/** Eligible peers are listed by id: their ranks depend on the hold's place in the log and are nobody's to know before it. */
export function quoteJson(quote: Quote): object {
  return {
    model: quote.model,
    prompt_tokens: quote.promptTokens,
    max_tokens: quote.maxTokens,
    replicas: quote.replicas,
    price: {
      hold: formatAmount(quote.hold),
      base: formatAmount(quote.base),
      bonus: formatAmount(quote.bonus),
      speed: formatAmount(quote.speed),
      audits: formatAmount(quote.audits),
      fee: formatAmount(quote.fee),
    },
    eligible_peers: [...quote.eligible].sort(),
  }
}

export function jobJson(job: JobView): object {
  return {
    job_id: job.id,
    phase: job.phase,
    created: isoTime(job.createdMs),
    model: job.model,
    task: job.task,
    verifiable: job.verifiable,
    user: job.user,
    replicas: job.replicas,
    hold: formatAmount(job.hold),
    cost: amountOrNull(job.cost),
    refund: amountOrNull(job.refund),
    outcome: job.outcome,
    assurance: job.assurance,
    reason: job.reason,
    text: job.text,
    reports: job.reports.map(reportJson),
    disputes: job.disputes.map(disputeJson),
    receipt_url: receiptUrl(job.id),
  }
}

function reportJson({ replica, auditor, verdict, positions, meanMicro, worstMicro, replayMs }: ReportView): object {
  return {
    ...{ replica, auditor, verdict, positions },
    ...{ mean_micro_nats: meanMicro, worst_micro_nats: worstMicro, replay_ms: replayMs },
  }
}

export function disputeJson({ replica, claim, opener, openedMs, bond, outcome }: DisputeView): object {
  return { replica, claim, opener, opened: isoTime(openedMs), bond: formatAmount(bond), outcome }
}

/** The data of one server-sent event; its name is the progress type. */
export function progressJson(job: Pick<JobView, 'id' | 'verifiable'>, event: JobProgress): object {
  switch (event.type) {
    case 'phase':
      return { phase: event.phase, time: isoTime(event.atMs), detail: event.detail }
    case 'tokens':
      return { ids: event.ids, text: event.text, ...(event.details === undefined ? {} : { logprobs: event.details }) }
    case 'vectors':
      return { encoding: 'base64', vectors: event.vectors.map(base64Of) }
    case 'finish':
      return { finish: event.finish, completion_tokens: event.completionTokens }
    case 'outcome':
      return fabricMember(job, event)
  }
}

export function transactionJson(row: TransferRow): object {
  return {
    id: row.id,
    time: isoTime(row.timeMs),
    kind: row.kind,
    debit: row.debit,
    credit: row.credit,
    amount: formatAmount(row.amount),
    reason: row.reason,
    job_id: row.jobId,
    node_id: row.nodeId,
    idempotency_key: row.idempotencyKey,
    hash: row.hash,
  }
}

/** `user/<id>` has two halves; `mint` is both its own type and its own id. */
function accountHalves(id: AccountId): { account_type: string; account_id: string } {
  const slash = id.indexOf('/')
  return slash < 0
    ? { account_type: id, account_id: id }
    : { account_type: id.slice(0, slash), account_id: id.slice(slash + 1) }
}

export function accountJson(account: AccountView): object {
  return {
    ...accountHalves(account.id),
    balance: balanceJson(account),
    recent_transactions: account.recent.map(transactionJson),
  }
}

function balanceJson(account: AccountView): object {
  return {
    spendable: formatAmount(account.spendable),
    held: formatAmount(account.held),
    pending: formatAmount(account.pending),
  }
}

export function auditJson(audit: AuditView): object {
  return {
    zero_sum: audit.zeroSum,
    total: formatAmount(audit.total),
    accounts: audit.accounts,
    entries: audit.entries.toString(),
    replay_matches: audit.replayMatches,
    open_holds: audit.openHolds,
  }
}

export function statusJson(status: StatusView, ready: { readonly ready: boolean; readonly reason: string }): object {
  return {
    ready: ready.ready,
    ready_reason: ready.reason,
    node: status.node,
    user: status.user,
    swarm: status.swarm,
    region: status.region,
    local: status.local,
    version: status.version,
    started: isoTime(status.startedMs),
    log: status.log,
    log_note: status.logNote,
    epoch: status.epoch.toString(),
    mesh: status.mesh,
    engine: status.engine,
    driver: status.driver?.kind ?? null,
    driver_reason: status.driver?.reason ?? null,
    host_state: status.hostState,
    models: status.models,
    validators: status.validators,
    quorum: status.quorum,
    credits: balanceJson(status.account),
    earned: balanceJson(status.earned),
    jobs: {
      open: status.jobs.open,
      settled_last_hour: status.jobs.settledLastHour,
      refunded_last_hour: status.jobs.refundedLastHour,
    },
    idle: status.idle,
  }
}
