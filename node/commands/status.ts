/** `cfab-node status`: the node, its credits, its jobs, and why it is idle. */
import type { Config } from '../config.ts'
import { withClient } from './client.ts'
import type { Io } from './io.ts'
import { listAt, member, textAt } from './json.ts'
import { json, section } from './print.ts'

export async function showStatus(config: Config, io: Io, options: { readonly json?: boolean }): Promise<number> {
  const status = await withClient(config, (client) => client.json('/api/v1/status'))
  io.out(options.json === true ? json(status) : statusText(status))
  return 0
}

function modelRow(model: unknown): readonly [string, string] {
  const [id, state, reason] = ['id', 'state', 'reason'].map((name) => textAt(model, name))
  return [`model ${textAt(model, 'task')}`, `${id} (${state}${member(model, 'reason') === null ? '' : `: ${reason}`})`]
}

function meshRows(status: unknown): readonly (readonly [string, string])[] {
  if (member(status, 'mesh') === null || member(status, 'mesh') === undefined) return []
  const at = (...path: string[]): string => textAt(status, 'mesh', ...path)
  return [
    ['epoch', textAt(status, 'epoch')],
    ['reached at', listAt(member(status, 'mesh'), 'addresses').join(', ') || 'no address yet'],
    ['peers', `${at('alive')} alive of ${at('known')} known, ${at('links')} connections`],
  ]
}

export function statusText(status: unknown): string {
  const at = (...path: string[]): string => textAt(status, ...path)
  const swarm = member(status, 'local') === true ? `${at('swarm')} (local)` : at('swarm')
  const ready =
    member(status, 'ready') === true ? at('host_state') : `${at('host_state')}, not ready: ${at('ready_reason')}`
  const reason = textAt(status, 'driver_reason').replace(/^-$/, '')
  const node = section('Node', [
    ['version', at('version')],
    ['node', at('node')],
    ['user', at('user')],
    ['swarm', swarm],
    ['region', at('region')],
    ['engine', `${at('engine')} (${ready})`],
    ['driver', `${at('driver')}${reason === '' ? '' : ` (${reason})`}`],
    ...listAt(status, 'models').map(modelRow),
    ['quorum', `${at('quorum')} of ${at('validators')} validators`],
    ['log', `${at('log')}${at('log_note') === '-' || at('log_note') === '' ? '' : ` (${at('log_note')})`}`],
    ...meshRows(status),
    ['started', at('started')],
  ])
  const bound = (priority: string): string => at('admission', 'open_jobs_max', priority)
  const credits = section('Credits', [
    ['spendable', at('credits', 'spendable')],
    ['held', at('credits', 'held')],
    ['earned', `${at('earned', 'spendable')} spendable, ${at('earned', 'pending')} pending`],
  ])
  const jobs = section('Jobs', [
    ['open', at('jobs', 'open')],
    ['last hour', `${at('jobs', 'settled_last_hour')} settled, ${at('jobs', 'refunded_last_hour')} refunded`],
    ['admission', `low up to ${bound('low')}, normal ${bound('normal')}, high ${bound('high')} open jobs`],
    ['idle', member(status, 'idle') === null ? 'no' : at('idle')],
  ])
  return [node, credits, jobs].join('\n')
}
