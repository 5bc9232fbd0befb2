/** `cfab-node peers` and `cfab-node ps`: who is in the swarm, and what this node is working on. */
import type { Command } from 'commander'
import type { Config } from '../config.ts'
import { withClient } from './client.ts'
import { configOf, type Json, type NodeFlags, nodeFlags, type Run } from './flags.ts'
import type { Io } from './io.ts'
import { listAt, member, textAt } from './json.ts'
import { columns, json, shortId } from './print.ts'

/** The server's page: open jobs are bounded by the daemon, so a few pages hold them all. */
const PAGE_ITEMS = 200
const PAGES_MAX = 8

export function addPeers(program: Command, run: Run): void {
  nodeFlags(program.command('peers'))
    .description('members of the swarm: state, roles, models, and why one is not eligible for work')
    .option('--json', 'as JSON')
    .action((flags: NodeFlags & Json) => run((io) => showPeers(configOf(flags, io), io, flags)))
  nodeFlags(program.command('ps'))
    .description('models that are loaded and jobs that are open on this node')
    .option('--json', 'as JSON')
    .action((flags: NodeFlags & Json) => run((io) => showWork(configOf(flags, io), io, flags)))
}

async function showPeers(config: Config, io: Io, options: Json): Promise<number> {
  const peers = await withClient(config, (client) => client.json('/api/v1/p2p/peers'))
  io.out(options.json === true ? json(peers) : peersText(peers))
  return 0
}

export function peersText(peers: unknown): string {
  const head = ['PEER', 'STATE', 'RTT', 'ROLES', 'REGION', 'WEIGHT', 'LOAD', 'T/S', 'MODELS', 'WORKS']
  const rows = listAt(peers, 'items').map((peer) => [
    `${shortId(textAt(peer, 'id'))}${member(peer, 'self') === true ? ' (this node)' : ''}`,
    textAt(peer, 'state'),
    rttText(member(peer, 'rtt_ms')),
    listAt(peer, 'roles').join(','),
    textAt(peer, 'region'),
    textAt(peer, 'weight'),
    loadText(peer),
    textAt(peer, 'tokens_per_second'),
    listAt(peer, 'models').join(',') || '-',
    member(peer, 'ineligible') === null ? 'yes' : `no: ${textAt(peer, 'ineligible')}`,
  ])
  return columns([head, ...rows])
}

function rttText(rttMs: unknown): string {
  return typeof rttMs === 'number' ? `${rttMs < 10 ? rttMs.toFixed(1) : Math.round(rttMs)} ms` : '-'
}

/** Busy slots of all, as far as the peer has said. */
function loadText(peer: unknown): string {
  const [load, slots] = [member(peer, 'load'), member(peer, 'slots')]
  return typeof load === 'number' && typeof slots === 'number' ? `${Math.round(load * slots)}/${slots}` : '-'
}

async function showWork(config: Config, io: Io, options: Json): Promise<number> {
  const work = await withClient(config, async (client) => {
    const models = listAt(await client.json('/v1/models'), 'data').filter(
      (model) => member(model, 'cfab', 'loaded') === true,
    )
    const jobs: unknown[] = []
    let cursor = ''
    for (let page = 0; page < PAGES_MAX; page += 1) {
      const answer = await client.json(`/api/v1/p2p/jobs?limit=${PAGE_ITEMS}${cursor}`)
      const open = listAt(answer, 'items').filter((job) => member(job, 'phase') !== 'settled')
      jobs.push(...open)
      const next = member(answer, 'next_cursor')
      // Newest first: a page without an open job has only older ones behind it, which have long settled.
      if (typeof next !== 'string' || open.length === 0) break
      cursor = `&cursor=${next}`
    }
    return { models, jobs }
  })
  io.out(options.json === true ? json(work) : workText(work))
  return 0
}

export function workText(work: { readonly models: readonly unknown[]; readonly jobs: readonly unknown[] }): string {
  const models = work.models.map((model) => [
    textAt(model, 'id'),
    textAt(model, 'cfab', 'task'),
    textAt(model, 'cfab', 'parameters'),
    textAt(model, 'cfab', 'context_tokens'),
  ])
  const jobs = work.jobs.map((job) => [
    textAt(job, 'job_id').slice(0, 12),
    textAt(job, 'phase'),
    textAt(job, 'model'),
    String(listAt(job, 'replicas').length || '-'),
    textAt(job, 'hold'),
    textAt(job, 'created'),
  ])
  return [
    models.length === 0 ? 'No model is loaded.\n' : columns([['MODEL', 'TASK', 'PARAMETERS', 'CONTEXT'], ...models]),
    jobs.length === 0
      ? 'No job is open.\n'
      : columns([['JOB', 'PHASE', 'MODEL', 'REPLICAS', 'HELD', 'CREATED'], ...jobs]),
  ].join('\n')
}
