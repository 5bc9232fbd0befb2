/** What one compute host has found out, later ones of the same daemon take as found: no second reading of a file, no second probe. */
import { copyFileSync, readFileSync, statSync, utimesSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { fileDigest } from '../../models/model-file.ts'
import { HOST_DEFAULTS, HostBackend } from '../../node/hosts/host-backend.ts'
import type { HostEvent } from '../../node/hosts/supervisor.ts'
import { systemClock } from '../../node/runtime/system.ts'
import { codeOf } from '../support/error-code.ts'
import { closeHosts, createHost, TINY_LOAD } from '../support/host.ts'
import { tempFolder } from '../support/temp-folder.ts'
import { within } from '../support/within.ts'

const OTHER = fileURLToPath(new URL('../../models/data/cfab-tiny-q4_0.gguf', import.meta.url))

const opened: HostBackend[] = []

function hostWith(findings: Map<string, string>): { readonly backend: HostBackend; readonly loadMs: number[] } {
  const loadMs: number[] = []
  const onEvent = (event: HostEvent): void => {
    if (event.type === 'host_ready') loadMs.push(event.loadMs)
  }
  const backend = new HostBackend(HOST_DEFAULTS, { clock: systemClock, findings, onEvent })
  opened.push(backend)
  return { backend, loadMs }
}

/** Changes a weight, and nothing that the file's stamp is made of. */
function changeWeight(path: string): void {
  const { atime, mtime } = statSync(path)
  const bytes = readFileSync(path)
  const place = bytes.length - 1_000
  bytes[place] = (bytes[place] ?? 0) ^ 1
  writeFileSync(path, bytes)
  utimesSync(path, atime, mtime)
}

test(
  'a file that still has its stamp is not read again, neither after a crash nor by the next host of the model',
  within(60_000, async () => {
    const path = join(tempFolder(), 'model.gguf')
    copyFileSync(TINY_LOAD.path, path)
    // To a whole second: a file system may keep no more of what is set by hand.
    utimesSync(path, 1_700_000_000, 1_700_000_000)
    const findings = new Map<string, string>()
    const first = hostWith(findings)
    await first.backend.load({ ...TINY_LOAD, path })
    changeWeight(path)
    const { pid = 0 } = first.backend
    process.kill(pid, 'SIGSEGV')
    while (first.backend.pid === pid) await systemClock.sleep(5)
    await first.backend.tokenize('The host is back.', false)
    await first.backend.close()
    const second = hostWith(findings)
    await second.backend.load({ ...TINY_LOAD, path })
    await second.backend.close()
    assert.is(await codeOf(createHost().backend.load({ ...TINY_LOAD, path })), 'CF_MODEL_DIGEST_MISMATCH', 'a stranger')
  }),
)

test(
  'what is known of one file does not make another pass, and its libraries are known to be good',
  within(60_000, async () => {
    const findings = new Map<string, string>()
    const [first, other] = [hostWith(findings), hostWith(findings)]
    await first.backend.load(TINY_LOAD)
    assert.is(await codeOf(other.backend.load({ ...TINY_LOAD, path: OTHER })), 'CF_MODEL_DIGEST_MISMATCH')
    await other.backend.load({ ...TINY_LOAD, path: OTHER, digest: await fileDigest(OTHER) })
    console.log(`the first host was ready after ${first.loadMs} ms, that of another model after ${other.loadMs} ms`)
    await Promise.all([first.backend.close(), other.backend.close()])
  }),
)

test.after(async () => {
  await closeHosts()
  await Promise.all(opened.map((backend) => backend.close()))
})
test.run()
