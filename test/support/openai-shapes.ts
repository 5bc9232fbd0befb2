/** Holds every answer of the OpenAI routes against the schemas of the published API reference, as the official client receives it. */
import { readFileSync } from 'node:fs'
import { Compile } from 'typebox/compile'

const NAMES = [
  'chat.completion',
  'chat.completion.chunk',
  'text_completion',
  'text_completion.chunk',
  'embedding.list',
  'model.list',
  'model',
  'error',
] as const
export type Shape = (typeof NAMES)[number]

const VALIDATORS = new Map(
  NAMES.map((name) => {
    const file = new URL(`../fixtures/openai/${name}.json`, import.meta.url)
    const schema: Readonly<Record<string, unknown>> = Object(JSON.parse(readFileSync(file, 'utf8')))
    return [name, Compile(schema)] as const
  }),
)

/** @returns  what the value breaks, or undefined */
export function shapeFault(shape: Shape, value: unknown): string | undefined {
  const validator = VALIDATORS.get(shape)
  if (validator === undefined) return `no schema named ${shape}`
  if (validator.Check(value)) return undefined
  const [first] = validator.Errors(value)
  return `${shape}: ${first?.instancePath ?? ''} ${first?.message ?? 'does not match'}`
}

function shapeOf(value: unknown, isChunk: boolean): Shape {
  const { object, error, data } = Object(value)
  if (error !== undefined) return 'error'
  if (object === 'list') return Object(data?.[0]).object === 'embedding' ? 'embedding.list' : 'model.list'
  if (object === 'text_completion') return isChunk ? 'text_completion.chunk' : 'text_completion'
  if (object === 'model') return 'model'
  return isChunk ? 'chat.completion.chunk' : 'chat.completion'
}

function check(json: string, isChunk: boolean): void {
  const value: unknown = JSON.parse(json)
  const fault = shapeFault(shapeOf(value, isChunk), value)
  if (fault !== undefined) throw new TypeError(`not what the API reference says: ${fault}: ${json.slice(0, 400)}`)
}

/** `fetch` for the official client: an answer of another shape fails the call that asked for it. */
export const checkedFetch: typeof fetch = async (input, init) => {
  const response = await fetch(input, init)
  const { status, headers, body } = response
  const type = headers.get('content-type') ?? ''
  if (type.startsWith('text/event-stream') && body !== null)
    return new Response(body.pipeThrough(frameChecker()), { status, headers })
  const text = await response.text()
  check(text, false)
  return new Response(text, { status, headers })
}

function frameChecker(): TransformStream<Uint8Array, Uint8Array> {
  const decoder = new TextDecoder()
  let text = ''
  return new TransformStream({
    transform(part, controller) {
      text += decoder.decode(part, { stream: true })
      const frames = text.split('\n\n')
      text = frames.pop() ?? ''
      for (const frame of frames) if (frame !== 'data: [DONE]') check(frame.slice('data: '.length), true)
      controller.enqueue(part)
    },
  })
}
