/** What simulated models say: the same for every honest worker of a job, another thing for every liar. */
import { type Digest, digestBytes } from '../../core/ids.ts'
import type { FinishReason } from '../../models/backend.ts'
import { Prng } from './prng.ts'
import { STOP_ID, VOCABULARY_SIZE } from './swarm.ts'

export type Output = { readonly ids: readonly number[]; readonly finish: FinishReason }

/** @param lie  0 for the truth, else a number of the liar's own */
export function outputOf(jobId: Digest, maxTokens: number, lie: number): Output {
  const bytes = digestBytes(jobId)
  const prng = new Prng(new DataView(bytes.buffer, bytes.byteOffset).getUint32(0))
  const length = prng.between(1, maxTokens)
  const ids = Array.from({ length }, () => prng.between(STOP_ID + 1, VOCABULARY_SIZE - 1))
  if (lie > 0) ids[0] = lied(ids[0] ?? STOP_ID + 1, lie)
  return length === maxTokens ? { ids, finish: 'length' } : { ids: [...ids, STOP_ID], finish: 'stop' }
}

/** Another ordinary token for every lie: there are more tokens than peers. */
function lied(id: number, lie: number): number {
  const first = STOP_ID + 1
  return first + ((id - first + lie) % (VOCABULARY_SIZE - first))
}
