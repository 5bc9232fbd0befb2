/** What every command line shares: which node is meant, how its settings are found, how a command is run. */
import { type Command, Option } from 'commander'
import { type Config, loadConfig } from '../config.ts'
import type { Io } from './io.ts'

/** Flags that say which node is meant, on every command. */
export type NodeFlags = { readonly home?: string; readonly host?: string; readonly port?: string }
/** Runs the work of one command; its result is the exit status. */
export type Run = (work: (io: Io) => Promise<number>) => Promise<void>
export type Json = { readonly json?: boolean }

export function nodeFlags(command: Command): Command {
  return command
    .option('--home <folder>', 'one folder for everything of this node (default: XDG folders)')
    .option('--host <address>', 'API address (default: 127.0.0.1)')
    .option('-p, --port <number>', 'API port (default: 7733)')
}

/** A flag that may be given several times; without it the list is empty, which the help need not say. */
export function repeatable(flags: string, description: string): Option {
  return new Option(flags, description)
    .argParser((value: string, earlier: readonly string[]): readonly string[] => [...earlier, value])
    .default([], 'none')
}

export function configOf(flags: NodeFlags & { readonly model?: string }, io: Io): Config {
  const { home, host, port, model } = flags
  return loadConfig({ flags: { home, host, port, model }, env: io.env, cwd: io.cwd })
}
