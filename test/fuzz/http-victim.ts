/** The daemon that the HTTP fuzzer attacks, over a fake engine and in a process of its own: its end is the end of that process. */
import { readFileSync } from 'node:fs'
import { loadConfig } from '../../node/config.ts'
import { withFakeDaemon } from '../support/fake-daemon.ts'

export type FromVictim =
  | { readonly type: 'listening'; readonly port: number; readonly adminKey: string }
  | { readonly type: 'memory'; readonly rssBytes: number; readonly heapBytes: number }
export type ToVictim = 'measure' | 'stop'

function tell(message: FromVictim): void {
  process.send?.(message)
}

/** After a collection, so that two measurements can be compared; needs `--expose-gc`. */
function measure(): void {
  globalThis.gc?.()
  const { rss, heapUsed } = process.memoryUsage()
  tell({ type: 'memory', rssBytes: rss, heapBytes: heapUsed })
}

await withFakeDaemon({}, async ({ home, url }) => {
  const { paths } = loadConfig({ flags: { home }, env: {}, cwd: home })
  tell({ type: 'listening', port: Number(new URL(url).port), adminKey: readFileSync(paths.adminKey, 'utf8').trim() })
  await new Promise<void>((resolve) => {
    // Who started this is gone: nobody is left to answer.
    process.once('disconnect', resolve)
    process.on('message', (message) => {
      if (message === 'measure') measure()
      else resolve()
    })
  })
})
process.exit()
