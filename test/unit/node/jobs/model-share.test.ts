/** Models from other members over the memory transport: who may ask for what, and what a pull makes of peers that break off or lie. */
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { digestOf, type PeerId } from '../../../../core/ids.ts'
import { CFAB_TINY } from '../../../../models/catalogue.ts'
import type { PeerFiles } from '../../../../models/fetch/peers.ts'
import { sharedFiles } from '../../../../models/shared-files.ts'
import { createModelPeers } from '../../../../node/jobs/model-peers.ts'
import {
  createModelShare,
  MODEL_READ_BYTES_MAX,
  type ModelShareOptions,
  modelAskCodec,
  modelPieceCodec,
  modelReadCodec,
  modelSizeCodec,
} from '../../../../node/jobs/model-share.ts'
import { createMemoryNetwork, type MemoryNetwork } from '../../../../node/mesh/memory.ts'
import type { PeerTransport } from '../../../../node/runtime/ports.ts'
import { systemClock } from '../../../../node/runtime/system.ts'
import { failureOf } from '../../../support/error-code.ts'
import { MODEL_BYTES, MODEL_DIGEST, startModelServer } from '../../../support/model-server.ts'
import { keyNamed } from '../../../support/people.ts'
import { pullTo } from '../../../support/pull.ts'
import { seededRandom } from '../../../support/seeded-random.ts'
import { tempFolder } from '../../../support/temp-folder.ts'
import { within } from '../../../support/within.ts'

const LIMIT_MS = 10_000
const DIGEST = digestOf(new Uint8Array(Buffer.from(MODEL_DIGEST, 'hex')))
const idOf = (name: string): PeerId => keyNamed(name).peer
const fileOf = (folder: string): string => join(folder, `${MODEL_DIGEST}.gguf`)

/** What a peer of a test gives for a piece; undefined: it breaks off. */
type Giver = (offset: number, honest: Uint8Array) => Uint8Array | undefined

class Mesh {
  readonly network: MemoryNetwork = createMemoryNetwork({}, { clock: systemClock, random: seededRandom(1) })
  readonly lies: PeerId[] = []
  /** `name@offset` of every piece that was asked for, in order. */
  readonly reads: string[] = []
  readonly newcomer: PeerTransport = this.network.endpoint(idOf('newcomer'))

  /** A member with the real share. */
  async sharing(name: string, options: ModelShareOptions = {}): Promise<void> {
    const folder = tempFolder()
    const server = await startModelServer(() => ({ kind: 'none' }))
    await pullTo(folder, { model: `${server.origin}/m.gguf` })
    await server.close()
    createModelShare(options, {
      transport: this.network.endpoint(idOf(name)),
      clock: systemClock,
      isMember: (peer) => peer !== idOf('stranger'),
      files: () => sharedFiles(folder),
    })
  }

  /** A member that gives what the test says. */
  giving(name: string, give: Giver, bytes = MODEL_BYTES.length): void {
    const transport = this.network.endpoint(idOf(name))
    transport.onMessage('model/have', async () => modelSizeCodec.encode({ bytes: BigInt(bytes) }))
    transport.onMessage('model/read', async (_from, body) => {
      const asked = modelReadCodec.decode(body)
      if (asked.action !== 'accept') throw new Error('a bad request')
      const offset = Number(asked.value.offset)
      this.reads.push(`${name}@${offset}`)
      const piece = give(offset, MODEL_BYTES.subarray(offset, offset + asked.value.length))
      if (piece === undefined) await transport.close()
      return modelPieceCodec.encode({ bytes: piece ?? new Uint8Array() })
    })
  }

  peers(...names: readonly string[]): PeerFiles {
    const holders = () => names.map(idOf)
    const onLie = (peer: PeerId): void => void this.lies.push(peer)
    return createModelPeers({ readMs: 500 }, { transport: this.newcomer, clock: systemClock, holders, onLie })
  }
}

