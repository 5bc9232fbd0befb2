/** Asks a short-lived process which libraries fit this machine, and whether the native engine can open them. */
import { fork } from 'node:child_process'
import { extname } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { LoadRequest } from '../backend.ts'
import type { LibraryPaths } from './addon.ts'

export type ProbeTask =
  | { readonly type: 'find'; readonly gpu: LoadRequest['gpu'] }
  | { readonly type: 'open'; readonly paths: LibraryPaths }

export type Found = {
  readonly type: 'found'
  readonly gpu: Exclude<LoadRequest['gpu'], 'auto'>
  /** Of llama.cpp. */
  readonly version: string
  /** Memory of the devices that nobody uses; 0 without one. */
  readonly freeVramBytes: number
  /** Absolute paths. */
  readonly files: readonly string[]
}
export type Opened = { readonly type: 'opened'; readonly defaults: string }
/** `reason`: a clause for people. */
export type ProbeFailed = { readonly type: 'failed'; readonly reason: string }
export type ProbeAnswer = Found | Opened | ProbeFailed

const CHILD = fileURLToPath(new URL(`probe-child${extname(import.meta.url)}`, import.meta.url))
/** The first start of a device's driver may take many seconds. */
const PROBE_MS_MAX = 60_000
const ANSWERS: ReadonlySet<unknown> = new Set(['found', 'opened', 'failed'])
const OTHER = 'the probe answered something else'

export async function findLibraries(gpu: LoadRequest['gpu']): Promise<Found | ProbeFailed> {
  const answer = await probe({ type: 'find', gpu })
  return answer.type === 'opened' ? { type: 'failed', reason: OTHER } : answer
}

export async function tryOpen(paths: LibraryPaths): Promise<Opened | ProbeFailed> {
  const answer = await probe({ type: 'open', paths })
  return answer.type === 'found' ? { type: 'failed', reason: OTHER } : answer
}

/** Never rejects. Flags of this process are not the child's: some of them break the forks that node-llama-cpp makes in turn. */
function probe(task: ProbeTask): Promise<ProbeAnswer> {
  const { promise, resolve } = Promise.withResolvers<ProbeAnswer>()
  const fail = (reason: string): void => resolve({ type: 'failed', reason })
  const { NODE_OPTIONS: _options, ...env } = process.env
  const child = fork(CHILD, [], { execArgv: [], env, stdio: ['ignore', 'ignore', 'inherit', 'ipc'] })
  const timer = setTimeout(() => {
    fail(`the probe took longer than ${PROBE_MS_MAX / 1000} s`)
    child.kill('SIGKILL')
  }, PROBE_MS_MAX)
  child.once('message', (answer) => resolve(parseAnswer(answer)))
  child.once('error', () => fail('the probe could not be started'))
  child.once('exit', (code, signal) => fail(`the probe ended with ${signal ?? `exit ${code}`}`))
  // One that could not be started has no channel, and says so by an event.
  if (child.pid !== undefined) child.send(task, () => undefined)
  return promise.finally(() => clearTimeout(timer))
}

/** The child is this program in the same version, but what it loads is not. */
function parseAnswer(value: unknown): ProbeAnswer {
  const isAnswer = typeof value === 'object' && value !== null && 'type' in value && ANSWERS.has(value.type)
  return isAnswer ? (value as ProbeAnswer) : { type: 'failed', reason: OTHER }
}
