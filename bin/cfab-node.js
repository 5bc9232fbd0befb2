#!/usr/bin/env node
/** Starts `cfab-node` on Node.js 24 or newer, whichever Node.js was asked: in this process if it is new enough, else re-executed. */
import { fileURLToPath } from 'node:url'
import { findNode, isNewEnough, runWith } from './node24.js'

const EX_CONFIG = 78

async function launch(argv) {
  if (isNewEnough()) {
    const { main } = await import('../node/main.ts')
    return main(argv)
  }
  const node = findNode()
  if (node !== undefined) return runWith(node, [fileURLToPath(import.meta.url), ...argv])
  console.error(
    `CF_CONFIG_RUNTIME_TOO_OLD: this is Node.js ${process.versions.node}; run "npm install" once to get Node.js 24, or install it.`,
  )
  return EX_CONFIG
}

process.exitCode = await launch(process.argv.slice(2))