const honest: Giver = (_offset, piece) => piece
const lying: Giver = (offset, piece) => (offset === 0 ? piece : piece.map((byte) => byte ^ 1))
const breaksAt =
  (at: number): Giver =>
  (offset, piece) =>
    offset >= at ? undefined : piece

/** A hub that counts: with `isDown` it answers nothing but errors. */
async function hub(isDown = false) {
  const server = await startModelServer(() => (isDown ? { kind: 'status', status: 500 } : { kind: 'none' }))
  return { server, request: { model: `${server.origin}/m.gguf`, digest: MODEL_DIGEST } }
}

test(
  'a model comes from a member that holds it, and no hub is asked',
  within(LIMIT_MS, async () => {
    const mesh = new Mesh()
    await mesh.sharing('holder')
    const { server, request } = await hub()
    const folder = tempFolder()
    const { manifest } = await pullTo(folder, request, { peers: mesh.peers('absent', 'holder') })
    assert.is(manifest.digest, MODEL_DIGEST)
    assert.is(manifest.trust, 'pinned')
    assert.ok(existsSync(fileOf(folder)))
    assert.equal(server.seen, [])
    await server.close()
  }),
)

test(
  'where a peer breaks off the next one goes on, and where all do the hub',
  within(LIMIT_MS, async () => {
    const mesh = new Mesh()
    mesh.giving('first', breaksAt(MODEL_READ_BYTES_MAX))
    mesh.giving('second', breaksAt(2 * MODEL_READ_BYTES_MAX))
    const { server, request } = await hub()
    await pullTo(tempFolder(), request, { peers: mesh.peers('first', 'second') })
    assert.equal(mesh.reads, ['first@0', 'first@524288', 'second@524288', 'second@1048576'])
    assert.equal(
      server.seen.map(({ range }) => range),
      [`bytes=${2 * MODEL_READ_BYTES_MAX}-`],
    )
    await server.close()
  }),
)

test(
  'a pull that was cut short goes on from its part, with another peer',
  within(LIMIT_MS, async () => {
    const mesh = new Mesh()
    mesh.giving('first', breaksAt(MODEL_READ_BYTES_MAX))
    mesh.giving('second', honest)
    const { server, request } = await hub(true)
    const folder = tempFolder()
    const cut = await failureOf(pullTo(folder, request, { peers: mesh.peers('first') }))
    assert.is(cut.code, 'CF_MODEL_PULL_FAILED')
    mesh.reads.length = 0
    await pullTo(folder, request, { peers: mesh.peers('second') })
    assert.equal(mesh.reads, ['second@524288', 'second@1048576'])
    await server.close()
  }),
)

test(
  'a file to which somebody lied is read again from one peer after the other, and the liar is known',
  within(LIMIT_MS, async () => {
    const mesh = new Mesh()
    mesh.giving('liar', lying)
    mesh.giving('honest', honest)
    const { server, request } = await hub()
    const { manifest } = await pullTo(tempFolder(), request, { peers: mesh.peers('liar', 'honest') })
    assert.is(manifest.digest, MODEL_DIGEST)
    assert.equal(mesh.lies, [idOf('liar')])
    assert.equal(server.seen, [])
    await server.close()
  }),
)

test(
  'where all lie, or give what was not asked for, the hub gives everything',
  within(LIMIT_MS, async () => {
    const mesh = new Mesh()
    mesh.giving('liar', lying)
    mesh.giving('page', () => Buffer.from('<html>not found</html>'))
    mesh.giving('empty', () => new Uint8Array())
    mesh.giving('larger', honest, MODEL_BYTES.length + 1)
    const { server, request } = await hub()
    for (const names of [['liar', 'liar'], ['page'], ['empty'], ['larger'], ['nobody'], []]) {
      const folder = tempFolder()
      const { manifest } = await pullTo(folder, request, { peers: mesh.peers(...names) })
      assert.is(manifest.digest, MODEL_DIGEST)
    }
    // `larger` is asked for a byte that there is not, and `empty` brings nothing.
    assert.is(server.seen.length, 6)
    await server.close()
  }),
)

