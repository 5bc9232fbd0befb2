/** Encodes the frames of an execution stream. */
import { type SteerFrame, steerFrameCodec, type WorkFrame, workFrameCodec } from '../../core/job/proposal.ts'

const NOTHING = new Uint8Array()

export function frame(partial: Partial<WorkFrame> & Pick<WorkFrame, 'kind'>): Uint8Array {
  return workFrameCodec.encode({ ids: NOTHING, text: '', envelope: NOTHING, details: [], ...partial })
}

export function steer(partial: Partial<SteerFrame> & Pick<SteerFrame, 'kind'>): Uint8Array {
  return steerFrameCodec.encode({ envelope: NOTHING, ...partial })
}
