/** Random appends, some of them asked for twice, and what must be true of the log afterwards. */
import * as assert from 'uvu/assert'
import { toHex } from '../../core/codec/bytes.ts'
import { FabricError } from '../../core/errors.ts'
import { type PeerId, userAccount } from '../../core/ids.ts'
import { holdBody } from '../../core/log/bodies.ts'
import { type EntryKind, entryCodec } from '../../core/log/entry.ts'
import type { RegionLog, Store } from '../../node/runtime/ports.ts'
import type { StateLedger } from '../../node/stores/ledger-core.ts'
import type { LogNodes } from './log-nodes.ts'
import { ALICE, BOB } from './log-swarm.ts'
import { missing } from './missing.ts'
import type { SeededRandom } from './seeded-random.ts'

const [alice, bob] = [userAccount(ALICE.peer), userAccount(BOB.peer)]

/** `about`: what is wished for, whoever asks; a hold's body also names who does. */
export type Wish = {
  readonly kind: EntryKind
  readonly about: Uint8Array
  readonly body: Uint8Array
  readonly by: number
}
export type Outcome = { readonly wish: Wish; readonly status: string; readonly index: bigint | undefined }

/** Some wishes are asked for twice, by the same node or by another. @param peers  the nodes, in their order */
export function wishesOf(
  nodes: LogNodes,
  random: SeededRandom,
  count: number,
  peers: readonly PeerId[],
): readonly Wish[] {
  const expiresMs = BigInt(nodes.clock.nowMs() + 600_000)
  const wishes: Wish[] = []
  for (let place = 0; place < count; place += 1) {
    const [earlier] = [wishes[random.below(Math.max(wishes.length, 1))]]
    const by = random.below(peers.length)
    const held = (about: Uint8Array): Wish => {
      return { kind: 'hold', about, body: holdBody(peers[by] ?? missing('a node'), about), by }
    }
    if (earlier !== undefined && random.below(5) === 0)
      wishes.push(earlier.kind === 'hold' ? held(earlier.about) : { ...earlier, by })
    else if (random.below(3) === 0)
      wishes.push(held(nodes.swarm.intent({ nonce: BigInt(place), expiresMs, maxTokens: 1 })))
    else {
      const idempotencyKey = `pay ${place}`
      const body = nodes.swarm.direct({ kind: 'transfer', from: alice, to: bob, amount: 1n, idempotencyKey }, ALICE)
      wishes.push({ kind: 'transfer', about: body, body, by })
    }
  }
  return wishes
}

export async function grant(ledger: StateLedger, wish: Wish, rows: Map<string, number>): Promise<Outcome> {
  try {
    const result = await ledger.append(wish.kind, wish.body, () => {
      rows.set(toHex(wish.about), (rows.get(toHex(wish.about)) ?? 0) + 1)
      return []
    })
    const index = result.status === 'applied' ? result.entry.index : undefined
    return { wish, status: result.status === 'refused' ? result.reason : result.status, index }
  } catch (error) {
    if (!(error instanceof FabricError)) throw error
    return { wish, status: error.code, index: undefined }
  }
}

export async function bodiesInLog(log: RegionLog): Promise<readonly string[]> {
  const records = await log.read(0n, 4_096)
  return records.map(({ bytes }) => {
    const entry = entryCodec.decode(bytes)
    return entry.action === 'accept' ? toHex(entry.value.body) : 'malformed'
  })
}

export async function level(ledgers: readonly StateLedger[], signal: AbortSignal): Promise<void> {
  while (new Set(ledgers.map(({ state }) => state.head.hash)).size > 1) {
    signal.throwIfAborted()
    await new Promise((resolve) => setTimeout(resolve, 10))
  }
}

export const accountsOf = (store: Store): string =>
  JSON.stringify(store.accounts().map(({ id, bytes }) => [id, toHex(bytes)]))

export function checkOutcomes(
  outcomes: readonly Outcome[],
  bodies: readonly string[],
  rows: ReadonlyMap<string, number>,
): void {
  for (const { wish, status, index } of outcomes) {
    const times = bodies.filter((body) => body === toHex(wish.body)).length
    assert.ok(times <= 1, `${wish.kind} is in the log ${times} times`)
    if (index !== undefined)
      assert.is(bodies[Number(index)], toHex(wish.body), 'an acknowledged entry is where it is said to be')
    assert.ok(['applied', 'job_exists', 'idempotency_repeat'].includes(status), `${wish.kind}: ${status}`)
  }
  for (const { wish } of outcomes) {
    const answered = outcomes.filter((other) => toHex(other.wish.about) === toHex(wish.about))
    const applied = answered.filter(({ status }) => status === 'applied')
    if (wish.kind === 'hold') assert.is(applied.length, 1, 'one edge drives a job')
    assert.ok((rows.get(toHex(wish.about)) ?? 0) >= 1, 'whoever was told that it is applied made its rows')
  }
}
