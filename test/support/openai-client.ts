/** The official `openai` client, unchanged, at a control plane; every answer is held against the published schemas on its way in. */
import OpenAI, { APIError, type ClientOptions } from 'openai'
import { checkedFetch } from './openai-shapes.ts'

export function clientOf({ url }: { readonly url: string }, options: ClientOptions = {}): OpenAI {
  return new OpenAI({ baseURL: `${url}/v1`, apiKey: 'unused', maxRetries: 0, fetch: checkedFetch, ...options })
}

export const user = (content: string) => [{ role: 'user' as const, content }]
export const cfabOf = (value: object): unknown => Object.getOwnPropertyDescriptor(value, 'cfab')?.value

/** What a call failed with, as the client's own class. */
export async function apiErrorOf(work: Promise<unknown>): Promise<APIError> {
  const error = await work.then(
    () => undefined,
    (reason: unknown) => reason,
  )
  if (!(error instanceof APIError)) throw new Error(`no APIError but ${String(error)}`)
  return error
}
