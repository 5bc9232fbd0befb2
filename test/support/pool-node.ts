/** A spawned node with three small models: the bundled one and two that are installed from files. */
import { copyFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import * as assert from 'uvu/assert'
import { listAt, member, textAt } from '../../node/commands/json.ts'
import { loadConfig } from '../../node/config.ts'
import { askJson, type Reply } from './control.ts'
import { pullTo } from './pull.ts'
import { getJson, parsed, runNode, type SpawnedNode } from './spawned-node.ts'
import { tempFolder } from './temp-folder.ts'

const DATA = fileURLToPath(new URL('../../models/data/', import.meta.url))
export const COARSE = 'cfab-tiny-q4_0'
export const SMALL = 'cfab-tiny-small-f16'

/** @returns a home whose node has these models beside the bundled ones */
export async function homeWith(...ids: readonly string[]): Promise<string> {
  const home = tempFolder()
  for (const id of ids) await install(home, id)
  return home
}

export async function install(home: string, id: string): Promise<void> {
  const { paths } = loadConfig({ flags: { home }, env: {}, cwd: home })
  const file = join(tempFolder(), `${id}.gguf`)
  copyFileSync(join(DATA, `${id}.gguf`), file)
  await pullTo(paths.models, { model: file, as: id })
}

export function capital({ address }: SpawnedNode, model: string, more: object = {}): Promise<Reply> {
  const messages = [{ role: 'user', content: 'What is the capital of France?' }]
  return askJson(`${address}/v1/chat/completions`, { model, messages, temperature: 0, ...more })
}

export async function assertAnswers(node: SpawnedNode, model: string): Promise<void> {
  const answer = await capital(node, model)
  assert.is(answer.status, 200, answer.body)
  assert.match(textAt(parsed(answer), 'choices', 0, 'message', 'content'), /^The capital of /)
}

/** Rows of `models ps`, by model. */
export async function running({ address }: SpawnedNode): Promise<ReadonlyMap<string, unknown>> {
  const items = listAt(await getJson(`${address}/api/v1/models/ps`), 'items')
  return new Map(items.map((item) => [textAt(item, 'id'), item]))
}

export async function resident(node: SpawnedNode): Promise<readonly string[]> {
  const rows = [...(await running(node)).entries()]
  return rows.flatMap(([id, row]) => (member(row, 'state') === 'ready' ? [id] : [])).sort()
}

/** `cfab-node models …` of this node. */
export function models(home: string, { address }: SpawnedNode, ...args: readonly string[]) {
  return runNode(['models', ...args, '--home', home, '--port', new URL(address).port])
}
