/** Entry of `cfab-node` once a new enough Node.js runs it. */
import { runCli } from './cli.ts'
import { processIo } from './commands/io.ts'

/** @param argv  the arguments after the program's name. @returns the exit status, sysexits numbers */
export function main(argv: readonly string[]): Promise<number> {
  return runCli(argv, processIo())
}
