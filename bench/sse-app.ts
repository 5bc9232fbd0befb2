/** An App that does nothing but let jobs say tokens when it is told to: what stands behind the chat route while that is measured. */
import { randomBytes } from 'node:crypto'
import { digestOf, type JobId, parseJobId, parseSwarmId, peerIdOf, userAccount } from '../core/ids.ts'
import { CFAB_TINY } from '../models/catalogue.ts'
import { JobFeed } from '../node/jobs/feed.ts'
import type { AccountView, App, JobHandle, ModelView, StatusView } from '../node/runtime/app.ts'

/** Of one feed, which keeps what it has said. */
const TOKENS_MAX = 100_000
const MODEL: ModelView = {
  ...{ id: CFAB_TINY.id, digest: CFAB_TINY.digest, bytes: CFAB_TINY.bytes, parameters: CFAB_TINY.parameters },
  ...{ contextTokens: CFAB_TINY.contextTokens, loaded: true, createdMs: 0, task: 'chat', dimensions: 0 },
}

const PEER = peerIdOf(new Uint8Array(32).fill(1))
const ACCOUNT: AccountView = { id: userAccount(PEER), spendable: 0n, held: 0n, pending: 0n, recent: [] }
const STATUS: StatusView = {
  ...{ node: PEER, user: PEER, swarm: swarmOf('0'.repeat(64)), region: 'local', local: true, version: 'bench' },
  ...{
    startedMs: 0,
    log: 'none',
    logNote: '',
    ...{ epoch: 0n, mesh: null },
    engine: 'none',
    driver: null,
    hostState: 'ready',
    models: [],
    validators: 4,
    quorum: 3,
  },
  ...{ account: ACCOUNT, earned: ACCOUNT, idle: null, jobs: { open: 0, settledLastHour: 0, refundedLastHour: 0 } },
}

export type TokenApp = { readonly app: App; readonly feeds: readonly JobFeed[] }

export function createTokenApp(): TokenApp {
  const feeds: JobFeed[] = []
  const app: App = {
    models: () => [MODEL],
    async submit() {
      const feed = new JobFeed(TOKENS_MAX)
      feeds.push(feed)
      return handleOf(newJobId(), feed)
    },
    watch: () => undefined,
    job: () => undefined,
    cancel: () => undefined,
    ready: () => ({ ready: true, reason: 'ready' }),
    status: () => STATUS,
    ...{ peers: never, quote: never, submitSigned: never, jobs: never, timeline: never, explain: never },
    ...{
      quorum: never,
      receipt: never,
      evidence: never,
      dispute: never,
      genesis: never,
      account: never,
      transfers: never,
      mint: never,
    },
    ...{ transfer: never, audit: never, simulate: never, running: never, loadModel: never, unloadModel: never },
    ...{ invite: never, roster: never, policies: { list: never, publish: never } },
  }
  return { app, feeds }
}

function handleOf(id: JobId, feed: JobFeed): JobHandle {
  return { id, promptTokens: 1, repeated: false, verifiable: true, progress: (signal) => feed.listen(signal) }
}

function swarmOf(text: string) {
  const id = parseSwarmId(text)
  if (id === undefined) throw new Error('a digest is a swarm id')
  return id
}

function newJobId(): JobId {
  const id = parseJobId(digestOf(new Uint8Array(randomBytes(32))))
  if (id === undefined) throw new Error('a digest is a job id')
  return id
}

function never(): never {
  throw new Error('nobody asks this')
}
