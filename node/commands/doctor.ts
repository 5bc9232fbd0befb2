/** `cfab-node doctor`: looks at everything that a node needs on this machine, and says what is wrong and what to do. Needs no running node. */
import type { Command } from 'commander'
import { type Config, loadConfig } from '../config.ts'
import { type Finding, findings } from '../health-checks.ts'
import { type Json, type NodeFlags, nodeFlags, type Run } from './flags.ts'
import type { Io } from './io.ts'
import { columns, json, plainText } from './print.ts'

type DoctorFlags = NodeFlags & Json & { readonly gpu?: string | true }

const EXIT_UNAVAILABLE = 69

export function addDoctor(program: Command, run: Run): void {
  nodeFlags(program.command('doctor'))
    .description('what a node needs on this machine, what is missing, and what to do: exit status 0 when nothing is')
    .option('--gpu [kind]', 'as of start')
    .option('--json', 'as JSON')
    .action((flags: DoctorFlags) => run((io) => examine(flags, io)))
}

async function examine({ gpu, json: asJson, ...node }: DoctorFlags, io: Io): Promise<number> {
  const flags = { home: node.home, host: node.host, port: node.port, gpu: gpu === true ? 'auto' : gpu }
  const config: Config = loadConfig({ flags, env: io.env, cwd: io.cwd })
  const found = await findings(config)
  io.out(asJson === true ? json({ checks: found }) : findingsText(found))
  return found.some(({ verdict }) => verdict === 'fail') ? EXIT_UNAVAILABLE : 0
}

export function findingsText(found: readonly Finding[]): string {
  const rows = found.map(({ verdict, name, detail }) => [verdict, name, detail])
  const hints = found.flatMap(({ name, hint }) => (hint === undefined ? [] : [`${name}: ${hint}\n`]))
  return `${columns(rows)}${hints.length === 0 ? '' : '\n'}${plainText(hints.join(''))}`
}
