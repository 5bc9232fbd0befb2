/** From `cfab-node start` to the end of a first streamed answer: on an empty home, and again on the same home. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { startBenchDaemon } from './daemon.ts'
import { median, type Result } from './report.ts'

export async function firstAnswer(runs: number): Promise<Result> {
  const [first, second]: [number[], number[]] = [[], []]
  for (let run = 0; run < runs; run += 1) {
    const home = await mkdtemp(join(tmpdir(), 'cfab-bench-'))
    first.push(await answerMs(home))
    second.push(await answerMs(home))
    await rm(home, { recursive: true, force: true })
  }
  return {
    bench: 'first-answer',
    figures: [
      { name: 'empty home to first whole answer', unit: 'ms', values: first },
      { name: 'second start to first whole answer', unit: 'ms', values: second },
    ],
    ratios: [{ name: 'of the 10 s allowed for a second start', value: median(second) / 10_000 }],
  }
}

async function answerMs(home: string): Promise<number> {
  const startMs = performance.now()
  const daemon = await startBenchDaemon(home, 1)
  const messages = [{ role: 'user', content: 'What is the capital of France?' }]
  const body = JSON.stringify({ model: 'cfab-tiny', stream: true, temperature: 0, messages })
  const response = await fetch(`${daemon.address}/v1/chat/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body,
  })
  const text = await response.text()
  const tookMs = performance.now() - startMs
  await daemon.stop()
  if (!text.includes('"outcome":"local"')) throw new Error(`no outcome: ${text.slice(-300)}`)
  return tookMs
}
