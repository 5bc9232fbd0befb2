/** `cfab-node job explain`: who was drawn for a job and why, who voted, who was paid. */
import type { Command } from 'commander'
import { FabricError } from '../../core/errors.ts'
import { parseJobId } from '../../core/ids.ts'
import type { Config } from '../config.ts'
import { withClient } from './client.ts'
import { configOf, type Json, type NodeFlags, nodeFlags, type Run } from './flags.ts'
import type { Io } from './io.ts'
import { listAt, member, textAt } from './json.ts'
import { columns, json, section, shortId } from './print.ts'

const EXIT_MISMATCH = 65

export function addExplain(job: Command, run: Run): void {
  nodeFlags(job.command('explain'))
    .description('the draw computed again, the votes and the transfers; exit status 65 when the draw does not match')
    .argument('<id>', 'job id')
    .option('--json', 'as JSON')
    .action((id: string, flags: NodeFlags & Json) => run((io) => explainJob(id, flags, configOf(flags, io), io)))
}

async function explainJob(text: string, options: Json, config: Config, io: Io): Promise<number> {
  const id = parseJobId(text)
  if (id === undefined) throw new FabricError('CF_JOB_UNKNOWN', { expected: 'a job id of 64 hexadecimal digits' })
  const [draw, timeline] = await withClient(config, (client) =>
    Promise.all([client.json(`/api/v1/p2p/jobs/${id}/explain`), client.json(`/api/v1/p2p/jobs/${id}/timeline`)]),
  )
  io.out(options.json === true ? json({ draw, timeline }) : explainText(draw, timeline))
  return member(draw, 'matches') === true ? 0 : EXIT_MISMATCH
}

export function explainText(draw: unknown, timeline: unknown): string {
  const facts = section(`Draw of job ${textAt(draw, 'job_id')}`, [
    ['epoch', textAt(draw, 'epoch')],
    ['roster', textAt(draw, 'roster_root')],
    ['beacon', textAt(draw, 'beacon')],
    ['hold', textAt(draw, 'hold_hash')],
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
