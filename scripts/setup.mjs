/**
 * Makes a fresh clone ready, then runs what was asked for: `node scripts/setup.mjs [script.ts args... | --add-ons]`.
 *
 * Installs when node_modules is missing or older than the lock file, says how much it took, and is silent otherwise. The script
 * is started with the Node.js that was just installed. That is done here, not by `&&` in package.json, since a shell looks `node`
 * up once and would go on with the old one. Plain JavaScript without packages: it runs on Node.js 20 before anything is there.
 */
import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import {
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { findNode, runWith } from '../bin/node24.js'

const ROOT = path.dirname(path.dirname(fileURLToPath(import.meta.url)))
const MODULES = path.join(ROOT, 'node_modules')
const STAMP = path.join(MODULES, '.cfab-installed')
const ENGINES = path.join(ROOT, '.engines', 'node_modules', '@node-llama-cpp')
const NATIVE = path.join(ROOT, 'scripts', 'native.mjs')
/** Scripts that build the add-ons first; `--once`, for a node that is started, does not try again what has failed before. */
const USES_NATIVE = /^(?:test|bench)\/|^scripts\/engine-test/
const MIB = 1_048_576
/** What a default install may take on disk. */
const INSTALLED_MIB_MAX = 900

/** What the installed tree was made from; another lock file, platform or processor asks for another install. */
function wantedStamp() {
  const lock = readFileSync(path.join(ROOT, 'package-lock.json'))
  return `${createHash('sha256').update(lock).digest('hex')} ${process.platform} ${process.arch}\n`
}

function isInstalled() {
  return existsSync(STAMP) && readFileSync(STAMP, 'utf8') === wantedStamp()
}

/** Sums the files of a folder as `du` does: a file with two names counts once, a link not at all. */
function folderBytes(folder, seen = new Set()) {
  let bytes = 0
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    const file = path.join(folder, entry.name)
    if (entry.isDirectory()) bytes += folderBytes(file, seen)
    else if (entry.isFile()) {
      const { ino, nlink, blocks, size } = lstatSync(file)
      if (nlink > 1 && seen.has(ino)) continue
      if (nlink > 1) seen.add(ino)
      bytes += blocks === undefined ? size : blocks * 512
    }
  }
  return bytes
}

/** Puts our own command where `npx cfab-node` looks, as npm does for the commands of dependencies only. */
function linkCommand() {
  const folder = path.join(MODULES, '.bin')
  mkdirSync(folder, { recursive: true })
  const link = path.join(folder, 'cfab-node')
  rmSync(link, { force: true })
  if (process.platform === 'win32') writeFileSync(`${link}.cmd`, '@node "%~dp0..\\..\\bin\\cfab-node.js" %*\r\n')
  else symlinkSync('../../bin/cfab-node.js', link)
}

/** Links the engines of `npm run engine` into node_modules again, from which npm removes whatever the lock file does not name. */
export function linkEngines() {
  if (!existsSync(ENGINES)) return
  for (const name of readdirSync(ENGINES)) {
    const link = path.join(MODULES, '@node-llama-cpp', name)
    rmSync(link, { force: true, recursive: true })
    symlinkSync(path.join(ENGINES, name), link, 'junction')
  }
}

/** Runs npm: its own script where npm started us, so that no shell is needed to find it. */
export function runNpm(args, options) {
  const script = process.env['npm_execpath']
  return script !== undefined && /npm-cli\.c?js$/.test(script)
    ? spawnSync(process.execPath, [script, ...args], options)
    : spawnSync('npm', args, { ...options, shell: process.platform === 'win32' })
}

function install() {
  console.log('Installing dependencies, once (about 0.8 GB) ...')
  const startedMs = Date.now()
  const args = ['ci', '--include=dev', '--include=optional', '--loglevel=error', '--no-audit', '--no-fund']
  const env = { ...process.env, CFAB_SETUP: '1' }
  const npm = runNpm(args, { cwd: ROOT, env, stdio: ['ignore', 'pipe', 'pipe'], encoding: 'utf8' })
  if (npm.status !== 0) {
    console.error(
      `${npm.stdout ?? ''}${npm.stderr ?? ''}${npm.error ?? ''}\nnpm ci failed; is the npm registry reachable?`,
    )
    return false
  }
  finish(`in ${Math.round((Date.now() - startedMs) / 1000)} s`)
  return true
}

/** Completes an install; the stamp is written last, so that an install that was cut short is done again. */
function finish(note) {
  linkCommand()
  linkEngines()
  const mib = Math.round(folderBytes(MODULES) / MIB)
  console.log(`Installed ${mib} MiB in node_modules (at most ${INSTALLED_MIB_MAX}) ${note}`)
  if (mib > INSTALLED_MIB_MAX) throw new Error(`node_modules takes ${mib} MiB, more than ${INSTALLED_MIB_MAX}`)
  writeFileSync(STAMP, wantedStamp())
}

async function main(args) {
  if (args[0] === '--installed') {
    const { CFAB_SETUP, npm_config_package_lock_only: lockOnly, npm_config_omit: omit } = process.env
    if (CFAB_SETUP !== '1' && lockOnly !== 'true' && (omit ?? '') === '') finish('')
    return 0
  }
  if (!isInstalled() && !install()) return 69
  if (args.length === 0) return 0
  const node = findNode()
  if (node === undefined) {
    console.error('No Node.js 24 in node_modules: remove that folder and start again.')
    return 78
  }
  const bin = path.join(MODULES, '.bin')
  const env = { ...process.env, PATH: [path.dirname(node), bin, process.env['PATH']].join(path.delimiter) }
  const buildAddons = (mode) => spawnSync(node, [NATIVE, mode], { stdio: 'inherit', env })
  if (args[0] === '--add-ons') return buildAddons('--once').status ?? 70
  if (USES_NATIVE.test(args[0])) buildAddons('--quietly')
  return runWith(node, args, env)
}

if (process.argv[1] === fileURLToPath(import.meta.url)) process.exitCode = await main(process.argv.slice(2))
