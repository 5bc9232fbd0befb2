/** node-llama-cpp as its readers use it: one `evaluate()` loop for each sequence. */
import type { LlamaContextSequence, Token } from 'node-llama-cpp'
import { forkSpeeds, type Opening, type SpeedChild, serveSpeeds } from './child.ts'
import { idsOf, type Order, speedTogether } from './workload.ts'

export function openEvaluator(opening: Opening): Promise<SpeedChild | undefined> {
  return forkSpeeds(import.meta.url, opening)
}

async function open({ path, gpu, threads, slots, contextTokens }: Opening): Promise<(order: Order) => Promise<number>> {
  const { getLlama } = await import('node-llama-cpp')
  const llama = await getLlama({ gpu: gpu === 'off' ? false : gpu, build: 'never', maxThreads: threads })
  const model = await llama.loadModel({ modelPath: path, gpuLayers: gpu === 'off' ? 0 : 'max' })
  const sizes = { sequences: slots, contextSize: contextTokens, threads, batchSize: 512 }
  const context = await model.createContext({ ...sizes, flashAttention: true })
  const all = Array.from({ length: slots }, () => context.getSequence())
  const vocabSize = model.fileInfo.metadata.tokenizer?.ggml?.tokens.length ?? 0
  return async (order) => {
    const chosen = all.slice(0, order.sequences)
    const prompts = chosen.map((_, salt) => [...idsOf(vocabSize, order.promptTokens, salt)].map(tokenOf))
    const written = chosen.map((sequence, place) => write(sequence, prompts[place] ?? [], order.tokens))
    return speedTogether(await Promise.all(written))
  }
}

async function write(sequence: LlamaContextSequence, prompt: Token[], tokens: number): Promise<readonly number[]> {
  await sequence.clearHistory()
  const times: number[] = []
  for await (const _ of sequence.evaluate(prompt, { temperature: 0.8, topK: 40 })) {
    times.push(performance.now())
    if (times.length === tokens) break
  }
  return times
}

/** The library's ids are numbers of a type of their own. */
function tokenOf(id: number): Token {
  return id as Token
}

serveSpeeds(open)
