import * as assert from 'uvu/assert'
import { concatBytes, fromHex, toHex } from '../../core/codec/bytes.ts'
import { hpkeExport, hpkeOpen, hpkeSeal } from '../../core/identity/hpke.ts'
import { keyPairFromSeed } from '../../core/identity/keys.ts'
import { openBox, sealBox } from '../../core/identity/sealed-box.ts'
import { type JobId, type PeerId, parseDigest, parsePeerId, type SwarmId } from '../../core/ids.ts'
import { acceptedOf, bytesOf, type Texts, textOf, type VectorCase } from './vector.ts'

export const file = 'sealed-box.json'

export function check(vector: VectorCase): void {
  if (vector.input['what'] === 'hpke') checkHpke(vector)
  else checkBox(vector)
}

function checkHpke({ input, expect }: VectorCase): void {
  const recipient = bytesOf(input, 'recipientKey')
  const [info, aad, plaintext] = [bytesOf(input, 'info'), bytesOf(input, 'aad'), bytesOf(input, 'plaintext')]
  const sealed = hpkeSeal(recipient, info, aad, plaintext, bytesOf(input, 'ikm'))
  assert.is(toHex(sealed?.bytes ?? new Uint8Array()), textOf(expect, 'enc') + textOf(expect, 'ciphertext'))
  assert.is(toHex(sealed?.exporterSecret ?? new Uint8Array()), expect['exporterSecret'])
  const keys = { secret: bytesOf(input, 'recipientSecret'), publicKey: recipient }
  const opened = hpkeOpen(keys, info, aad, concatBytes(bytesOf(expect, 'enc'), bytesOf(expect, 'ciphertext')))
  assert.is(toHex(opened?.plaintext ?? new Uint8Array()), input['plaintext'])
  for (const [context, exported] of Object.entries(expect['exports'] as Texts)) {
    const bytes = hpkeExport(bytesOf(expect, 'exporterSecret'), fromHex(context) ?? new Uint8Array(), 32)
    assert.is(toHex(bytes), exported)
  }
}

function checkBox(vector: VectorCase): void {
  const { input, expect } = vector
  const [swarmId, jobId] = [parseDigest(input['swarmId']), parseDigest(input['jobId'])]
  const from = parsePeerId(input['from'])
  assert.ok(swarmId !== undefined && jobId !== undefined && from !== undefined)
  const about = {
    swarmId: swarmId as SwarmId,
    jobId: jobId as JobId,
    kind: textOf(input, 'kind'),
    from: from as PeerId,
  }
  const key = keyPairFromSeed(bytesOf(input, 'seed'))
  const box = bytesOf(input, 'box')
  const opened = acceptedOf(openBox(key, about, box), vector)
  if (opened === undefined) return
  assert.is(key.peer, expect['to'])
  assert.is(toHex(opened.plaintext), expect['plaintext'])
  assert.is(toHex(opened.answerSecret), expect['answerSecret'])
  const again = sealBox({ ...about, to: key.peer }, opened.plaintext, bytesOf(expect, 'ephemeral'))
  assert.equal(again, { box, answerSecret: opened.answerSecret })
}
