/** `cfab-node models ps | load | unload`: the models of a running node that are in memory. */
import type { Command } from 'commander'
import { FabricError } from '../../core/errors.ts'
import type { Config } from '../config.ts'
import { durationText, parseDurationMs } from '../setting-values.ts'
import { FOREVER } from '../settings.ts'
import { withClient } from './client.ts'
import { configOf, type Json, type NodeFlags, nodeFlags, type Run } from './flags.ts'
import type { Io } from './io.ts'
import { listAt, member, textAt } from './json.ts'
import { humanBytes } from './models-list.ts'
import { columns, json } from './print.ts'

type LoadFlags = NodeFlags & Json & { readonly keepAlive?: string }

const SECOND_MS = 1_000

export function addRunningModels(models: Command, run: Run): void {
  nodeFlags(models.command('ps'))
    .description('models that a running node has in memory, and how busy they are')
    .option('--json', 'as JSON')
    .action((flags: NodeFlags & Json) => run((io) => showRunning(flags, configOf(flags, io), io)))
  nodeFlags(models.command('load'))
    .description('have a running node load an installed model')
    .argument('<id>', 'model id')
    .option('--keep-alive <time>', `how long it stays without a job: 10m, 0, ${FOREVER} (default: as long as others)`)
    .option('--json', 'as JSON')
    .action((id: string, flags: LoadFlags) => run((io) => load(id, flags, configOf(flags, io), io)))
  nodeFlags(models.command('unload'))
    .description('have a running node unload a model that nobody uses')
    .argument('<id>', 'model id')
    .option('--json', 'as JSON')
    .action((id: string, flags: NodeFlags & Json) => run((io) => unload(id, flags, configOf(flags, io), io)))
}

async function showRunning(options: Json, config: Config, io: Io): Promise<number> {
  const running = await withClient(config, (client) => client.json('/api/v1/models/ps'))
  io.out(options.json === true ? json(running) : runningTable(running))
  return 0
}

async function load(model: string, flags: LoadFlags, config: Config, io: Io): Promise<number> {
  const body = { model, ...keepAliveOf(flags) }
  const running = await withClient(config, (client) =>
    client.json('/api/v1/models/load', { method: 'POST', body, admin: true }),
  )
  io.out(flags.json === true ? json(running) : `${model} is in memory\n`)
  return 0
}

async function unload(model: string, options: Json, config: Config, io: Io): Promise<number> {
  const running = await withClient(config, (client) =>
    client.json('/api/v1/models/unload', { method: 'POST', body: { model }, admin: true }),
  )
  io.out(options.json === true ? json(running) : `${model} is not in memory\n`)
  return 0
}

/** @throws FabricError CF_CONFIG_INVALID */
function keepAliveOf({ keepAlive }: LoadFlags): { readonly keep_alive_seconds?: number | null } {
  if (keepAlive === undefined) return {}
  if (keepAlive === FOREVER) return { keep_alive_seconds: null }
  const ms = parseDurationMs(keepAlive)
  if (ms === undefined)
    throw new FabricError('CF_CONFIG_INVALID', {
      ...{ source: 'flag', key: '--keep-alive', expected: `a time such as 10m, 0, or ${FOREVER}` },
    })
  return { keep_alive_seconds: Math.ceil(ms / SECOND_MS) }
}

const HEAD = ['MODEL', 'STATE', 'SIZE', 'MEMORY', 'DRIVER', 'SLOTS', 'WAITING', 'TOK/S', 'LOADED', 'IDLE', 'UNTIL']

export function runningTable(running: unknown): string {
  const items = listAt(running, 'items')
  if (items.length === 0) return 'no model is in memory\n'
  return columns([[...HEAD, 'ENGINE'], ...items.map(rowOf)])
}

function rowOf(item: unknown): readonly string[] {
  const at = (name: string): string => textAt(item, name)
  const reason = member(item, 'reason') === null ? '' : `: ${at('reason')}`
  return [
    ...[at('id'), `${at('state')}${reason}`, sizeAt(item, 'bytes'), memoryOf(item), at('driver')],
    ...[`${at('slots_busy')}/${at('slots')}`, at('waiting'), at('tokens_per_second')],
    ...[at('loaded').replace(/\.\d+Z$/, 'Z'), idleOf(item), untilOf(item), at('engine')],
  ]
}

/** What its process has, else what it is taken to take. */
function memoryOf(item: unknown): string {
  return typeof member(item, 'resident_bytes') === 'number'
    ? sizeAt(item, 'resident_bytes')
    : `~${sizeAt(item, 'memory_bytes')}`
}

function idleOf(item: unknown): string {
  const seconds = member(item, 'idle_seconds')
  return typeof seconds === 'number' ? durationText(seconds * SECOND_MS) : 'no'
}

function untilOf(item: unknown): string {
  if (member(item, 'pinned') === true) return 'pinned'
  return typeof member(item, 'expires') === 'string' ? textAt(item, 'expires').replace(/\.\d+Z$/, 'Z') : '-'
}

function sizeAt(item: unknown, name: string): string {
  const bytes = member(item, name)
  return typeof bytes === 'number' ? humanBytes(bytes) : '-'
}
