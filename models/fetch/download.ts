/** Loads a model file over HTTP, however often the line breaks: attempts that make progress are free, others are counted. */
import { FabricError } from '../../core/errors.ts'
import { type AttemptPorts, attempt, type Broken, type Ended, type Wanted } from './attempt.ts'
import type { PartFile } from './part.ts'
import type { WebSource } from './source.ts'
import { errorCodes, type Web } from './web.ts'

export type PullClock = { nowMs(): number; sleep(ms: number, signal?: AbortSignal): Promise<void> }
export type PullEvent =
  | { readonly type: 'bytes'; readonly done: number; readonly total: number | undefined }
  | { readonly type: 'retry'; readonly reason: Broken['reason']; readonly waitMs: number; readonly fruitless: number }
  | { readonly type: 'found'; readonly done: number }

export type DownloadLimits = {
  /** Longest time in which fewer than `progressBytesMin` may arrive. */
  readonly idleMs: number
  /** Attempts in a row that bring nothing new; the last one's reason becomes the error. */
  readonly fruitlessMax: number
  /** What counts as progress: a server that sends a byte at a time must not keep a pull alive. */
  readonly progressBytesMin: number
  readonly waitMsMin: number
  readonly waitMsMax: number
  /** A server that asks for more patience is given up, and its wish told. */
  readonly retryAfterMsMax: number
}
export const DOWNLOAD_LIMITS: DownloadLimits = {
  idleMs: 30_000,
  fruitlessMax: 6,
  progressBytesMin: 65_536,
  waitMsMin: 500,
  waitMsMax: 30_000,
  retryAfterMsMax: 120_000,
}

export type DownloadPorts = {
  readonly web: Web
  readonly clock: PullClock
  readonly limits: DownloadLimits
  readonly onEvent: (event: PullEvent) => void
  readonly ensureRoom: AttemptPorts['ensureRoom']
}

const OFFLINE = ['ENOTFOUND', 'ECONNREFUSED', 'EAI_AGAIN', 'EHOSTUNREACH', 'ENETUNREACH', 'UND_ERR_CONNECT_TIMEOUT']
const CERTIFICATE = /CERT|ERR_TLS|SELF_SIGNED|UNABLE_TO_VERIFY|UNABLE_TO_GET_ISSUER/
const STALLED = ['UND_ERR_HEADERS_TIMEOUT', 'UND_ERR_BODY_TIMEOUT']

/**
 * Completes a part.
 *
 * @throws FabricError CF_MODEL_SOURCE_*, CF_MODEL_PULL_FAILED, CF_MODEL_DIGEST_MISMATCH, CF_MODEL_DISK_FULL, CF_MODEL_STORE_FAILED;
 *         the signal's reason
 */
export async function download(
  source: WebSource,
  part: PartFile,
  wanted: Wanted,
  ports: DownloadPorts,
  signal: AbortSignal,
): Promise<void> {
  const { limits, clock, onEvent } = ports
  let furthest = part.bytes
  let fruitless = 0
  for (let isFirst = true; !isWhole(part, wanted); isFirst = false) {
    const ended = await oneAttempt(source, part, wanted, ports, isFirst, signal)
    if (ended === 'whole') return
    fruitless = part.bytes - furthest >= limits.progressBytesMin ? 0 : fruitless + 1
    furthest = Math.max(furthest, part.bytes)
    const waitMs = waitAfter(ended, fruitless, limits)
    onEvent({ type: 'retry', reason: ended.reason, waitMs, fruitless })
    await clock.sleep(waitMs, signal)
  }
}

function isWhole(part: PartFile, wanted: Wanted): boolean {
  const { bytes, digest } = part.facts
  const isOther = digest !== undefined && wanted.digest !== undefined && digest !== wanted.digest
  return !isOther && bytes !== undefined && part.bytes === bytes
}

/** @throws when no attempt is left, or none would help */
function waitAfter({ reason, retryAfterMs = 0 }: Broken, fruitless: number, limits: DownloadLimits): number {
  if (fruitless >= limits.fruitlessMax) throw new FabricError('CF_MODEL_PULL_FAILED', { reason, attempts: fruitless })
  if (retryAfterMs > limits.retryAfterMsMax)
    throw new FabricError('CF_MODEL_PULL_FAILED', { reason, retryAfterSeconds: retryAfterMs / 1_000 })
  const backoffMs = Math.min(limits.waitMsMin * 2 ** Math.max(0, fruitless - 1), limits.waitMsMax)
  return Math.max(backoffMs, retryAfterMs)
}

async function oneAttempt(
  source: WebSource,
  part: PartFile,
  wanted: Wanted,
  { web, clock, limits, onEvent, ensureRoom }: DownloadPorts,
  isFirst: boolean,
  signal: AbortSignal,
): Promise<Ended> {
  const idle = watchIdle(clock, limits)
  try {
    const onBytes = (count: number): void => {
      idle.received(count)
      onEvent({ type: 'bytes', done: part.bytes, total: part.facts.bytes })
    }
    return await attempt(source, part, wanted, { web, onBytes, ensureRoom }, AbortSignal.any([signal, idle.signal]))
  } catch (error) {
    signal.throwIfAborted()
    if (idle.signal.aborted) return { reason: 'stalled' }
    if (error instanceof FabricError) throw error
    return networkFailure(error, source, isFirst)
  } finally {
    idle.stop()
  }
}

/** @throws CF_MODEL_SOURCE_UNREACHABLE when there is no way to the source at all; a bug as it is */
function networkFailure(error: unknown, source: WebSource, isFirst: boolean): Broken {
  const codes = errorCodes(error)
  const { host } = source.url
  if (codes.some((code) => CERTIFICATE.test(code)))
    throw new FabricError('CF_MODEL_SOURCE_UNREACHABLE', { host, reason: 'certificate_refused' }, error)
  const offline = codes.find((code) => OFFLINE.includes(code))
  if (offline !== undefined && isFirst)
    throw new FabricError('CF_MODEL_SOURCE_UNREACHABLE', { host, reason: offline }, error)
  if (codes.some((code) => STALLED.includes(code))) return { reason: 'stalled' }
  // Everything else that the network throws carries a code; what does not is a bug.
  if (codes.length === 0) throw error
  return { reason: 'connection_lost' }
}

/** Ends an attempt in which too little arrives: a server may also stall by sending a byte now and then. */
function watchIdle(clock: PullClock, limits: DownloadLimits) {
  const idle = new AbortController()
  const over = new AbortController()
  let arrived = 0
  const watch = async (): Promise<void> => {
    for (;;) {
      await clock.sleep(limits.idleMs, over.signal)
      if (arrived < limits.progressBytesMin) return idle.abort(new Error('stalled'))
      arrived = 0
    }
  }
  void watch().catch(() => undefined)
  return {
    signal: idle.signal,
    received: (count: number): void => {
      arrived += count
    },
    stop: (): void => over.abort(),
  }
}
