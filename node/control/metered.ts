/** The App as routes see it: whatever they submit or spend goes through the limits of the caller, so that no route can forget it. */
import type { App } from '../runtime/app.ts'
import { currentCaller } from './caller.ts'
import type { Limits } from './limits.ts'

export function meteredApp(app: App, limits: Limits): App {
  return {
    submit: (request, signal) => limits.submit(currentCaller(), request, signal),
    submitSigned: (envelope, inputs, signal) => limits.submitSigned(currentCaller(), envelope, inputs, signal),
    transfer: (transfer) =>
      transfer.kind === 'spend' ? limits.spend(currentCaller(), transfer) : app.transfer(transfer),
    ready: () => app.ready(),
    status: () => app.status(),
    models: () => app.models(),
    running: () => app.running(),
    loadModel: (id, keepAliveMs, signal) => app.loadModel(id, keepAliveMs, signal),
    unloadModel: (id) => app.unloadModel(id),
    peers: () => app.peers(),
    invite: (terms) => app.invite(terms),
    roster: (epoch) => app.roster(epoch),
    quote: (request) => app.quote(request),
    watch: (id) => app.watch(id),
    job: (id) => app.job(id),
    jobs: (limit, beforeMs) => app.jobs(limit, beforeMs),
    timeline: (id) => app.timeline(id),
    explain: (id) => app.explain(id),
    quorum: (limit) => app.quorum(limit),
    cancel: (id) => app.cancel(id),
    receipt: (id) => app.receipt(id),
    evidence: (id, replica, withPrompt) => app.evidence(id, replica, withPrompt),
    dispute: (id, replica, claim) => app.dispute(id, replica, claim),
    policies: app.policies,
    genesis: () => app.genesis(),
    account: (id) => app.account(id),
    transfers: (filter) => app.transfers(filter),
    mint: (to, amount, reason, idempotencyKey) => app.mint(to, amount, reason, idempotencyKey),
    audit: () => app.audit(),
    simulate: (request, signal) => app.simulate(request, signal),
  }
}
