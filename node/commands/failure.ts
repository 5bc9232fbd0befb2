/** Failures as a person reads them: one line with the code, one line with what to do. */
import { CommanderError } from 'commander'
import { ERRORS, type ErrorCode, FabricError, isErrorCode } from '../../core/errors.ts'
import { messageOf } from '../control/problem.ts'
import type { Io } from './io.ts'

const EXIT_USAGE = 64
const EXIT_BUG = 70

const HINTS: { readonly [Code in ErrorCode]?: string } = {
  CF_CONTROL_UNREACHABLE: 'start the node with `cfab-node start`, or name another with --home, --host and --port',
  CF_CONTROL_PORT_BUSY: 'choose another port with --port, or stop the program that listens there',
  CF_CONTROL_UNAUTHORIZED: 'run the command as the user who runs the daemon, with the same --home',
  CF_CONFIG_HOME_LOCKED: 'stop the other daemon, or give this one its own --home and --port',
  CF_CONFIG_INVALID: 'flags come before CFAB_* variables, these before config.toml',
  CF_IDENTITY_KEY_UNREADABLE:
    'a node makes its key files at its first start; they must belong to you and have mode 0600; `cfab-node keys list` shows them',
  CF_JOB_OVER_BUDGET: 'see the price with --dry-run; raise --max-budget or lower --max-tokens or --replicas',
  CF_JOB_NO_WORKERS: 'see who is eligible with --dry-run; fewer --replicas need fewer peers',
  CF_LEDGER_INSUFFICIENT_CREDIT:
    'see `cfab-node credits balance`; in a local swarm `cfab-node credits mint me 100` adds some',
  CF_MODEL_UNKNOWN: '`cfab-node models ls` lists the models of this node and those that it could pull',
  CF_MODEL_IN_USE: '`cfab-node models ps` shows its jobs; unload it when they have ended',
  CF_MODEL_LOAD_FAILED: '`cfab-node gpus` shows what can run models here; `cfab-node models verify` checks the files',
  CF_MODEL_SOURCE_UNREACHABLE:
    'check the connection, HTTPS_PROXY and HF_ENDPOINT; or copy the file here and pull its path',
  CF_MODEL_SOURCE_DENIED: "accept the model's terms on its page and set HF_TOKEN",
  CF_MODEL_SOURCE_INVALID: 'a source is hf:org/repo/file.gguf[@revision], an https address or the path of a file',
  CF_MODEL_PULL_FAILED: 'run the same command again: it goes on where it stopped',
  CF_MODEL_PULL_BUSY: 'wait until the other process has ended',
  CF_MODEL_DISK_FULL: 'make room, or choose another disk with --home; what has arrived is kept',
  CF_MODEL_ID_TAKEN: 'choose another id with --as, or remove the other model with `cfab-node models rm`',
  CF_JOB_QUEUE_FULL: 'try again in a moment',
  CF_WORKER_QUEUE_FULL: 'try again in a moment',
}

/** An error that the daemon answered with; its message is already the summary and the detail. */
export class DaemonError extends Error {
  override readonly name = 'DaemonError'
  readonly code: ErrorCode

  constructor(code: ErrorCode, message: string) {
    super(message)
    this.code = code
  }
}

/** @param body  what the daemon answered; anything but its own error shape becomes CF_CONTROL_INTERNAL with the status */
export function daemonError(status: number, body: unknown): Error {
  const error = typeof body === 'object' && body !== null && 'error' in body ? body.error : undefined
  if (typeof error === 'object' && error !== null && 'code' in error && 'message' in error) {
    const { code, message } = error
    if (typeof code === 'string' && isErrorCode(code) && typeof message === 'string')
      return new DaemonError(code, message)
  }
  return new FabricError('CF_CONTROL_INTERNAL', { status, reason: 'the answer is not from a ComputeFabric node' })
}

/** Tells the failure on standard error. @returns the exit status */
export function report(error: unknown, io: Io): number {
  if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : EXIT_USAGE
  if (error instanceof FabricError) return tell(error.code, messageOf(error), hintOf(error), io)
  if (error instanceof DaemonError) return tell(error.code, error.message, HINTS[error.code], io)
  io.err(`error CF_CONTROL_INTERNAL: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`)
  return EXIT_BUG
}

/** Which setting comes before which matters only to a value that is not on the command line. */
function hintOf({ code, detail }: FabricError): string | undefined {
  const { source } = detail
  return code === 'CF_CONFIG_INVALID' && source !== 'file' && source !== 'environment' ? undefined : HINTS[code]
}

function tell(code: ErrorCode, message: string, hint: string | undefined, io: Io): number {
  io.err(`error ${code}: ${message}\n`)
  if (hint !== undefined) io.err(`hint: ${hint}\n`)
  return ERRORS[code].exit
}
