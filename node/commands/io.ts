/** What a command may touch of its process: streams, environment, signals. Tests pass their own. */
import type { Environment } from '../paths.ts'
import { systemClock } from '../runtime/system.ts'

export type Io = {
  /** What the command was asked for: text, tables, JSON. */
  readonly out: (text: string) => void
  /** Everything else: stages, notes, errors. */
  readonly err: (text: string) => void
  /** Standard error is a terminal: a line of it may be written over. */
  readonly isTerminal?: boolean
  readonly env: Environment
  readonly cwd: string
  /** Null when standard input is a terminal. */
  readonly readInput: () => Promise<string> | null
  /** Calls back at Ctrl-C or SIGTERM, `again` from the second time on, until the returned function is called. */
  readonly onStop: (stop: (again: boolean) => void) => () => void
}

const ECHO_MS = 500
const INPUT_BYTES_MAX = 1_048_576

export function processIo(): Io {
  // A reader that has had enough (`| head`) is no reason for a node to die.
  for (const stream of [process.stdout, process.stderr]) stream.on('error', ignoreClosedPipe)
  return {
    out: (text) => process.stdout.write(text),
    err: (text) => process.stderr.write(text),
    isTerminal: process.stderr.isTTY === true,
    env: process.env,
    cwd: process.cwd(),
    readInput: () => (process.stdin.isTTY ? null : readAll()),
    onStop: listenForStop,
  }
}

function ignoreClosedPipe(error: NodeJS.ErrnoException): void {
  if (error.code !== 'EPIPE') throw error
}

/**
 * Listens for the signals that ask a program to end.
 *
 * Why an echo is dropped: Ctrl-C reaches the whole process group, and npm or `timeout` pass it on once more; a person who means it twice
 * takes longer than that.
 */
function listenForStop(stop: (again: boolean) => void): () => void {
  let firstMs: number | undefined
  const heard = (): void => {
    const nowMs = systemClock.nowMs()
    if (firstMs !== undefined && nowMs - firstMs < ECHO_MS) return
    stop(firstMs !== undefined)
    firstMs ??= nowMs
  }
  const signals = ['SIGINT', 'SIGTERM'] as const
  for (const signal of signals) process.on(signal, heard)
  return () => {
    for (const signal of signals) process.off(signal, heard)
  }
}

async function readAll(): Promise<string> {
  const parts: Buffer[] = []
  let bytes = 0
  for await (const part of process.stdin) {
    const piece = Buffer.from(part)
    bytes += piece.length
    if (bytes <= INPUT_BYTES_MAX) parts.push(piece)
  }
  return Buffer.concat(parts).toString('utf8').trim()
}
