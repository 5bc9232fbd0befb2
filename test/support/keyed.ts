/** Keys with limits, and what they ask of a control plane over the fake app. */
import { textAt } from '../../node/commands/json.ts'
import type { KeyWish } from '../../node/runtime/access.ts'
import { NO_LIMITS } from './access.ts'
import { ADMIN_KEY, ask, askJson, type Reply, type TestControl } from './control.ts'

export type Headers = Readonly<Record<string, string>>
export type Keyed = { readonly id: string; readonly headers: Headers }

export const errorCode = (reply: Reply): string => textAt(JSON.parse(reply.body), 'error', 'code')

export async function keyOf({ keys }: Pick<TestControl, 'keys'>, limits: Partial<KeyWish>): Promise<Keyed> {
  const { key, text } = await keys.add({ ...NO_LIMITS, name: 'test', role: 'user', ...limits })
  return { id: key.id, headers: { authorization: `Bearer ${text}` } }
}

export function chat(url: string, headers: Headers, body: object = {}): Promise<Reply> {
  const messages = [{ role: 'user', content: 'hi' }]
  return askJson(`${url}/v1/chat/completions`, { model: 'cfab-tiny', messages, ...body }, headers)
}

export function intent(url: string, headers: Headers, body: object = {}): Promise<Reply> {
  return askJson(`${url}/api/v1/p2p/intents`, { model: 'cfab-tiny', prompt: 'hi', ...body }, headers)
}

export async function used(url: string, id: string): Promise<{ spent: string; held: string; open: string }> {
  const { body } = await ask(`${url}/api/v1/keys`, { headers: { authorization: `Bearer ${ADMIN_KEY}` } })
  const items: readonly unknown[] = JSON.parse(body).items
  const key = items.find((item) => textAt(item, 'id') === id)
  return { spent: textAt(key, 'spent'), held: textAt(key, 'held'), open: textAt(key, 'open_jobs') }
}
