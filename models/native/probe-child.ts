/**
 * A short-lived process that finds out about the engine's libraries, so that no process that computes need load two engines.
 *
 * Sent `find`, it lets node-llama-cpp choose libraries for this machine, in its own order of devices and fall-backs, and says which
 * files that opened. Sent `open`, it opens files with the native engine: what cannot be opened ends this process and no other.
 */
import { loadEngineAddon } from '../../native/engine.ts'
import { parseEngineAddon } from './addon.ts'
import { openedFiles } from './libraries.ts'
import type { ProbeAnswer, ProbeTask } from './probe.ts'

async function find(gpu: Extract<ProbeTask, { type: 'find' }>['gpu']): Promise<ProbeAnswer> {
  const library = await import('node-llama-cpp')
  const llama = await library.getLlama({
    gpu: gpu === 'off' ? false : gpu,
    ...{ build: 'never', skipDownload: true, progressLogs: false, logLevel: library.LlamaLogLevel.error },
  })
  const free = llama.gpu === false ? 0 : (await llama.getVramState()).free
  return {
    type: 'found',
    gpu: llama.gpu === false ? 'off' : llama.gpu,
    version: llama.llamaCppRelease.release,
    freeVramBytes: free,
    files: openedFiles(),
  }
}

function open(paths: Extract<ProbeTask, { type: 'open' }>['paths']): ProbeAnswer {
  const loaded = loadEngineAddon()
  if ('reason' in loaded) return { type: 'failed', reason: loaded.reason }
  const addon = parseEngineAddon(loaded.addon)
  if (addon === undefined) return { type: 'failed', reason: 'the build is not ours' }
  return { type: 'opened', defaults: addon.open(paths).defaults }
}

async function answer(task: ProbeTask): Promise<ProbeAnswer> {
  try {
    return task.type === 'find' ? await find(task.gpu) : open(task.paths)
  } catch (error) {
    return { type: 'failed', reason: error instanceof Error ? error.message : 'unknown' }
  }
}

process.once('disconnect', () => process.exit())
process.once('message', (task) => {
  void answer(task as ProbeTask).then((result) => process.send?.(result, () => process.exit()))
})
