/** Time that processors have spent, on Linux: on a machine that others use too, elapsed time says little. */
import { readFileSync } from 'node:fs'

const MS_PER_TICK = 10
const US_PER_MS = 1_000
/** Of what follows the name in parentheses: utime and stime, see proc_pid_stat(5). */
const USER_PLACE = 11

/** Milliseconds of this process and of another one, all threads, user and system. */
export function cpuMsOf(pid: number | undefined): number {
  const { user, system } = process.cpuUsage()
  const own = (user + system) / US_PER_MS
  if (pid === undefined) throw new Error('the compute host is gone')
  const text = readFileSync(`/proc/${pid}/stat`, 'utf8')
  const [utime, stime] = text
    .slice(text.lastIndexOf(')') + 2)
    .split(' ')
    .slice(USER_PLACE, USER_PLACE + 2)
  return own + (Number(utime) + Number(stime)) * MS_PER_TICK
}
