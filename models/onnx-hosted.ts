/** The compute host's side of an ONNX encoder. */
import type { LoadRequest } from './backend.ts'
import { hostEmbedder } from './embed-hosted.ts'
import type { Hosted, Send } from './hosted.ts'
import { openOnnx } from './onnx.ts'

/** @throws FabricError as openOnnx */
export async function hostOnnx(request: LoadRequest, verified: string, send: Send): Promise<Hosted> {
  return hostEmbedder(await openOnnx(request, verified), send)
}
