/** Invites and rosters over HTTP: who may ask, what is asked for, and what is refused. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { FabricError } from '../../core/errors.ts'
import { ADMIN_KEY, ask, askJson, type Reply, withControl } from '../support/control.ts'
import { keyNamed } from '../support/people.ts'
import { within } from '../support/within.ts'

const INVITES = '/api/v1/p2p/invites'
const ROSTER = '/api/v1/p2p/roster'
const ADMIN = { authorization: `Bearer ${ADMIN_KEY}` }
const jsonOf = ({ body }: Reply): Record<string, unknown> => Object(JSON.parse(body))
const errorIn = (reply: Reply): Record<string, unknown> => Object(jsonOf(reply)['error'])

test(
  'an invite is for anybody and for an hour, unless it is asked for otherwise',
  within(5_000, () =>
    withControl(async ({ url }) => {
      const plain = await askJson(url + INVITES, {}, ADMIN)
      assert.equal([plain.status, jsonOf(plain)], [200, { invite: 'cfi1anybody-3600000-null', expires_seconds: 3_600 }])
      const friend = keyNamed('friend').peer
      const bound = await askJson(url + INVITES, { for: friend, expires_seconds: 60, credits: '2.5' }, ADMIN)
      assert.equal(jsonOf(bound), { invite: `cfi1${friend}-60000-2500000`, expires_seconds: 60 })
    }),
  ),
)

test(
  'whoever is not the admin invites nobody',
  within(5_000, () =>
    withControl(async ({ url }) => {
      for (const headers of [{}, { authorization: 'Bearer nobody' }]) {
        const reply = await askJson(url + INVITES, {}, headers)
        assert.is(reply.status, 401)
        assert.not.match(reply.body, 'cfi1')
      }
    }),
  ),
)

test(
  'terms that are none are refused by name',
  within(5_000, () =>
    withControl(async ({ url }) => {
      for (const [body, param] of [
        [{ for: 'cf1nobody' }, 'for'],
        [{ expires_seconds: 0 }, 'expires_seconds'],
        [{ expires_seconds: 15_552_001 }, 'expires_seconds'],
        [{ credits: '-1' }, 'credits'],
        [{ credits: '0.0000001' }, 'credits'],
        [{ forever: true }, 'forever'],
      ] as const) {
        const reply = await askJson(url + INVITES, body, ADMIN)
        assert.equal([reply.status, errorIn(reply)['code']], [400, 'CF_CONTROL_BAD_REQUEST'], JSON.stringify(body))
        assert.is(errorIn(reply)['param'], param)
      }
    }),
  ),
)

test(
  'a node that may not invite says why',
  within(5_000, () =>
    withControl(async ({ url, app }) => {
      app.failNext(new FabricError('CF_MESH_INVITE_REFUSED', { reason: 'swarm_of_one_machine' }))
      const reply = await askJson(url + INVITES, {}, ADMIN)
      assert.is(errorIn(reply)['code'], 'CF_MESH_INVITE_REFUSED')
      assert.match(reply.body, 'swarm_of_one_machine')
    }),
  ),
)

test(
  'the roster is bytes, of this epoch or of one that is named; one that is not kept is unknown',
  within(5_000, () =>
    withControl(async ({ url }) => {
      for (const query of ['', '?epoch=0']) {
        const reply = await ask(url + ROSTER + query)
        assert.equal([reply.status, reply.headers['content-type']], [200, 'application/octet-stream'])
        assert.is(reply.body, '\x01\x02\x03')
      }
      const unknown = await ask(`${url}${ROSTER}?epoch=9`)
      assert.equal([unknown.status, errorIn(unknown)['code']], [404, 'CF_ROSTER_UNKNOWN'])
      for (const query of ['?epoch=-1', '?epoch=x', '?root=1'])
        assert.is((await ask(url + ROSTER + query)).status, 400, query)
    }),
  ),
)

test.run()
