/** Pulls models in tests: quick limits, a folder of its own, what happened on the way. */
import { existsSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { DOWNLOAD_LIMITS, type DownloadLimits, type PullEvent } from '../../models/fetch/download.ts'
import type { Disk } from '../../models/fetch/files.ts'
import type { PeerFiles } from '../../models/fetch/peers.ts'
import { type Pulled, type PullRequest, pullModel } from '../../models/fetch/pull.ts'
import { systemClock } from '../../node/runtime/system.ts'

export const QUICK: DownloadLimits = {
  ...DOWNLOAD_LIMITS,
  idleMs: 1_000,
  fruitlessMax: 4,
  progressBytesMin: 1,
  waitMsMin: 1,
  waitMsMax: 4,
  retryAfterMsMax: 1_500,
}

export type PullTestOptions = {
  readonly env?: Readonly<Record<string, string>>
  readonly limits?: DownloadLimits
  readonly disk?: Disk
  readonly peers?: PeerFiles
  readonly onEvent?: (event: PullEvent) => void
  readonly signal?: AbortSignal
}

export function pullTo(folder: string, request: PullRequest, options: PullTestOptions = {}): Promise<Pulled> {
  const { env = {}, limits = QUICK, disk, peers, onEvent = () => undefined, signal } = options
  return pullModel(
    request,
    { folder, env, cwd: folder, limits },
    {
      ...{ clock: systemClock, onEvent },
      ...(disk === undefined ? {} : { disk }),
      ...(peers === undefined ? {} : { peers }),
    },
    signal ?? new AbortController().signal,
  )
}

/** Names of model files and manifests that are in their places. */
export function inPlace(folder: string): readonly string[] {
  return existsSync(folder) ? readdirSync(folder).filter((name) => /\.(?:gguf|json)$/.test(name)) : []
}

export function partFile(folder: string, id: string): string {
  return join(folder, 'partial', `${id}.part`)
}
