/** `cfab-node config`: every setting, what it is, who said so, what it may be; and where the file is. There are no secrets in it. */
import type { Command } from 'commander'
import { type ConfigSources, explainConfig, loadConfig } from '../config.ts'
import { pathsOf } from '../paths.ts'
import { type Json, type NodeFlags, nodeFlags, type Run } from './flags.ts'
import type { Io } from './io.ts'
import { columns, json } from './print.ts'

export function addConfig(program: Command, run: Run): void {
  const config = program.command('config').description('settings: flags before CFAB_* variables before config.toml')
  nodeFlags(config.command('show'))
    .description('every setting with its value and where that comes from')
    .option('--json', 'as JSON')
    .action((flags: NodeFlags & Json) => run(async (io) => showConfig(flags, io)))
  nodeFlags(config.command('path'))
    .description('where config.toml is looked for')
    .option('--json', 'as JSON')
    .action((flags: NodeFlags & Json) => run(async (io) => showPath(flags, io)))
}

/** The file is not read: whoever asks where it is may have to correct it. */
function showPath({ home, json: asJson }: NodeFlags & Json, io: Io): number {
  const { configFile: file } = pathsOf(home ?? io.env['CFAB_HOME'], io.env, io.cwd)
  io.out(asJson === true ? json({ file }) : `${file}\n`)
  return 0
}

function showConfig(flags: NodeFlags & Json, io: Io): number {
  const sources = sourcesOf(flags, io)
  const { paths, warnings } = loadConfig(sources)
  const settings = explainConfig(sources)
  if (flags.json === true) {
    io.out(json({ file: paths.configFile, data: paths.data, warnings, settings }))
    return 0
  }
  const rows = settings.map(({ key, text, source, expected }) => [key, text, source, expected])
  io.out(columns([['SETTING', 'VALUE', 'FROM', 'ALLOWED'], ...rows]))
  for (const warning of warnings) io.err(`warning: ${warning}\n`)
  return 0
}

function sourcesOf({ home, host, port }: NodeFlags, io: Io): ConfigSources {
  return { flags: { home, host, port }, env: io.env, cwd: io.cwd }
}
