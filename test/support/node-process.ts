/** Runs a program of the tests in a process of its own, so that it can be killed like a daemon. */
import { spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'

export type NodeProcess = {
  /** Its standard output, line by line; ends with the process. */
  readonly lines: AsyncIterable<string>
  kill(signal: 'SIGKILL' | 'SIGTERM'): void
  readonly exited: Promise<number | null>
}

export function startNode(program: URL, args: readonly string[]): NodeProcess {
  const child = spawn(process.execPath, [fileURLToPath(program), ...args], { stdio: ['ignore', 'pipe', 'inherit'] })
  process.once('exit', () => child.kill('SIGKILL'))
  return {
    lines: createInterface({ input: child.stdout }),
    kill: (signal) => child.kill(signal),
    exited: new Promise((resolve) => child.once('exit', resolve)),
  }
}
