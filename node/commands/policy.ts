/** `cfab-node policy`: by what thresholds outputs are judged, and whose. */
import { readFile } from 'node:fs/promises'
import type { Command } from 'commander'
import { FabricError } from '../../core/errors.ts'
import type { Config } from '../config.ts'
import { withClient } from './client.ts'
import { configOf, type Json, type NodeFlags, nodeFlags, type Run } from './flags.ts'
import type { Io } from './io.ts'
import { listAt, member, textAt } from './json.ts'
import { columns, json, section } from './print.ts'

const PATH = '/api/v1/verification/policies'
const MILLIONTHS = 1_000_000
const TEMPERATURES = ['0', '< 0.75', '>= 0.75']

export function addPolicy(program: Command, run: Run): void {
  const policy = program.command('policy').description('thresholds by which audited outputs are judged')
  nodeFlags(policy.command('show'))
    .description('the tables of this swarm; without one for its model an audit judges nobody')
    .argument('[model]', 'name or digest (default: all)')
    .option('--json', 'as JSON')
    .action((model: string | undefined, flags: NodeFlags & Json) =>
      run((to) => showPolicies(model, flags, configOf(flags, to), to)),
    )
  nodeFlags(policy.command('publish'))
    .description('make a table count in this swarm, signed with the mint key of this node')
    .argument('<file>', 'what `cfab-node calibrate` wrote')
    .option('--json', 'as JSON')
    .action((file: string, flags: NodeFlags & Json) => run((to) => publishPolicy(file, flags, configOf(flags, to), to)))
}

/** Exit status 0 also when there is none: nothing is wrong with a swarm in shadow mode. */
export async function showPolicies(model: string | undefined, flags: Json, config: Config, io: Io): Promise<number> {
  const all = await withClient(config, (client) => client.json(PATH))
  const isMeant = (policy: unknown): boolean =>
    model === undefined || textAt(policy, 'model_name') === model || textAt(policy, 'model').startsWith(model)
  const items = listAt(all, 'items').filter(isMeant)
  if (flags.json === true) io.out(json({ items }))
  else if (items.length === 0) io.out(`no table${model === undefined ? '' : ` for ${model}`}: audits judge nobody\n`)
  else io.out(items.map(policyText).join('\n'))
  return 0
}

export async function publishPolicy(path: string, flags: Json, config: Config, io: Io): Promise<number> {
  const file = await readFile(path).catch((error: unknown) => {
    throw new FabricError(
      'CF_CONFIG_INVALID',
      { key: 'policy', file: path, expected: 'a file that can be read' },
      error,
    )
  })
  return withClient(config, async (client) => {
    const policy = await client.json(PATH, { method: 'POST', admin: true, body: { file: file.toString('base64') } })
    if (flags.json === true) io.out(json(policy))
    else io.out(`${policyText(policy)}calibrated by ${textAt(policy, 'calibrated_by')}\n`)
    return 0
  })
}

function policyText(policy: unknown): string {
  const name = textAt(policy, 'model_name')
  const head = section(name === '-' ? textAt(policy, 'model') : name, [
    ['policy', textAt(policy, 'id')],
    ['model', textAt(policy, 'model')],
    ['engine', textAt(policy, 'engine')],
    ['in force', member(policy, 'in_force') === true ? 'yes' : 'no, only for jobs held before the next one'],
  ])
  const titles = [
    '  TEMPERATURE',
    'PROVER',
    'VERIFIER',
    'SUSPECT AT 64..512',
    'FAIL AT 64..512',
    'WORST',
    'HONEST AUDITS',
  ]
  const rows = listAt(policy, 'rows').map((row) => [
    `  ${TEMPERATURES[Number(textAt(row, 'temperature'))] ?? '?'}`,
    textAt(row, 'prover'),
    textAt(row, 'verifier'),
    nats(listAt(row, 'suspect_micro_nats')),
    nats(listAt(row, 'fail_micro_nats')),
    nats([member(row, 'worst_micro_nats')]),
    textAt(row, 'honest_audits'),
  ])
  return head + columns([titles, ...rows])
}

/** Mean margins, in nats. */
function nats(micro: readonly unknown[]): string {
  return micro.map((value) => (Number(value) / MILLIONTHS).toFixed(4)).join(' ')
}
