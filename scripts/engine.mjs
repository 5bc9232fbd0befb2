/**
 * Installs a GPU engine for this machine: `npm run engine -- cuda | vulkan | none`.
 *
 * Why apart from `npm install`: the GPU engines of Linux and Windows are 70 to 540 MB, wanted by few, and package.json overrides
 * them with packages that never fit the platform. They live in .engines, which a later `npm ci` leaves alone and links again.
 */
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { linkEngines, runNpm } from './setup.mjs'

const ROOT = path.dirname(path.dirname(fileURLToPath(import.meta.url)))
const FOLDER = path.join(ROOT, '.engines')
const SUFFIXES = { cuda: ['cuda', 'cuda-ext'], vulkan: ['vulkan'], none: [] }

function main(kind) {
  const suffixes = SUFFIXES[kind]
  if (suffixes === undefined) {
    console.error('usage: npm run engine -- cuda | vulkan | none   (Metal comes with the default install on a Mac)')
    return 64
  }
  const os = { linux: 'linux', win32: 'win' }[process.platform]
  if (suffixes.length > 0 && (os === undefined || process.arch !== 'x64')) {
    console.error(`No ${kind} engine is published for ${process.platform} ${process.arch}.`)
    return 69
  }
  const scope = path.join(ROOT, 'node_modules', '@node-llama-cpp')
  for (const suffix of Object.values(SUFFIXES).flat())
    rmSync(path.join(scope, `${os}-x64-${suffix}`), { force: true, recursive: true })
  rmSync(FOLDER, { force: true, recursive: true })
  if (suffixes.length === 0) return 0

  const version = JSON.parse(readFileSync(path.join(ROOT, 'package.json'), 'utf8')).dependencies['node-llama-cpp']
  mkdirSync(FOLDER)
  writeFileSync(path.join(FOLDER, 'package.json'), '{ "private": true }\n')
  const packages = suffixes.map((suffix) => `@node-llama-cpp/${os}-x64-${suffix}@${version}`)
  const args = [
    'install',
    '--no-package-lock',
    '--ignore-scripts',
    '--loglevel=error',
    '--no-audit',
    '--no-fund',
    ...packages,
  ]
  const npm = runNpm(args, { cwd: FOLDER, stdio: 'inherit' })
  if (npm.status !== 0) return 69
  linkEngines()
  console.log(`The ${kind} engine is installed; start the node with --gpu ${kind}.`)
  return 0
}

process.exitCode = main(process.argv[2])
