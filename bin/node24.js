/** Finds the pinned Node.js and runs a script with it; plain JavaScript, because an older Node.js reads this file first. */
import { spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { createRequire } from 'node:module'
import { constants } from 'node:os'
import path from 'node:path'

const MAJOR_MIN = 24

export function isNewEnough(version = process.versions.node) {
  return Number.parseInt(version, 10) >= MAJOR_MIN
}

/**
 * Gives the path of a Node.js that is new enough, or undefined.
 *
 * @returns  this process's own, else the one that the `node` package of npm installed beside us
 */
export function findNode() {
  if (isNewEnough()) return process.execPath
  try {
    const folder = path.dirname(createRequire(import.meta.url).resolve('node/package.json'))
    const file = path.join(folder, 'bin', process.platform === 'win32' ? 'node.exe' : 'node')
    return existsSync(file) ? file : undefined
  } catch {
    return undefined
  }
}

/**
 * Runs a script with the given Node.js, as if it were this process: same terminal, same signals, same exit status.
 *
 * Why SIGINT is not passed on in a terminal: Ctrl-C reaches the whole foreground group, and twice would mean "at once".
 *
 * @returns  the exit status; does not return if the child died of a signal, because then this process does too
 */
export function runWith(node, args, env = process.env) {
  const child = spawn(node, args, { stdio: 'inherit', env })
  const passOn = (signal) => {
    if (signal !== 'SIGINT' || !process.stdin.isTTY) child.kill(signal)
  }
  const signals = ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGQUIT', 'SIGUSR2']
  for (const signal of signals) process.on(signal, passOn)
  return new Promise((resolve, reject) => {
    child.once('error', reject)
    child.once('exit', (code, signal) => {
      for (const name of signals) process.off(name, passOn)
      if (signal === null) resolve(code)
      else {
        process.kill(process.pid, signal)
        setTimeout(() => resolve(128 + (constants.signals[signal] ?? 0)), 1_000)
      }
    })
  })
}
