/** The report of a simulation as a person reads it: how jobs ended, who earned what, what was broken. */
import type { Counts, SimulationReport } from '../runtime/simulation.ts'
import { columns, section } from './print.ts'

const VIOLATIONS_SHOWN = 10

export function simulationText(report: SimulationReport): string {
  const { jobs, latencyMs, draw, counts, log } = report
  const parts = [
    section('Swarm', [
      ['seed', String(report.seed)],
      ['peers', count(report.request.peers)],
      [
        'validators',
        `${report.request.validators}, quorum ${report.quorum}; ${report.request.byzantineValidators} Byzantine, ${report.faultyMax} can be borne`,
      ],
      ['virtual time', seconds(report.virtualMs)],
    ]),
    section('Jobs', [
      ['submitted', `${count(jobs.submitted)}${reasons(jobs.refusalsByReason, 'refused')}`],
      ['settled', `${count(jobs.settled)} of ${count(jobs.admitted)} admitted`],
      ['paid', count(jobs.paid)],
      ['refunded', `${count(jobs.refunded)}${reasons(jobs.refundsByReason)}`],
      ['time if paid', `p50 ${seconds(latencyMs.paid.p50)}, p99 ${seconds(latencyMs.paid.p99)}`],
      ['answers from', list(report.outputs.chosen)],
      ["liars' answers", list(report.outputs.liarsChosenByAssurance)],
      ['replicas lost', list(report.outputs.lostByReason)],
      [
        'draw',
        draw === null
          ? 'too few jobs to test it'
          : `chi-square ${draw.chiSquare}, ${draw.degrees} degrees, p = ${draw.pValue}`,
      ],
    ]),
    balancesText(report),
    section('Work', [
      ['messages', `${count(counts.messages)}, ${count(counts.lost)} lost`],
      [
        'votes',
        `${count(counts.votes)} honest, ${count(counts.byzantineVotes)} Byzantine, ${count(counts.evidence)} proofs of double votes`,
      ],
      ['certificates', list(counts.certificates)],
      ['log', `${count(log.entries)} entries, head ${log.head.slice(0, 16)}`],
      ['signatures', `${count(counts.signatures)} Ed25519`],
    ]),
    violationsText(report),
  ]
  return parts.join('\n')
}

function balancesText({ balances, outputs }: SimulationReport): string {
  const rows = balances.workers.map(({ kind, peers, total, perWeight }) => [
    ...[kind, count(peers), total, perWeight],
    list(outputs.verdicts[kind] ?? {}),
  ])
  const sum = `sum of all ${balances.sum}${balances.zeroSum ? '' : ' (MUST BE 0)'}`
  return [
    columns([['WORKERS', 'PEERS', 'EARNED', 'PER WEIGHT', 'VERDICTS'], ...rows]),
    section('Books', [
      ['users', `${balances.users.total}, ${balances.users.held} held`],
      ['validators', balances.validators.total],
      ['platform', balances.platform],
      ['mint', balances.mint],
      ['check', sum],
    ]),
  ].join('\n')
}

function violationsText({ violations, violationsLeftOut }: SimulationReport): string {
  if (violations.length === 0) return 'No rule was broken.\n'
  const shown = violations
    .slice(0, VIOLATIONS_SHOWN)
    .map(({ rule, detail, atMs }) => [`  ${rule}`, seconds(atMs), detail])
  const more = violations.length + violationsLeftOut - shown.length
  return `Violations\n${columns(shown)}${more > 0 ? `  and ${count(more)} more\n` : ''}`
}

function list(counts: Counts): string {
  const parts = Object.entries(counts).map(([name, value]) => `${count(value)} ${name.replaceAll('_', ' ')}`)
  return parts.length === 0 ? '-' : parts.join(', ')
}

function reasons(counts: Counts, before = ''): string {
  return Object.keys(counts).length === 0 ? '' : ` (${before === '' ? '' : `${before}: `}${list(counts)})`
}

function count(value: number): string {
  return value.toLocaleString('en-US')
}

function seconds(ms: number): string {
  return `${(ms / 1_000).toFixed(2)} s`
}
