/** Runs one command line in this process, with what it wrote. */
import { runCli } from '../../node/cli.ts'
import type { Io } from '../../node/commands/io.ts'

export type CliRun = { readonly status: number; readonly out: string; readonly err: string }
export type CliOptions = {
  readonly cwd: string
  readonly env?: Readonly<Record<string, string>>
  readonly input?: string
  /** Hands over a function that plays Ctrl-C. */
  readonly onReady?: (interrupt: () => void) => void
}

export async function runCommand(argv: readonly string[], options: CliOptions): Promise<CliRun> {
  let [out, err] = ['', '']
  const io: Io = {
    out: (text) => {
      out += text
    },
    err: (text) => {
      err += text
    },
    env: options.env ?? {},
    cwd: options.cwd,
    readInput: () => (options.input === undefined ? null : Promise.resolve(options.input)),
    onStop: (stop) => {
      let again = false
      options.onReady?.(() => {
        stop(again)
        again = true
      })
      return () => undefined
    },
  }
  const status = await runCli(argv, io)
  return { status, out, err }
}
