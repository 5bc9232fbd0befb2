/** Requests that once got past the door, or came back without a word. */
import { connect } from 'node:net'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { ADMIN_KEY, ask, withControl } from '../support/control.ts'
import { within } from '../support/within.ts'

const ADMIN = { authorization: `Bearer ${ADMIN_KEY}`, 'content-type': 'application/json' }

/** JSON can name half of a character, which has no UTF-8 form: nobody could sign it. */
const HALF = '\\ud800'

test(
  'half of a character in a reason or a prompt is refused at the door',
  within(10_000, () =>
    withControl(async ({ app, url }) => {
      const user = app.status().user
      const bodies: readonly (readonly [path: string, body: string])[] = [
        ['/api/v1/credits/spend', `{"owner_id":"${user}","amount":"1","reason":"${HALF}"}`],
        ['/api/v1/credits/mint', `{"account_type":"user","account_id":"${user}","amount":"1","reason":"a${HALF}b"}`],
        ['/api/v1/p2p/intents', `{"model":"cfab-tiny","prompt":"${HALF}"}`],
      ]
      for (const [path, body] of bodies) {
        const answer = await ask(url + path, { method: 'POST', headers: ADMIN, body })
        assert.is(answer.status, 400, `${path} ${answer.body}`)
        assert.match(answer.body, /CF_CONTROL_BAD_REQUEST/)
      }
    }),
  ),
)

test(
  'a request without a Host header gets a code, not an empty answer',
  within(10_000, () =>
    withControl(async ({ control }) => {
      const answer = await raw(control.port, 'GET /healthz HTTP/1.1\r\nConnection: close\r\n\r\n')
      assert.match(answer, /^HTTP\/1\.1 400 /)
      assert.match(answer, /CF_CONTROL_BAD_REQUEST/)
    }),
  ),
)

/** Sends bytes and gives what came back until the other side closed. */
function raw(port: number, bytes: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, '127.0.0.1', () => socket.write(bytes))
    let answer = ''
    socket.setEncoding('latin1').on('data', (part: string) => {
      answer += part
    })
    socket.on('error', reject)
    socket.on('close', () => resolve(answer))
  })
}

test.run()
