/** How much memory a process of ours has, as the system tells it. */
import { spawnSync } from 'node:child_process'

const KIB = 1_024

export function residentBytesOf(pid: number): number {
  const { stdout } = spawnSync('ps', ['-o', 'rss=', '-p', String(pid)], { encoding: 'utf8' })
  return Number(stdout.trim()) * KIB
}