test(
  'without a known digest no peer is asked',
  within(LIMIT_MS, async () => {
    const mesh = new Mesh()
    mesh.giving('holder', honest)
    const { server } = await hub()
    await pullTo(tempFolder(), { model: `${server.origin}/m.gguf` }, { peers: mesh.peers('holder') })
    assert.equal(mesh.reads, [])
    await server.close()
  }),
)

test(
  'a share gives members what is installed or bundled, by digest, and nothing else',
  within(LIMIT_MS, async () => {
    const mesh = new Mesh()
    await mesh.sharing('holder')
    const stranger = mesh.network.endpoint(idOf('stranger'))
    const ask = async (from: PeerTransport, type: string, body: Uint8Array): Promise<unknown> => {
      const answer = from.request(idOf('holder'), type, body, { deadlineMs: 2_000 })
      const { code, detail } = await failureOf(answer)
      return code === 'resolved' ? 'given' : (detail['code'] ?? detail['reason'])
    }
    const read = (digest = DIGEST, offset = 0n, length = 10) => modelReadCodec.encode({ digest, offset, length })
    const bundled = digestOf(new Uint8Array(Buffer.from(CFAB_TINY.digest, 'hex')))
    assert.is(await ask(stranger, 'model/have', modelAskCodec.encode({ digest: DIGEST })), 'CF_MESH_REFUSED')
    assert.is(await ask(stranger, 'model/read', read()), 'CF_MESH_REFUSED')
    assert.is(await ask(mesh.newcomer, 'model/have', modelAskCodec.encode({ digest: bundled })), 'given')
    assert.is(await ask(mesh.newcomer, 'model/read', read()), 'given')
    assert.is(await ask(mesh.newcomer, 'model/read', read(digestOf(new Uint8Array(32)))), 'CF_MODEL_UNKNOWN')
    assert.is(
      await ask(mesh.newcomer, 'model/read', read(DIGEST, BigInt(MODEL_BYTES.length))),
      'CF_CONTROL_BAD_REQUEST',
    )
    assert.is(await ask(mesh.newcomer, 'model/read', read(DIGEST, 2n ** 63n)), 'CF_CONTROL_BAD_REQUEST')
    assert.is(await ask(mesh.newcomer, 'model/read', read(DIGEST, 0n, 0)), 'CF_CONTROL_BAD_REQUEST')
    assert.is(await ask(mesh.newcomer, 'model/read', new Uint8Array([1, 2, 3])), 'CF_MESH_REFUSED')
    const most = await mesh.newcomer.request(idOf('holder'), 'model/read', read(DIGEST, 5n, 4_000_000_000), {
      deadlineMs: 2_000,
    })
    const piece = modelPieceCodec.decode(most)
    assert.equal(
      piece.action === 'accept' && Buffer.from(piece.value.bytes),
      MODEL_BYTES.subarray(5, 5 + MODEL_READ_BYTES_MAX),
    )
  }),
)

test(
  'a share refuses more than its rate, and a pull that waits gets the rest',
  within(LIMIT_MS, async () => {
    const mesh = new Mesh()
    await mesh.sharing('holder', { readsPerPeerSecond: 3 })
    const body = modelAskCodec.encode({ digest: DIGEST })
    const asked = Array.from({ length: 12 }, () =>
      failureOf(mesh.newcomer.request(idOf('holder'), 'model/have', body, { deadlineMs: 2_000 })),
    )
    const reasons = (await Promise.all(asked)).map(({ detail }) => detail['code'])
    assert.ok(reasons.filter((reason) => reason === 'CF_CONTROL_RATE_LIMITED').length >= 8)
    await systemClock.sleep(700)
    const { server, request } = await hub()
    await pullTo(tempFolder(), request, { peers: mesh.peers('holder') })
    assert.equal(server.seen, [])
    await server.close()
  }),
)

test.run()
