/** Sees models that are pulled or removed while the node runs: another process does that, in the folder of the models. */
import { stat } from 'node:fs/promises'
import type { CatalogueEntry } from '../models/catalogue.ts'
import type { Clock } from './runtime/ports.ts'

export type WatchPorts = {
  readonly clock: Clock
  readonly read: () => Promise<readonly CatalogueEntry[]>
  readonly changed: (entries: readonly CatalogueEntry[]) => void
  /** The folder cannot be read: what was known stays. */
  readonly failed: (error: unknown) => void
}

const LOOK_MS = 1_000

/** Looks once a second until the signal aborts. A manifest is put in its place by a rename, which the folder's time tells. */
export async function watchInstalled(
  folder: string,
  { clock, read, changed, failed }: WatchPorts,
  stop: AbortSignal,
): Promise<void> {
  let seenMs = await changeMs(folder)
  for (;;) {
    const isOver = await clock.sleep(LOOK_MS, stop).then(
      () => false,
      () => true,
    )
    if (isOver) return
    const nowMs = await changeMs(folder)
    if (nowMs === seenMs) continue
    seenMs = nowMs
    await read().then(changed, failed)
  }
}

/** @returns 0 when there is no such folder */
async function changeMs(folder: string): Promise<number> {
  const found = await stat(folder).catch(() => undefined)
  return found?.mtimeMs ?? 0
}
