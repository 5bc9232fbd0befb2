/** Where the daemon is killed: each point lies between two steps that a crash could tear apart. */
import type { Job } from '../../core/job/job.ts'
import { parseJob } from '../../core/job/journal.ts'
import type { EntryKind } from '../../core/log/entry.ts'
import type { TokenBatch } from '../../models/backend.ts'
import type { ComputeHost, Taps } from '../../node/daemon.ts'
import type { Ledger, PeerTransport, Store, StoreWrite } from '../../node/runtime/ports.ts'

export const POINTS = [
  'intent-accepted-before-hold',
  'entry-drafted-before-log',
  'hold-logged-before-answer',
  'proposal-journaled',
  'vote-cast-before-stored',
  'vote-stored-before-sent',
  'assignment-certified',
  'assignment-logged',
  'tokens-streaming',
  'vectors-computed-before-claim',
  'claim-stored-before-commitment-sent',
  'first-commitment-journaled',
  'committed-journaled',
  'reveal-answered',
  'revealed-journaled',
  'findings-certified',
  'results-logged',
  'results-journaled',
  'settlement-certified',
  'settlement-logged-before-delivery',
  'failure-journaled',
  'mint-logged-before-answer',
  'transfer-logged-before-answer',
] as const
export type Point = (typeof POINTS)[number]
export type Pass = (point: Point) => void

export function isPoint(text: string): text is Point {
  return POINTS.some((point) => point === text)
}

/** Taps that tell each passing of a point; the daemon's own code knows nothing of them. */
export function tapsThatTell(pass: Pass): Taps {
  return {
    store: (store) => tellingStore(store, pass),
    ledger: (ledger) => tellingLedger(ledger, pass),
    transport: (transport) => tellingTransport(transport, pass),
    host: (host) => tellingHost(host, pass),
  }
}

function tellingStore(inner: Store, pass: Pass): Store {
  return {
    ...inner,
    async commit(writes) {
      const votes = writes.some(({ table }) => table === 'vote')
      if (votes) pass('vote-cast-before-stored')
      await inner.commit(writes)
      if (votes) pass('vote-stored-before-sent')
      for (const write of writes) {
        const point = pointOf(write)
        if (point !== undefined) pass(point)
      }
    },
  }
}

function pointOf(write: StoreWrite): Point | undefined {
  if (write.table === 'work') return 'claim-stored-before-commitment-sent'
  return write.table === 'job' ? pointOfJob(parseJob(write.bytes)) : undefined
}

function pointOfJob(job: Job): Point | undefined {
  switch (job.phase) {
    case 'proposed':
      return 'proposal-journaled'
    case 'executing':
      return job.replicas.some(({ state }) => state === 'committed') ? 'first-commitment-journaled' : undefined
    case 'committed':
      return 'committed-journaled'
    case 'revealed':
      return 'revealed-journaled'
    case 'verified':
      if (job.settlement !== null) return 'settlement-certified'
      return job.resultsLogged ? 'results-journaled' : 'findings-certified'
    case 'failed':
      return job.settlement === null ? 'failure-journaled' : 'settlement-certified'
    default:
      return undefined
  }
}

const LOGGED: Partial<Record<EntryKind, Point>> = {
  hold: 'hold-logged-before-answer',
  assignment: 'assignment-logged',
  result: 'results-logged',
  settlement: 'settlement-logged-before-delivery',
  mint: 'mint-logged-before-answer',
  transfer: 'transfer-logged-before-answer',
}

function tellingLedger(inner: Ledger, pass: Pass): Ledger {
  return {
    async append(kind, body, alongside) {
      if (kind === 'hold') pass('intent-accepted-before-hold')
      if (kind === 'assignment') pass('assignment-certified')
      const result = await inner.append(kind, body, (applied) => {
        pass('entry-drafted-before-log')
        return alongside?.(applied) ?? []
      })
      const point = LOGGED[kind]
      if (result.status === 'applied' && point !== undefined) pass(point)
      return result
    },
    close: () => inner.close(),
  }
}

function tellingTransport(inner: PeerTransport, pass: Pass): PeerTransport {
  return {
    self: inner.self,
    async request(peer, type, body, options) {
      const answer = await inner.request(peer, type, body, options)
      if (type === 'job/reveal') pass('reveal-answered')
      return answer
    },
    openStream: (peer, type, body, options) => inner.openStream(peer, type, body, options),
    onMessage: (type, handler) => inner.onMessage(type, handler),
    onStream: (type, handler) => inner.onStream(type, handler),
    close: () => inner.close(),
  }
}

function tellingHost(inner: ComputeHost, pass: Pass): ComputeHost {
  async function* generate(...args: Parameters<ComputeHost['generate']>): AsyncIterable<TokenBatch> {
    for await (const batch of inner.generate(...args)) {
      pass('tokens-streaming')
      yield batch
    }
  }
  const embed: ComputeHost['embed'] = async (texts, signal) => {
    const embedded = await inner.embed(texts, signal)
    pass('vectors-computed-before-claim')
    return embedded
  }
  // A spread would lose the methods of a class, and read `state` once for all.
  return {
    get state() {
      return inner.state
    },
    generate,
    embed,
    load: (request) => inner.load(request),
    render: (messages, options) => inner.render(messages, options),
    tokenize: (text, parseSpecial) => inner.tokenize(text, parseSpecial),
    detokenize: (request) => inner.detokenize(request),
    schedule: (promptTokens) => inner.schedule(promptTokens),
    audit: (request, signal) => inner.audit(request, signal),
    abort: () => inner.abort(),
    metrics: () => inner.metrics(),
    close: () => inner.close(),
  }
}
