/** A pull ends in the right file or in a coded error with nothing in place, whatever the server does. */
import { appendFileSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { PullEvent } from '../../models/fetch/download.ts'
import { systemDisk } from '../../models/fetch/files.ts'
import { codeOf, failureOf } from '../support/error-code.ts'
import { type Fault, MODEL_BYTES, MODEL_DIGEST, type ModelServer, startModelServer } from '../support/model-server.ts'
import { inPlace, type PullTestOptions, partFile, pullTo, QUICK } from '../support/pull.ts'
import { seededRandom, testSeed } from '../support/seeded-random.ts'
import { tempFolder } from '../support/temp-folder.ts'
import { within } from '../support/within.ts'

const LIMIT_MS = 60_000
const random = seededRandom(testSeed())
/** Where a pull that gives up a slow answer too early would only try again. */
const HASTY = { ...QUICK, idleMs: 200 }
const HALF = MODEL_BYTES.length >> 1

type Scene = {
  readonly server: ModelServer
  readonly folder: string
  readonly pull: (options?: PullTestOptions & { readonly digest?: string | undefined }) => Promise<unknown>
}

/** Runs a pull of `m` from a server that answers with these faults in turn, the last one for ever. */
function scene(faults: readonly Fault[], work: (scene: Scene) => Promise<void>): () => Promise<void> {
  return within(LIMIT_MS, async () => {
    const server = await startModelServer((index) => faults[Math.min(index, faults.length - 1)] ?? { kind: 'none' })
    const folder = join(tempFolder(), 'models')
    const pull: Scene['pull'] = ({ digest, ...options } = {}) =>
      pullTo(
        folder,
        { model: `${server.origin}/m.gguf`, as: 'm', ...(digest === undefined ? {} : { digest }) },
        options,
      )
    try {
      await work({ server, folder, pull })
    } finally {
      await server.close()
    }
  })
}

function assertInstalled(folder: string): void {
  assert.equal(inPlace(folder).toSorted(), [`${MODEL_DIGEST}.gguf`, 'm.json'].toSorted())
  assert.ok(readFileSync(join(folder, `${MODEL_DIGEST}.gguf`)).equals(MODEL_BYTES), 'the file is the served one')
}

const served = ({ seen }: ModelServer): number => seen.reduce((sum, request) => sum + request.served, 0)

test(
  'a healthy server is asked once, and the manifest says what the header says',
  scene([{ kind: 'none' }], async ({ server, folder, pull }) => {
    await pull()
    assertInstalled(folder)
    assert.is(server.seen.length, 1)
    const manifest = JSON.parse(readFileSync(join(folder, 'm.json'), 'utf8'))
    assert.equal(
      [manifest.digest, manifest.bytes, manifest.trust, manifest.contextTokens, manifest.source],
      [MODEL_DIGEST, MODEL_BYTES.length, 'first-use', 1024, `${server.origin}/m.gguf`],
    )
    assert.equal(await pull(), { manifest, isNew: false }, 'a second pull has nothing to do')
    assert.is(server.seen.length, 1)
  }),
)

const cuts = Array.from({ length: 5 }, () => 1 + random.below(MODEL_BYTES.length - 1))
test(
  `a connection that breaks after ${cuts} bytes is gone on with, on condition that the file is still the same`,
  scene([...cuts.map((at): Fault => ({ kind: 'cut', at })), { kind: 'none' }], async ({ server, folder, pull }) => {
    await pull({ limits: { ...QUICK, fruitlessMax: 8 } })
    assertInstalled(folder)
    // What was on its way when the connection broke may be lost: a request without a range is one that has nothing yet.
    assert.ok(server.seen.every(({ range, ifRange }) => ifRange === (range === undefined ? undefined : '"old"')))
  }),
)

test(
  'a later request asks for exactly what is missing',
  scene([{ kind: 'stall', at: HALF }, { kind: 'none' }], async ({ server, folder, pull }) => {
    const reasons: string[] = []
    const onEvent = (event: PullEvent): void => void (event.type === 'retry' && reasons.push(event.reason))
    await pull({ onEvent })
    assertInstalled(folder)
    assert.is(server.seen[1]?.range, `bytes=${HALF}-`)
    assert.is(served(server), MODEL_BYTES.length)
    assert.equal(reasons, ['stalled'])
  }),
)

const STALL: Fault = { kind: 'stall', at: HALF }
/** Reasons of further attempts, but for the silences that the faults begin with. */
const HEALS: readonly (readonly [name: string, faults: readonly Fault[], reasons: readonly string[]])[] = [
  ['closes at once', [{ kind: 'close_at_once' }], ['connection_lost']],
  ['sends more than the file has', [STALL, { kind: 'too_much' }], ['too_long']],
  ['ends the rest too early', [STALL, { kind: 'ends_early', at: 1_000 }], ['cut']],
  ['answers a range with the whole file', [STALL, { kind: 'ignore_range' }], []],
  ['has another entity tag by then', [STALL, { kind: 'new_tag' }], []],
  ['goes on with another file in spite of If-Range', [STALL, { kind: 'new_tag_as_206' }], ['changed']],
  ['answers with another range', [STALL, { kind: 'wrong_range' }], ['range_contradicts']],
  ['refuses the range', [STALL, { kind: 'status', status: 416 }], ['range_contradicts']],
  ['refuses the range and names the length', [STALL, { kind: 'whole_as_416' }], ['range_contradicts']],
  ['says that half of the file is all of it', [STALL, { kind: 'short_416' }], ['range_contradicts']],
  ['packs the file', [{ kind: 'encoded' }], ['encoded']],
  ['asks to wait', [{ kind: 'status', status: 429 }], ['busy']],
  ['is overloaded', [503, 500].map((status): Fault => ({ kind: 'status', status })), ['busy', 'server_error']],
]
for (const [name, faults, reasons] of HEALS) {
  test(
    `a server that once ${name} is asked again`,
    scene([...faults, { kind: 'none' }], async ({ folder, pull }) => {
      const seen: string[] = []
      const onEvent = (event: PullEvent): void => {
        if (event.type === 'retry' && event.reason !== 'stalled') seen.push(event.reason)
      }
      await pull({ limits: HASTY, onEvent })
      assertInstalled(folder)
      assert.equal(seen, reasons)
    }),
  )
}

test(
  'a length that is too long is a part that never ends',
  scene([{ kind: 'wrong_length', by: 1_000 }, { kind: 'none' }], async ({ folder, pull }) => {
    await pull({ limits: HASTY })
    assertInstalled(folder)
  }),
)

test(
  'Retry-After is obeyed',
  scene([{ kind: 'status', status: 429, headers: { 'retry-after': '1' } }, { kind: 'none' }], async ({ pull }) => {
    const waits: number[] = []
    await pull({ onEvent: (event) => void (event.type === 'retry' && waits.push(event.waitMs)) })
    assert.equal(waits, [1_000])
  }),
)

const REFUSED: readonly (readonly [name: string, fault: Fault, code: string])[] = [
  ['cuts before the first byte', { kind: 'cut', at: 0 }, 'CF_MODEL_PULL_FAILED'],
  ['stalls', { kind: 'stall', at: 0 }, 'CF_MODEL_PULL_FAILED'],
  ['claims a length that is too long', { kind: 'wrong_length', by: 1_000 }, 'CF_MODEL_PULL_FAILED'],
  ['packs the file', { kind: 'encoded' }, 'CF_MODEL_PULL_FAILED'],
  ['has an error', { kind: 'status', status: 500 }, 'CF_MODEL_PULL_FAILED'],
  [
    'asks for a day of patience',
    { kind: 'status', status: 429, headers: { 'retry-after': '86400' } },
    'CF_MODEL_PULL_FAILED',
  ],
  ['answers with what nobody asked for', { kind: 'status', status: 418 }, 'CF_MODEL_PULL_FAILED'],
  ['answers 206 to no range', { kind: 'status', status: 206 }, 'CF_MODEL_PULL_FAILED'],
  ['demands a login', { kind: 'status', status: 401 }, 'CF_MODEL_SOURCE_DENIED'],
  ['forbids', { kind: 'status', status: 403 }, 'CF_MODEL_SOURCE_DENIED'],
  ['has no such file', { kind: 'status', status: 404 }, 'CF_MODEL_SOURCE_MISSING'],
  ['answers with a page', { kind: 'corrupt', at: 0 }, 'CF_MODEL_FORMAT_INVALID'],
  ['redirects to itself', { kind: 'redirect', to: '/m.gguf' }, 'CF_MODEL_SOURCE_INVALID'],
  ['redirects to another scheme', { kind: 'redirect', to: 'file:///etc/passwd' }, 'CF_MODEL_SOURCE_INVALID'],
  ['redirects to an open line', { kind: 'redirect', to: 'http://example.com/m.gguf' }, 'CF_MODEL_SOURCE_INVALID'],
]
for (const [name, fault, code] of REFUSED) {
  test(
    `a server that always ${name} is refused with ${code}`,
    scene([fault], async ({ server, folder, pull }) => {
      assert.is(await codeOf(pull({ limits: HASTY })), code)
      assert.equal(inPlace(folder), [])
      assert.ok(server.seen.length <= 8, `${server.seen.length} requests`)
    }),
  )
}

test(
  'a corrupted byte is refused where a digest is known, and the part is removed',
  scene([{ kind: 'corrupt', at: 700_000 }, { kind: 'none' }], async ({ folder, pull }) => {
    assert.is(await codeOf(pull({ digest: MODEL_DIGEST })), 'CF_MODEL_DIGEST_MISMATCH')
    assert.equal(inPlace(folder), [])
    assert.throws(() => statSync(partFile(folder, 'm')), /ENOENT/)
    await pull({ digest: MODEL_DIGEST })
    assertInstalled(folder)
  }),
)

test(
  'a length that is too short is refused where a digest is known, and where the file itself shows it',
  scene([{ kind: 'wrong_length', by: -600_000 }], async ({ folder, pull }) => {
    assert.is(await codeOf(pull({ digest: MODEL_DIGEST })), 'CF_MODEL_DIGEST_MISMATCH')
    assert.is(await codeOf(pull()), 'CF_MODEL_FORMAT_INVALID')
    assert.equal(inPlace(folder), [])
  }),
)

test(
  'a byte too many is refused',
  scene([{ kind: 'too_much' }], async ({ folder, pull }) => {
    assert.is(await codeOf(pull({ digest: MODEL_DIGEST })), 'CF_MODEL_DIGEST_MISMATCH')
    assert.equal(inPlace(folder), [])
  }),
)

test(
  'without a strong entity tag or a digest a broken pull begins again instead of mixing two files',
  scene([{ kind: 'weak_stall', at: HALF }, { kind: 'none' }], async ({ server, folder, pull }) => {
    await pull()
    assertInstalled(folder)
    assert.is(server.seen[1]?.range, undefined)
  }),
)

test(
  'with a digest a broken pull goes on without an entity tag',
  scene([{ kind: 'weak_stall', at: HALF }, { kind: 'none' }], async ({ server, folder, pull }) => {
    await pull({ digest: MODEL_DIGEST })
    assertInstalled(folder)
    assert.equal([server.seen[1]?.range, server.seen[1]?.ifRange], [`bytes=${HALF}-`, undefined])
  }),
)

test(
  'a file that comes without a length is taken when its last chunk has come',
  scene([{ kind: 'no_length' }], async ({ folder, pull }) => {
    await pull()
    assertInstalled(folder)
  }),
)

test(
  'a server that sends a few bytes now and then does not keep a pull alive',
  scene([{ kind: 'trickle' }], async ({ folder, pull }) => {
    const limits = { ...QUICK, idleMs: 100, fruitlessMax: 2, progressBytesMin: 65_536 }
    const failure = await failureOf(pull({ limits }))
    assert.equal([failure.code, failure.detail['reason']], ['CF_MODEL_PULL_FAILED', 'stalled'])
    assert.equal(inPlace(folder), [])
  }),
)

test(
  'nobody at the address is one coded error, not a retry',
  within(LIMIT_MS, async () => {
    const server = await startModelServer(() => ({ kind: 'none' }))
    await server.close()
    const folder = join(tempFolder(), 'models')
    const failure = await failureOf(pullTo(folder, { model: `${server.origin}/m.gguf` }))
    assert.equal([failure.code, failure.detail['reason']], ['CF_MODEL_SOURCE_UNREACHABLE', 'ECONNREFUSED'])
  }),
)

test(
  'a stopped pull keeps what has come, and the next one goes on from there',
  scene([{ kind: 'stall', at: HALF }, { kind: 'none' }], async ({ server, folder, pull }) => {
    const stop = new AbortController()
    const onEvent = (event: PullEvent): void => {
      if (event.type === 'bytes' && event.done === HALF) stop.abort(new Error('enough'))
    }
    try {
      await pull({ onEvent, signal: stop.signal })
      assert.unreachable('it was stopped')
    } catch (error) {
      assert.is(error, stop.signal.reason)
    }
    assert.equal([inPlace(folder), statSync(partFile(folder, 'm')).size], [[], HALF])
    // What a power failure leaves of bytes that were never flushed; no digest would tell.
    appendFileSync(partFile(folder, 'm'), Buffer.alloc(1_000))
    await pull()
    assertInstalled(folder)
    assert.equal([server.seen[1]?.range, served(server)], [`bytes=${HALF}-`, MODEL_BYTES.length])
  }),
)

test(
  'a part of another source is not gone on with',
  scene(
    [{ kind: 'cut', at: HALF }, { kind: 'status', status: 404 }, { kind: 'none' }],
    async ({ server, folder, pull }) => {
      assert.is(await codeOf(pull({ digest: MODEL_DIGEST })), 'CF_MODEL_SOURCE_MISSING')
      await pullTo(folder, { model: `${server.origin}/other.gguf`, as: 'm', digest: MODEL_DIGEST })
      assertInstalled(folder)
      assert.is(server.seen[2]?.range, undefined)
    },
  ),
)

test(
  'a disk without room is refused before a byte is written, a full one keeps what it has',
  scene([{ kind: 'none' }], async ({ server, folder, pull }) => {
    const small = { ...systemDisk, freeBytes: () => Promise.resolve(1_000_000) }
    assert.is(await codeOf(pull({ disk: small })), 'CF_MODEL_DISK_FULL')
    const full: typeof systemDisk = {
      ...systemDisk,
      async write(file, bytes, position) {
        if (position + bytes.length > HALF) throw Object.assign(new Error('full'), { code: 'ENOSPC' })
        await systemDisk.write(file, bytes, position)
      },
    }
    assert.is(await codeOf(pull({ disk: full })), 'CF_MODEL_DISK_FULL')
    assert.equal(inPlace(folder), [])
    const kept = statSync(partFile(folder, 'm')).size
    assert.ok(kept > 0 && kept <= HALF)
    await pull()
    assert.is(server.seen.at(-1)?.range, `bytes=${kept}-`)
    assertInstalled(folder)
  }),
)

test(
  'a file that does not say its length finds room before it is written, and does not take the last of the disk',
  scene([{ kind: 'no_length' }], async ({ folder, pull }) => {
    const digest = MODEL_DIGEST
    const small = { ...systemDisk, freeBytes: () => Promise.resolve(1_000_000) }
    assert.is(await codeOf(pull({ digest, disk: small })), 'CF_MODEL_DISK_FULL')
    assert.equal(inPlace(folder), [])
    const asked: string[] = []
    const roomy = { ...systemDisk, freeBytes: (path: string) => Promise.resolve(asked.push(path) * 2 ** 30) }
    await pull({ digest, disk: roomy })
    assert.is(asked.length, 1, 'a file of few bytes asks once')
    assertInstalled(folder)
  }),
)

test(
  'of two pulls of one model at once the second is told whose turn it is',
  scene([{ kind: 'stall', at: HALF }, { kind: 'none' }], async ({ folder, pull }) => {
    const codes = await Promise.all([codeOf(pull()), codeOf(pull())])
    assert.equal(codes.toSorted(), ['CF_MODEL_PULL_BUSY', 'resolved'])
    assertInstalled(folder)
  }),
)

test(
  'the same file under a second name is not loaded again, and a taken name is refused',
  scene([{ kind: 'none' }], async ({ server, folder, pull }) => {
    await pull()
    const model = `${server.origin}/elsewhere.gguf`
    await pullTo(folder, { model, as: 'n', digest: MODEL_DIGEST })
    assert.is(server.seen.length, 1)
    assert.is(await codeOf(pullTo(folder, { model, as: 'm' })), 'CF_MODEL_ID_TAKEN')
    assert.is(await codeOf(pullTo(folder, { model, as: 'cfab-tiny' })), 'CF_MODEL_BUNDLED')
    assert.is(await codeOf(pullTo(folder, { model, as: 'qwen3-0.6b' })), 'CF_MODEL_ID_TAKEN')
    assert.is(await codeOf(pullTo(folder, { model, as: '../m' })), 'CF_MODEL_ID_TAKEN')
  }),
)

/** One of everything that a server may do, at random places. */
function randomFault(): Fault {
  const at = random.below(MODEL_BYTES.length)
  const faults: readonly Fault[] = [
    ...[{ kind: 'cut', at } as const, { kind: 'cut', at } as const, { kind: 'cut', at } as const],
    ...[{ kind: 'stall', at } as const, { kind: 'corrupt', at } as const, { kind: 'weak_stall', at } as const],
    { kind: 'wrong_length', by: random.below(2_000) - 1_000 },
    { kind: 'status', status: [401, 404, 416, 429, 500, 503][random.below(6)] ?? 500 },
    ...(['none', 'close_at_once', 'ignore_range', 'new_tag', 'too_much', 'wrong_range'] as const).map((kind) => ({
      kind,
    })),
    ...(['encoded', 'no_length', 'new_tag_as_206', 'whole_as_416', 'short_416'] as const).map((kind) => ({ kind })),
  ]
  return faults[random.below(faults.length)] ?? { kind: 'none' }
}

for (let schedule = 0; schedule < 20; schedule += 1) {
  const faults = Array.from({ length: 1 + random.below(8) }, randomFault)
  test(
    `schedule ${schedule} ends in the right file or in a coded error with nothing in place`,
    scene([...faults, { kind: 'none' }], async ({ folder, pull }) => {
      const outcomes: string[] = []
      for (let run = 0; run < 12 && outcomes.at(-1) !== 'resolved'; run += 1) {
        outcomes.push(await codeOf(pull({ digest: MODEL_DIGEST, limits: HASTY })))
        if (outcomes.at(-1) !== 'resolved') assert.equal(inPlace(folder), [])
      }
      const story = `${JSON.stringify(faults)}: ${outcomes}`
      assert.is(outcomes.at(-1), 'resolved', story)
      assert.ok(
        outcomes.slice(0, -1).every((code) => code.startsWith('CF_MODEL_')),
        story,
      )
      assertInstalled(folder)
    }),
  )
}

test.run()
