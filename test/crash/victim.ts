/**
 * A daemon that kills itself: `victim.ts HOME [POINT PASSING]`. SIGKILL from inside, at the Nth passing of a named point, is exact,
 * and nothing is flushed or said that a crash would not.
 */
import { writeSync } from 'node:fs'
import { loadConfig } from '../../node/config.ts'
import { NO_TAPS, startDaemon, type Taps } from '../../node/daemon.ts'
import { createLogger } from '../../node/runtime/telemetry.ts'
import { isPoint, tapsThatTell } from './points.ts'

const [home = '', point = '', passing = '1'] = process.argv.slice(2)

function tapsOf(): Taps {
  if (!isPoint(point)) return NO_TAPS
  let left = Number(passing)
  return tapsThatTell((passed) => {
    if (passed !== point) return
    left -= 1
    if (left > 0) return
    writeSync(1, `killed at ${point}\n`)
    process.kill(process.pid, 'SIGKILL')
  })
}

/** Says how many jobs this life has to finish for an earlier one. */
function counting(taps: Taps): Taps {
  const store: Taps['store'] = (inner) => ({
    ...taps.store(inner),
    openJobs: () => {
      const jobs = inner.openJobs()
      writeSync(1, `found ${jobs.length} open\n`)
      return jobs
    },
  })
  return { ...taps, store }
}

// Whoever started it is gone.
process.stdin.resume().once('end', () => process.exit(1))
const config = loadConfig({ flags: { home, port: '0' }, env: {}, cwd: process.cwd() })
const daemon = await startDaemon(config, createLogger('warn'), counting(tapsOf()))
writeSync(1, `listens on ${daemon.address}\n`)
