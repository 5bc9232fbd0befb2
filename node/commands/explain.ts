/** `cfab-node job explain`: who was drawn for a job and why, who voted, who was paid. */
import { readFile } from 'node:fs/promises'
import type { Command } from 'commander'
import { FabricError } from '../../core/errors.ts'
import { parseDigest, parseJobId } from '../../core/ids.ts'
import { mayWork } from '../../core/log/draw.ts'
import { type Genesis, parseGenesis } from '../../core/log/genesis.ts'
import { decodeRoster, type RosterSnapshot } from '../../core/roster/roster.ts'
import { rank, rendezvousKey } from '../../core/selection/rendezvous.ts'
import type { Config } from '../config.ts'
import { scoreText } from '../jobs/explain.ts'
import { withClient } from './client.ts'
import { configOf, type Json, type NodeFlags, nodeFlags, type Run } from './flags.ts'
import type { Io } from './io.ts'
import { listAt, member, textAt } from './json.ts'
import { columns, json, section, shortId } from './print.ts'

const EXIT_MISMATCH = 65

type ExplainOptions = Json & { readonly roster?: string }

export function addExplain(job: Command, run: Run): void {
  nodeFlags(job.command('explain'))
    .description('the draw computed again, the votes and the transfers; exit status 65 when the draw does not match')
    .argument('<id>', 'job id')
    .option('--roster <file>', 'compute the draw here, from a roster that `cfab-node roster` saved on any node')
    .option('--json', 'as JSON')
    .action((id: string, flags: NodeFlags & ExplainOptions) =>
      run((io) => explainJob(id, flags, configOf(flags, io), io)),
    )
}

async function explainJob(text: string, options: ExplainOptions, config: Config, io: Io): Promise<number> {
  const id = parseJobId(text)
  if (id === undefined) throw new FabricError('CF_JOB_UNKNOWN', { expected: 'a job id of 64 hexadecimal digits' })
  const [draw, timeline] = await withClient(config, (client) =>
    Promise.all([client.json(`/api/v1/p2p/jobs/${id}/explain`), client.json(`/api/v1/p2p/jobs/${id}/timeline`)]),
  )
  const own = options.roster === undefined ? undefined : await checkWith(options.roster, draw, config)
  const facts = own === undefined ? { draw, timeline } : { draw, timeline, roster_file: own }
  io.out(options.json === true ? json(facts) : explainText(draw, timeline, own))
  return member(draw, 'matches') === true && own?.agrees !== false ? 0 : EXIT_MISMATCH
}

async function checkWith(file: string, draw: unknown, config: Config): Promise<DrawCheck> {
  const roster = await readRoster(file)
  const genesis = parseGenesis(await withClient(config, (client) => client.bytes('/api/v1/p2p/genesis')))
  if (genesis.action !== 'accept') return { agrees: false, finding: 'the node has no sound genesis' }
  return checkDraw(draw, roster, genesis.value)
}

/** @throws CF_STORE_FAILED, CF_CONFIG_INVALID for a file that is no roster */
export async function readRoster(file: string): Promise<RosterSnapshot> {
  const bytes = await readFile(file).catch((error: unknown) => {
    throw new FabricError('CF_STORE_FAILED', { file }, error)
  })
  const roster = decodeRoster(Uint8Array.from(bytes))
  if (roster.action === 'accept') return roster.value
  throw new FabricError('CF_CONFIG_INVALID', {
    source: 'flag',
    key: '--roster',
    expected: 'a file that `cfab-node roster` wrote',
  })
}

export type DrawCheck = { readonly agrees: boolean; readonly finding: string }

/** Ranks the members again and compares peer by peer: what the node says is taken for nothing but the hold and the beacon. */
export function checkDraw(draw: unknown, roster: RosterSnapshot, genesis: Genesis): DrawCheck {
  const [beacon, hold] = [parseDigest(textAt(draw, 'beacon')), parseDigest(textAt(draw, 'hold_hash'))]
  if (beacon === undefined || hold === undefined) return { agrees: false, finding: 'the node names no beacon or hold' }
  if (textAt(draw, 'roster_root') !== roster.root)
    return { agrees: false, finding: `IS ANOTHER ONE: the job was drawn from ${textAt(draw, 'roster_root')}` }
  const key = rendezvousKey(beacon, hold)
  const said = listAt(draw, 'ranked').map((row) => `${textAt(row, 'peer')} ${textAt(row, 'score')}`)
  const own = rank(key, roster.members.filter(mayWork(genesis))).map((one) => `${one.peer} ${scoreText(key, one)}`)
  const place = own.findIndex((row, index) => row !== said[index])
  if (own.length === said.length && place < 0) return { agrees: true, finding: `agrees on all ${own.length} peers` }
  return { agrees: false, finding: `DISAGREES at rank ${place < 0 ? own.length : place}` }
}

export function explainText(draw: unknown, timeline: unknown, own?: DrawCheck): string {
  const facts = section(`Draw of job ${textAt(draw, 'job_id')}`, [
    ['epoch', textAt(draw, 'epoch')],
    ['roster', textAt(draw, 'roster_root')],
    ['beacon', textAt(draw, 'beacon')],
    ['hold', textAt(draw, 'hold_hash')],
    ...(own === undefined ? [] : [['roster file', own.finding] as const]),
    ['recomputed', member(draw, 'matches') === true ? 'gives the same workers' : 'DOES NOT give the same workers'],
  ])
  const ranked = listAt(draw, 'ranked').map((row, rank) => [
    String(rank),
    shortId(textAt(row, 'peer')),
    textAt(row, 'score'),
    textAt(row, 'weight'),
    textAt(row, 'answer'),
    textAt(row, 'why'),
  ])
  const phases = listAt(timeline, 'phases').map((row) => [textAt(row, 'phase'), textAt(row, 'time')])
  const votes = listAt(timeline, 'votes').map((row) => [
    textAt(row, 'kind') === 'result' ? `result of replica ${textAt(row, 'replica')}` : textAt(row, 'kind'),
    textAt(row, 'entry'),
    listAt(row, 'voters')
      .map((voter) => shortId(String(voter)))
      .join(' '),
  ])
  const transfers = listAt(timeline, 'transfers').map((row) => [
    textAt(row, 'kind'),
    textAt(row, 'amount'),
    accountText(textAt(row, 'debit')),
    accountText(textAt(row, 'credit')),
  ])
  return [
    facts,
    columns([['RANK', 'PEER', 'SCORE', 'WEIGHT', 'ANSWER', 'WHY'], ...ranked]),
    columns([['PHASE', 'TIME OF THE LOG'], ...phases]),
    columns([['CERTIFICATE', 'ENTRY', 'SIGNED BY'], ...votes]),
    columns([['TRANSFER', 'CREDITS', 'FROM', 'TO'], ...transfers]),
  ].join('\n')
}

/** `node/cf1abcdef…` */
function accountText(account: string): string {
  const slash = account.indexOf('/')
  return slash < 0 ? account : `${account.slice(0, slash + 1)}${shortId(account.slice(slash + 1))}`
}
