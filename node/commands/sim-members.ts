/** `cfab-node sim --members`: membership at scale, by the real failure detector, gossip and draw under a virtual clock. */
import { writeFile } from 'node:fs/promises'
import { resolve } from 'node:path'
import { FabricError } from '../../core/errors.ts'
import { MEMBERS_LIMITS, type MembersReport, type MembersRequest } from '../runtime/simulation-members.ts'
import { systemClock, systemRandom } from '../runtime/system.ts'
import { drawSeed } from '../simulation/prng.ts'
import { roundsAt, shortfalls, simulateMembers } from '../simulation/scale/members.ts'
import { membersPlot } from '../simulation/scale/members-plot.ts'
import type { Io } from './io.ts'
import { columns, json, section } from './print.ts'

export type MembersFlags = {
  readonly peers?: string
  readonly seed?: string
  readonly loss?: string
  readonly silent?: string
  readonly regions?: string
  readonly views?: string
  readonly runs?: string
  readonly svg?: string
  readonly json?: boolean
}

const EXIT_VIOLATION = 70
const SEED_MAX = 0xffffffff

export async function runMembers(flags: MembersFlags, io: Io): Promise<number> {
  const request = requestOf(flags)
  const startedMs = systemClock.nowMs()
  const report = simulateMembers(request, request.seed ?? drawSeed(systemRandom), (done) => io.err(`${done}\n`))
  const wallS = (systemClock.nowMs() - startedMs) / 1_000
  if (flags.svg !== undefined) await save(resolve(io.cwd, flags.svg), membersPlot(report))
  io.out(flags.json === true ? json(report) : membersText(report))
  io.err(`simulated in ${wallS.toFixed(1)} s\n`)
  return shortfalls(report).length === 0 ? 0 : EXIT_VIOLATION
}

function requestOf(flags: MembersFlags): MembersRequest {
  const { regionCountMax, peerCountMin, peerCountMax, viewCountMax, runCountMax } = MEMBERS_LIMITS
  const seed = flags.seed === undefined ? {} : { seed: whole('--seed', flags.seed, 0, SEED_MAX) }
  return {
    ...seed,
    regions: whole('--regions', flags.regions ?? '5', 0, regionCountMax),
    peers: whole('--peers', flags.peers ?? '2000', peerCountMin, peerCountMax),
    views: whole('--views', flags.views ?? '100000', 0, viewCountMax),
    runs: whole('--runs', flags.runs ?? '3', 1, runCountMax),
    lossPermille: permille('--loss', flags.loss ?? '0.02', MEMBERS_LIMITS.lossPermilleMax),
    dropperPermille: permille('--silent', flags.silent ?? '0.05', MEMBERS_LIMITS.dropperPermilleMax),
  }
}

function whole(key: string, text: string, min: number, max: number): number {
  const value = Number(text)
  if (Number.isInteger(value) && value >= min && value <= max) return value
  throw new FabricError('CF_CONFIG_INVALID', { source: 'flag', key, expected: `a whole number from ${min} to ${max}` })
}

function permille(key: string, text: string, max: number): number {
  const value = Math.round(Number(text) * 1_000)
  if (value >= 0 && value <= max) return value
  throw new FabricError('CF_CONFIG_INVALID', { source: 'flag', key, expected: `a number from 0 to ${max / 1_000}` })
}

async function save(path: string, picture: string): Promise<void> {
  await writeFile(path, picture).catch((error: unknown) => {
    throw new FabricError(
      'CF_CONFIG_INVALID',
      { source: 'flag', key: '--svg', file: path, expected: 'a file that can be written' },
      error,
    )
  })
}

function membersText(report: MembersReport): string {
  const { request, seed } = report
  const wrong = shortfalls(report)
  return [
    section('Membership at scale', [['seed', String(seed)], ...regionFacts(request)]),
    regionsText(report),
    partitionText(report),
    viewsText(report),
    wrong.length === 0 ? 'All news reached everybody, all dead were found.' : wrong.join('\n'),
  ]
    .filter((part) => part !== '')
    .map((part) => part.trimEnd())
    .join('\n\n')
    .concat('\n')
}

function regionFacts({ regions, peers, lossPermille, dropperPermille }: MembersReport['request']): [string, string][] {
  if (regions === 0) return []
  return [
    ['regions', `${regions} of ${count(peers)} full members`],
    ['loss', `${lossPermille / 10} % of the messages, ${dropperPermille / 10} % pass nothing on`],
  ]
}

function regionsText({ regions }: MembersReport): string {
  if (regions.length === 0) return ''
  const head = [
    'REGION',
    'B/NODE/S',
    'RECORD 99 %',
    '100 %',
    'DEAD 50 %',
    '99 %',
    '100 %',
    'HEALTHY <= 10 S',
    'BACK',
    'WRONG',
    'DRAWN GONE',
  ]
  const rows = regions.map(({ quiet, spread, crash, restarts, falsePositives, draws }, place) => [
    String(place + 1),
    count(quiet.bytesPerNodeSecond),
    seconds(spread.p99Ms),
    seconds(spread.lastMs),
    seconds(crash.medianMs),
    seconds(crash.p99Ms),
    seconds(crash.lastMs),
    `${(100 * crash.within10s).toFixed(2)} %`,
    seconds(restarts.lastMs),
    String(falsePositives),
    `${draws.gone} of ${count(draws.drawn)}`,
  ])
  return columns([head, ...rows])
}

function partitionText({ partition }: MembersReport): string {
  if (partition === null) return ''
  const { peers, cut, cutMs, healedMs } = partition
  return `${count(peers)} peers cut ${count(cut)} | ${count(peers - cut)} for ${cutMs / 1_000} s: whole again ${seconds(healedMs)} after it ended.`
}

function viewsText({ views }: MembersReport): string {
  if (views.length === 0) return ''
  const head = ['VIEWS', 'FAULTS', 'RUNS', '99 % P50', 'P95', '100 % P50', 'P95', 'B/NODE/ROUND']
  const rows = views.map((scenario) => [
    count(scenario.peers),
    scenario.name,
    String(scenario.runs.length),
    ...(['roundsTo99', 'roundsTo100'] as const).flatMap((of) => [
      rounds(roundsAt(scenario, of, 0.5)),
      rounds(roundsAt(scenario, of, 0.95)),
    ]),
    count(Math.round(scenario.runs.reduce((sum, run) => sum + run.bytesPerNodeRound, 0) / scenario.runs.length)),
  ])
  return columns([head, ...rows])
}

function rounds(value: number | null): string {
  return value === null ? 'never' : String(value)
}

function seconds(ms: number | null): string {
  return ms === null ? 'never' : `${(ms / 1_000).toFixed(2)} s`
}

function count(value: number): string {
  return value.toLocaleString('en-US')
}
