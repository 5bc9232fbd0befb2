/** Where a referee that was outvoted begins to differ from those that decided: asked of both, node by node, and checked. */
import { FabricError } from '../../core/errors.ts'
import type { JobId, PeerId } from '../../core/ids.ts'
import { bisectAnswerCodec, bisectAskCodec } from '../../core/job/judge-dispute.ts'
import type { LoggedDispute } from '../../core/log/state.ts'
import { type BisectAnswer, type BisectQuestion, type BisectResult, bisect } from '../../core/verification/bisect.ts'
import type { RefereeVote } from '../../core/verification/dispute.ts'
import type { PeerTransport } from '../runtime/ports.ts'

/** Two honest machines may be a quarter of a nat apart at one position. */
const TOLERANCE_STEPS = 64

export type Dissent = {
  readonly dispute: LoggedDispute['hash']
  readonly referee: PeerId
  readonly result: BisectResult
}
export type Votes = ReadonlyMap<PeerId, RefereeVote>

/** One of the deciding side and one that voted the other way, both about as many positions; undefined when nobody was outvoted. */
export function dissentersIn(votes: Votes): readonly [winner: PeerId, loser: PeerId] | undefined {
  const said = [...votes].filter(
    ([, { verdict, positions }]) => (verdict === 'pass' || verdict === 'fail') && positions > 0,
  )
  const fails = said.filter(([, { verdict }]) => verdict === 'fail')
  const passes = said.filter(([, { verdict }]) => verdict === 'pass')
  const [winner] = fails.length > passes.length ? fails : passes
  const loser = (fails.length > passes.length ? passes : fails).find(
    ([, vote]) => vote.positions === winner?.[1].positions && vote.marginRoot !== winner[1].marginRoot,
  )
  return winner === undefined || loser === undefined ? undefined : [winner[0], loser[0]]
}

/**
 * @returns undefined when one of the two does not answer any more: it tells of the past and decides nothing
 */
export async function locate(
  transport: PeerTransport,
  job: JobId,
  dispute: LoggedDispute,
  votes: Votes,
  options: { readonly deadlineMs: number; readonly signal: AbortSignal },
): Promise<Dissent | undefined> {
  const pair = dissentersIn(votes)
  const [winner, loser] = pair ?? []
  const [own, other] = [votes.get(winner ?? transport.self), votes.get(loser ?? transport.self)]
  if (winner === undefined || loser === undefined || own === undefined || other === undefined) return undefined
  const ask = async (peer: PeerId, question: BisectQuestion): Promise<BisectAnswer | undefined> => {
    const body = bisectAskCodec.encode({ jobId: job, dispute: dispute.hash, ...question })
    const answer = await transport.request(peer, 'dispute/bisect', body, options).catch((error: unknown) => {
      if (error instanceof FabricError || options.signal.aborted) return undefined
      throw error
    })
    const decoded = bisectAnswerCodec.decode(answer ?? new Uint8Array())
    return decoded.action === 'accept' ? decoded.value : undefined
  }
  const steps = bisect(own.marginRoot, other.marginRoot, own.positions, TOLERANCE_STEPS)
  for (let next = steps.next(); ; ) {
    if (next.done === true) return { dispute: dispute.hash, referee: loser, result: next.value }
    const [first, second] = await Promise.all([ask(winner, next.value), ask(loser, next.value)])
    if (first === undefined || second === undefined) return undefined
    next = steps.next([first, second])
  }
}
