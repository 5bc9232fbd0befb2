import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { utf8 } from '../../../../core/codec/bytes.ts'
import { workFrameCodec } from '../../../../core/job/proposal.ts'
import { LIMITS } from '../../../../core/limits.ts'
import type { TokenDetail } from '../../../../models/backend.ts'
import { parseDetail, wireDetail } from '../../../../node/jobs/details.ts'
import { frame } from '../../../../node/jobs/frames.ts'
import { expectAccepted } from '../../../support/job-run.ts'

const detail = (parts: Partial<TokenDetail> = {}): TokenDetail => ({
  ...{ id: 7, text: ' fox', logprob: -0.125 },
  top: [
    { id: 7, text: ' fox', logprob: -0.125 },
    { id: 9, text: '', logprob: -Math.LN2 },
  ],
  ...parts,
})

function travelled(sent: TokenDetail): TokenDetail | undefined {
  const work = expectAccepted(workFrameCodec.decode(frame({ kind: 'tokens', details: [wireDetail(sent)] })))
  const [wire] = work.details
  return wire === undefined ? undefined : parseDetail(wire)
}

test('likelihoods travel to the last bit', () => {
  assert.equal(travelled(detail()), detail())
})

test('what is less likely than can be told, or rounded above certainty, is told as the nearest that can', () => {
  assert.is(travelled(detail({ logprob: Number.NEGATIVE_INFINITY }))?.logprob, -9_999)
  assert.is(travelled(detail({ logprob: 1e-12 }))?.logprob, 0)
})

test('a token longer than any is shown by its beginning, in whole characters', () => {
  const text = travelled(detail({ text: `a${'é'.repeat(200)}` }))?.text ?? ''
  assert.is(text, `a${'é'.repeat(127)}`)
  assert.ok(utf8(text).length <= LIMITS.tokenTextBytesMax)
})

test('a peer’s likelihood that is none is not taken, wherever it stands', () => {
  const bytes = (value: number): Uint8Array => {
    const view = new DataView(new ArrayBuffer(8))
    view.setFloat64(0, value)
    return new Uint8Array(view.buffer)
  }
  const wire = wireDetail(detail())
  for (const value of [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, 0.5, -10_000]) {
    const logprob = bytes(value)
    assert.is(parseDetail({ ...wire, logprob }), undefined)
    assert.is(parseDetail({ ...wire, top: wire.top.map((chance) => ({ ...chance, logprob })) }), undefined)
  }
})

test('the fullest frame of details fits its bound', () => {
  const chance = { id: 0xffff_ffff, text: 'x'.repeat(LIMITS.tokenTextBytesMax), logprob: -9_999 }
  const full = { ...chance, top: Array.from({ length: LIMITS.topLogprobsCountMax }, () => chance) }
  const details = Array.from({ length: LIMITS.detailCountMax }, () => wireDetail(full))
  const bytes = frame({ kind: 'tokens', details, text: '€'.repeat(20_000), ids: new Uint8Array(4 * 32) })
  assert.is(expectAccepted(workFrameCodec.decode(bytes)).details.length, LIMITS.detailCountMax)
})

test.run()
