/** A worker's daemon is killed while its answer is read: the client's stream goes on unbroken, and the receipt says who said what. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { parseSwarmId } from '../../core/ids.ts'
import { verifyReceiptFile } from '../../core/receipt/verify.ts'
import { listAt, member, textAt } from '../../node/commands/json.ts'
import { type SpawnedSwarm, type SwarmNode, withSwarm } from '../support/spawned-swarm.ts'
import { allReady, eventually, MODEL, sameBooks, workersOf } from '../support/swarm-asks.ts'
import { within } from '../support/within.ts'

const LIMIT_MS = 150_000
const TOKENS = 800
const READ_EVENTS = 8
const TRIES_MAX = 6
const PROMPT = {
  // Hot: it goes on to its length nearly always.
  ...{ model: MODEL, stream: true, temperature: 2, max_tokens: TOKENS, stream_options: { include_usage: true } },
  messages: [{ role: 'user', content: 'Tell me a very long story about a fox.' }],
}

type Heard = { readonly jobId: string; readonly events: number; readonly tokens: number; readonly isWhole: boolean }

/** Reads a stream to its end. @param onEvents  called once, when some of it was read, with the id of the job */
async function listen(edge: SwarmNode, onEvents: (jobId: string) => Promise<void>): Promise<Heard> {
  const options = { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(PROMPT) }
  const response = await fetch(`${edge.address()}/v1/chat/completions`, options)
  assert.is(response.status, 200)
  let [text, jobId, acted] = ['', '', false]
  const events = (): readonly string[] => text.split('\n').filter((line) => line.startsWith('data: {'))
  for await (const part of response.body ?? []) {
    text += new TextDecoder().decode(part)
    if (acted || events().length < READ_EVENTS) continue
    acted = true
    jobId = textAt(JSON.parse(events()[0]?.slice('data: '.length) ?? ''), 'id').replace('chatcmpl-', '')
    await onEvents(jobId)
  }
  const told = events().map((line): unknown => JSON.parse(line.slice('data: '.length)))
  const usage = told.find((event) => typeof member(event, 'usage', 'completion_tokens') === 'number')
  const isWhole = text.trimEnd().endsWith('data: [DONE]') && told.every((event) => member(event, 'error') === undefined)
  return { jobId, events: told.length, tokens: Number(textAt(usage, 'usage', 'completion_tokens')), isWhole }
}

async function segmentsOf(swarm: SpawnedSwarm, jobId: string) {
  const response = await fetch(`${swarm.founder.address()}/api/v1/p2p/receipts/${jobId}`)
  const root = parseSwarmId(swarm.genesis.swarmId)
  assert.ok(root !== undefined)
  const verdict = verifyReceiptFile(new Uint8Array(await response.arrayBuffer()), { roots: new Set([root]) })
  if (verdict.status !== 'valid') throw new Error(JSON.stringify(verdict, (_, value) => String(value)))
  return verdict.facts.delivery?.segments ?? []
}

async function isOpen(edge: SwarmNode, jobId: string): Promise<boolean> {
  const phase = textAt(await edge.json(`/api/v1/p2p/jobs/${jobId}`), 'phase')
  return phase === 'executing'
}

test(
  'a daemon that is killed while its answer is read is replaced by another, and the client cannot tell',
  within(LIMIT_MS, () =>
    withSwarm({ nodes: 5, validators: 1 }, async (swarm) => {
      const providers = swarm.nodes.slice(1)
      await Promise.all(providers.map(({ place }) => swarm.join(place)))
      await eventually('all are ready', () => allReady(swarm.nodes, providers))
      for (let left = TRIES_MAX; ; left -= 1) {
        let killed: SwarmNode | undefined
        const heard = await listen(swarm.founder, async (jobId) => {
          const [worker] = await workersOf(swarm.founder, jobId)
          if (!(await isOpen(swarm.founder, jobId))) return
          killed = providers.find(({ peer }) => peer === worker)
          await killed?.kill()
        })
        assert.ok(heard.isWhole, 'the stream has an end, and no error in it')
        const { jobId, tokens } = heard
        await eventually(
          'the job is settled',
          async () => textAt(await swarm.founder.json(`/api/v1/p2p/jobs/${jobId}`), 'phase') === 'settled',
        )
        const segments = await segmentsOf(swarm, jobId)
        assert.is(
          segments.reduce((sum, { tokenCount }) => sum + tokenCount, 0),
          tokens,
        )
        console.log(JSON.stringify({ tokens, segments: segments.map(({ tokenCount }) => tokenCount) }))
        if (killed !== undefined && segments.length > 1) {
          assert.is(segments[0]?.worker, killed.peer)
          break
        }
        assert.ok(left > 1, 'no answer was long enough to kill its worker in time')
        await killed?.start()
        await eventually('all are ready', () => allReady(swarm.nodes, providers))
      }
      const living = swarm.nodes.filter(({ pid }) => isRunning(pid()))
      await eventually('the books are the same', () => sameBooks(living))
      assert.is(
        listAt(await swarm.founder.json('/api/v1/p2p/jobs'), 'items').every(
          (job) => textAt(job, 'phase') === 'settled',
        ),
        true,
      )
    }),
  ),
)

function isRunning(pid: number | undefined): boolean {
  try {
    return pid !== undefined && process.kill(pid, 0)
  } catch {
    return false
  }
}

test.run()
