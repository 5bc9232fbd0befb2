/**
 * Completes package-lock.json after a dependency was added or changed (`npm run lock`).
 *
 * Why: `npm ci` refuses a lock file that lacks an optional dependency, even one for another platform, and npm leaves out every
 * package that the registry it talked to does not carry. Such a registry (a mirror for one platform) is enough to install from,
 * but not to write a lock file that works everywhere. A package of another platform is never fetched, so its name, version and
 * platform, all of which its own name tells, are enough.
 */
import { readFileSync, writeFileSync } from 'node:fs'

const PATH = new URL('../package-lock.json', import.meta.url)
const OVERRIDES = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8')).overrides ?? {}

const OS = { win: 'win32', win32: 'win32', mac: 'darwin', darwin: 'darwin', linux: 'linux', android: 'android' }
const CPU = { x64: 'x64', arm64: 'arm64', arm: 'arm', armv7l: 'arm', riscv64: 'riscv64' }

/** Reads os and cpu out of a name such as `@biomejs/cli-linux-arm64-musl`; nothing when the name does not tell. */
function platformOf(name) {
  const words = name.split(/[/-]/)
  const os = OS[words.find((word) => word in OS)]
  const cpu = CPU[words.find((word) => word in CPU)]
  return os === undefined || cpu === undefined ? undefined : { os: [os], cpu: [cpu] }
}

/** The lock entry of a package that is only named: what an override makes of it, or itself at its exact version. */
function entryOf(name, version, dev) {
  const alias = /^npm:(.+)@([^@]+)$/.exec(OVERRIDES[name] ?? '')
  const platform = platformOf(alias?.[1] ?? name)
  if (platform === undefined || !/^\d/.test(alias?.[2] ?? version)) return undefined
  return {
    ...(alias === null ? {} : { name: alias[1] }),
    version: alias?.[2] ?? version,
    cpu: platform.cpu,
    ...(dev ? { dev: true } : {}),
    ...(name.includes('musl') ? { libc: ['musl'] } : {}),
    optional: true,
    os: platform.os,
  }
}

const lock = JSON.parse(readFileSync(PATH, 'utf8'))
let addedCount = 0
for (const entry of Object.values(lock.packages)) {
  for (const [name, version] of Object.entries(entry.optionalDependencies ?? {})) {
    const path = `node_modules/${name}`
    if (path in lock.packages) continue
    const added = entryOf(name, version, entry.dev === true)
    if (added === undefined)
      throw new Error(`${name}@${version} is not in the lock file and its name tells no platform`)
    lock.packages[path] = added
    addedCount++
  }
}
lock.packages = Object.fromEntries(Object.entries(lock.packages).sort(([a], [b]) => (a < b ? -1 : 1)))
writeFileSync(PATH, `${JSON.stringify(lock, null, 2)}\n`)
console.log(`package-lock.json: ${addedCount} packages of other platforms added`)
