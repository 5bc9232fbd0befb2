/** Encoders from `models pull` to `POST /v1/embeddings`, in a spawned node. */
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { textAt } from '../../node/commands/json.ts'
import { GGUF_POOLING, ggufEncoderLoad } from '../support/gguf-file.ts'
import { BERT, writeBert } from '../support/onnx-file.ts'
import { apiErrorOf, clientOf } from '../support/openai-client.ts'
import { getJson, runNode, type SpawnedNode, withNode } from '../support/spawned-node.ts'
import { tempFolder } from '../support/temp-folder.ts'
import { within } from '../support/within.ts'
import { wordPieceFile } from '../support/word-pieces.ts'

const LIMIT_MS = 60_000
const INPUT = ['A red kite.', 'the birds sing, singing', 'A red kite.']
const TINY_WIDTH = 192

/** @returns the model's path, with its vocabulary where hubs keep it */
function onnxEncoder(): string {
  const root = tempFolder()
  mkdirSync(join(root, 'onnx'))
  writeBert(join(root, 'onnx', 'model.onnx'))
  writeFileSync(join(root, 'tokenizer.json'), wordPieceFile())
  return join(root, 'onnx', 'model.onnx')
}

function ggufEncoder(): string {
  const path = join(tempFolder(), 'model.gguf')
  ggufEncoderLoad(path, GGUF_POOLING.mean)
  return path
}

/** The second model is loaded after the node is ready. */
async function loaded(node: SpawnedNode, model: string): Promise<void> {
  const isLoaded = async (): Promise<boolean> =>
    /"loaded": ?true/.test(JSON.stringify(await getJson(`${node.address}/v1/models/${model}`)))
  while (!(await isLoaded())) await new Promise((resolve) => setTimeout(resolve, 50))
}

async function answers(node: SpawnedNode, width: number): Promise<void> {
  await loaded(node, 'encoder')
  const client = clientOf({ url: node.address })
  const answer = await client.embeddings.create({ model: 'encoder', input: INPUT })
  const vectors = answer.data.map(({ embedding }) => [...embedding])
  for (const vector of vectors) {
    assert.is(vector.length, width)
    assert.ok(Math.abs(Math.hypot(...vector) - 1) < 1e-3)
  }
  assert.equal(vectors[2], vectors[0])
  assert.not.equal(vectors[1], vectors[0])
  assert.ok(answer.usage.prompt_tokens > INPUT.length)
  assert.is(textAt(answer, 'cfab', 'outcome'), 'local')
  const long = await apiErrorOf(client.embeddings.create({ model: 'encoder', input: ['a', 'a '.repeat(2_000)] }))
  assert.is(long.code, 'CF_JOB_CONTEXT_EXCEEDED')
}

for (const [kind, path, width] of [
  ['an ONNX encoder of the BERT kind', onnxEncoder(), BERT.width],
  ['a GGUF encoder', ggufEncoder(), TINY_WIDTH],
] as const)
  test(
    `${kind} is pulled, served, and answers with unit vectors; a text that is too long is refused`,
    within(LIMIT_MS, async () => {
      const home = tempFolder()
      const pulled = await runNode(['models', 'pull', path, '--as', 'encoder', '--home', home])
      assert.is(pulled.status, 0, pulled.err)
      assert.match(pulled.out, `serve it: cfab-node start --embedding-model encoder --home ${home}`)
      const flags = ['--threads', '1', '--embedding-model', 'encoder']
      await withNode(home, (node) => answers(node, width), ...flags)
    }),
  )

test.run()
