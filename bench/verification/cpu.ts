/** Time that processors have spent, on Linux: on a machine that others use too, elapsed time says little. */
import { readdirSync, readFileSync } from 'node:fs'

const NS_PER_MS = 1_000_000
const US_PER_MS = 1_000

/**
 * Milliseconds of this process and of another one, all threads that still run, user and system.
 *
 * Why the scheduler's figures: those of proc_pid_stat(5) count ten milliseconds at a time.
 */
export function cpuMsOf(pid: number | undefined): number {
  if (pid === undefined) throw new Error('the compute host is gone')
  const { user, system } = process.cpuUsage()
  const tasks = `/proc/${pid}/task`
  const ranNs = readdirSync(tasks).map((task) => {
    const [ran] = readFileSync(`${tasks}/${task}/schedstat`, 'utf8').split(' ')
    return Number(ran)
  })
  return (user + system) / US_PER_MS + ranNs.reduce((sum, ns) => sum + ns, 0) / NS_PER_MS
}
