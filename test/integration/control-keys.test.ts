/** API keys over HTTP: who may call which route, what a key may be sent as, and how soon a revoked one is refused. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { textAt } from '../../node/commands/json.ts'
import { ROLES, type Role } from '../../node/runtime/access.ts'
import { systemClock } from '../../node/runtime/system.ts'
import { keyFile, NO_LIMITS } from '../support/access.ts'
import { runCommand } from '../support/cli.ts'
import { ADMIN_KEY, ask, askJson, type Reply, withControl } from '../support/control.ts'
import { tempFolder } from '../support/temp-folder.ts'
import { within } from '../support/within.ts'

const errorCode = (reply: Reply): string => textAt(JSON.parse(reply.body), 'error', 'code')
const bearer = (key: string): { readonly authorization: string } => ({ authorization: `Bearer ${key}` })
const BEYOND = { host: '0.0.0.0', apiKey: 'the-api-key' }
const local = (port: number): string => `http://127.0.0.1:${port}`

/** Who may call what: written down once more, by hand, because a table that is compared with itself proves nothing. */
const MAY: Readonly<Record<string, Role | 'open'>> = {
  'GET /healthz': 'open',
  'GET /readyz': 'read',
  'GET /api/v1/status': 'read',
  'GET /metrics': 'read',
  'GET /openapi.json': 'read',
  'GET /v1/models': 'read',
  'GET /v1/models/:id': 'read',
  'POST /v1/chat/completions': 'user',
  'POST /v1/completions': 'user',
  'POST /v1/embeddings': 'user',
  'POST /api/v1/p2p/intents': 'user',
  'POST /api/v1/p2p/simulate': 'user',
  'GET /api/v1/p2p/jobs': 'read',
  'GET /api/v1/p2p/jobs/:id': 'read',
  'DELETE /api/v1/p2p/jobs/:id': 'user',
  'GET /api/v1/p2p/jobs/:id/events': 'read',
  'GET /api/v1/p2p/jobs/:id/timeline': 'read',
  'GET /api/v1/p2p/jobs/:id/explain': 'read',
  'GET /api/v1/p2p/jobs/:id/evidence': 'read',
  'POST /api/v1/p2p/jobs/:id/disputes': 'user',
  'GET /api/v1/p2p/receipts/:id': 'read',
  'GET /api/v1/p2p/peers': 'read',
  'GET /api/v1/p2p/quorum': 'read',
  'GET /api/v1/p2p/genesis': 'read',
  'GET /api/v1/p2p/roster': 'read',
  'POST /api/v1/p2p/invites': 'admin',
  'GET /api/v1/verification/policies': 'read',
  'POST /api/v1/verification/policies': 'admin',
  'GET /api/v1/credits/accounts/:type/:id': 'read',
  'GET /api/v1/credits/transactions/list': 'read',
  'GET /api/v1/credits/audit': 'read',
  'POST /api/v1/credits/mint': 'admin',
  'POST /api/v1/credits/spend': 'user',
  'POST /api/v1/credits/reward': 'admin',
  'POST /api/v1/credits/transfer': 'admin',
  'GET /api/v1/models/ps': 'read',
  'POST /api/v1/models/load': 'admin',
  'POST /api/v1/models/unload': 'admin',
  'GET /api/v1/keys': 'admin',
  'POST /api/v1/keys': 'admin',
  'DELETE /api/v1/keys/:id': 'admin',
}

function call(url: string, route: string, headers: Readonly<Record<string, string>> = {}): Promise<Reply> {
  const [method = '', path = ''] = route.split(' ')
  const target = url + path.replace(/:\w+/g, 'x')
  return method === 'POST' ? askJson(target, { nonsense: 1 }, headers) : ask(target, { method, headers })
}

test(
  'every route has a role in this table, and the table has no other',
  within(5_000, () =>
    withControl(async ({ control }) => assert.equal([...control.routes].sort(), Object.keys(MAY).sort())),
  ),
)

test(
  'every route lets in the roles that it should and no other',
  within(20_000, () =>
    withControl(async ({ control, keys }) => {
      const url = local(control.port)
      const texts = new Map<Role, string>()
      for (const role of ROLES) texts.set(role, (await keys.add({ ...NO_LIMITS, name: role, role })).text)
      for (const [route, needed] of Object.entries(MAY)) {
        const none = await call(url, route)
        assert.is(none.status === 401, needed !== 'open', `${route} without a key: ${none.status}`)
        for (const role of ROLES) {
          const reply = await call(url, route, bearer(texts.get(role) ?? ''))
          const isIn = needed === 'open' || ROLES.indexOf(role) >= ROLES.indexOf(needed)
          assert.is(![401, 403].includes(reply.status), isIn, `${route} as ${role}: ${reply.status}`)
          if (!isIn) assert.is(errorCode(reply), 'CF_CONTROL_FORBIDDEN')
        }
        for (const [key, role] of [
          ['the-api-key', 'user'],
          [ADMIN_KEY, 'admin'],
        ] as const) {
          const isIn = needed === 'open' || ROLES.indexOf(role) >= ROLES.indexOf(needed)
          const { status } = await call(url, route, bearer(key))
          assert.is(![401, 403].includes(status), isIn, `${route} with the key file of ${role}: ${status}`)
        }
      }
    }, BEYOND),
  ),
)

test(
  "on loopback the local owner needs no key but for what is the admin's, and a placeholder is no key",
  within(10_000, () =>
    withControl(async ({ url }) => {
      for (const [route, needed] of Object.entries(MAY)) {
        for (const headers of [{}, bearer('sk-none')]) {
          const reply = await call(url, route, headers)
          assert.is(reply.status === 401, needed === 'admin', `${route}: ${reply.status}`)
        }
      }
    }),
  ),
)

test(
  'a key counts only as a bearer in the Authorization header',
  within(5_000, () =>
    withControl(async ({ control, keys }) => {
      const { text, key } = await keys.add({ ...NO_LIMITS, name: 'a', role: 'admin' })
      const url = local(control.port)
      for (const name of ['key', 'api_key', 'apikey', 'access_token', 'token', 'authorization'])
        assert.is((await ask(`${url}/v1/models?${name}=${text}`)).status, 401, name)
      for (const headers of [
        { 'x-api-key': text },
        { cookie: `authorization=Bearer ${text}` },
        { authorization: text },
        { authorization: `Basic ${text}` },
        { authorization: `Bearer ${text} x` },
        { authorization: `bearer ${text}` },
        { 'proxy-authorization': `Bearer ${text}` },
      ])
        assert.is((await ask(`${url}/v1/models`, { headers })).status, 401, JSON.stringify(headers))
      assert.is((await ask(`${url}/v1/models`, { headers: bearer(text) })).status, 200)
      assert.not.match(key.sha256, text.slice(-64), 'only the hash is kept')
    }, BEYOND),
  ),
)

test(
  'a key that is not quite right is refused, on loopback too',
  within(5_000, () =>
    withControl(async ({ url, keys }) => {
      const { text, key } = await keys.add({ ...NO_LIMITS, name: 'a', role: 'user' })
      const [other] = [await keys.add({ ...NO_LIMITS, name: 'b', role: 'admin' })]
      const secret = text.slice(-64)
      const wrong = [
        `cfab_${key.id}_${'0'.repeat(64)}`,
        `cfab_${other.key.id}_${secret}`,
        `cfab_${key.id}_${secret.toUpperCase()}`,
        `cfab_${key.id}_${secret.slice(1)}`,
        `cfab_${key.id}_${key.sha256}`,
        `cfab_${'0'.repeat(16)}_${secret}`,
        `cfab_${key.id}`,
        'cfab_',
        `cfab___proto___${secret}`,
      ]
      for (const candidate of wrong) {
        const reply = await ask(`${url}/v1/models`, { headers: bearer(candidate) })
        assert.equal([reply.status, errorCode(reply)], [401, 'CF_CONTROL_UNAUTHORIZED'], candidate)
      }
    }),
  ),
)

test(
  'a revoked key is refused within a second, also when another process revoked it',
  within(10_000, async () => {
    const path = join(tempFolder(), 'api-keys.json')
    await withControl(
      async ({ url, keys }) => {
        const { text, key } = await keys.add({ ...NO_LIMITS, name: 'a', role: 'user' })
        const status = async (): Promise<number> => (await ask(`${url}/v1/models`, { headers: bearer(text) })).status
        assert.is(await status(), 200)
        await keyFile(path).revoke(key.id)
        const deadlineMs = systemClock.nowMs() + 1_000
        while ((await status()) !== 401) {
          assert.ok(systemClock.nowMs() < deadlineMs, 'refused within a second')
          await systemClock.sleep(20)
        }
        const admin = bearer(ADMIN_KEY)
        const made = JSON.parse((await askJson(`${url}/api/v1/keys`, { name: 'b', role: 'read' }, admin)).body)
        assert.is((await ask(`${url}/v1/models`, { headers: bearer(textAt(made, 'key')) })).status, 200)
        const gone = await ask(`${url}/api/v1/keys/${textAt(made, 'id')}`, { method: 'DELETE', headers: admin })
        assert.is(gone.status, 200)
        assert.is((await ask(`${url}/v1/models`, { headers: bearer(textAt(made, 'key')) })).status, 401, 'at once')
      },
      {},
      { keys: keyFile(path) },
    )
  }),
)

test(
  'a secret is in the answer that makes it and nowhere else',
  within(5_000, async () => {
    const path = join(tempFolder(), 'api-keys.json')
    await withControl(
      async ({ url }) => {
        const admin = bearer(ADMIN_KEY)
        const made = await askJson(`${url}/api/v1/keys`, { name: 'ci', role: 'user', budget: '100' }, admin)
        assert.is(made.status, 201)
        const secret = textAt(JSON.parse(made.body), 'key').slice(-64)
        assert.match(secret, /^[0-9a-f]{64}$/)
        const list = await ask(`${url}/api/v1/keys`, { headers: admin })
        assert.not.match(list.body, secret)
        assert.not.match(list.body, 'sha256')
        assert.not.match(readFileSync(path, 'utf8'), secret)
      },
      {},
      { keys: keyFile(path) },
    )
  }),
)

test(
  'a key with a limit that is misspelt or makes no sense is not made',
  within(5_000, () =>
    withControl(async ({ url, keys }) => {
      const wrong: readonly (readonly [object, string])[] = [
        [{ role: 'user' }, 'name'],
        [{ name: 'a' }, 'role'],
        [{ name: 'a', role: 'root' }, 'role'],
        [{ name: 'a', role: 'user', buget: '1' }, 'buget'],
        [{ name: 'a', role: 'user', budget: '-1' }, 'budget'],
        [{ name: 'a', role: 'user', budget: 1.5 }, 'budget'],
        [{ name: 'a', role: 'user', rate_per_minute: 0 }, 'rate_per_minute'],
        [{ name: 'a', role: 'user', priority: 'urgent' }, 'priority'],
        [{ name: 'a\nb', role: 'user' }, 'name'],
        [{ name: 'x'.repeat(65), role: 'user' }, 'name'],
      ]
      for (const [body, param] of wrong) {
        const reply = await askJson(`${url}/api/v1/keys`, body, bearer(ADMIN_KEY))
        assert.equal([reply.status, textAt(JSON.parse(reply.body), 'error', 'param')], [400, param], param)
      }
      assert.is(keys.list().length, 0)
    }),
  ),
)

test(
  'the command line makes, lists and revokes keys that the node takes',
  within(10_000, async () => {
    const home = tempFolder()
    const path = join(home, 'data', 'api-keys.json')
    await withControl(
      async ({ url }) => {
        const cli = (...argv: string[]) => runCommand(argv, { cwd: home, env: { CFAB_HOME: home } })
        const added = await cli(
          'keys',
          'api',
          'add',
          '--name',
          'ci',
          '--role',
          'read',
          '--rate',
          '60',
          '--budget',
          '1.5',
        )
        assert.is(added.status, 0, added.err)
        const text = added.out.trim()
        assert.is((await ask(`${url}/v1/models`, { headers: bearer(text) })).status, 200)
        const list = await cli('keys', 'api', 'ls')
        assert.match(list.out, /ci +read +normal +60 +1\.5/)
        assert.not.match(list.out, text.slice(-64))
        const id = text.split('_')[1] ?? ''
        assert.is((await cli('keys', 'api', 'revoke', id)).status, 0)
        assert.is((await cli('keys', 'api', 'revoke', id)).status, 66)
        assert.is((await cli('keys', 'api', 'add', '--name', 'x', '--rate', 'many')).status, 65)
        assert.match((await cli('keys', 'api', 'ls')).out, 'no API keys')
      },
      {},
      { keys: keyFile(path) },
    )
  }),
)

test('keys are compared in constant time, whatever they are', () => {
  const read = (file: string): string => readFileSync(new URL(`../../node/control/${file}`, import.meta.url), 'utf8')
  const [caller, secret] = [read('caller.ts'), read('secret.ts')]
  assert.is(secret.match(/timingSafeEqual\(/g)?.length, 2, 'of texts and of digests')
  assert.is(
    caller.match(/!?(?:sameSecret|hasDigest)\(/g)?.length,
    3,
    'the admin key, the API key, the keys of the file',
  )
  assert.not.match(caller, /[!=]== *(?:options\.(?:adminKey|apiKey)|key\.sha256|secret|given)\b/)
})

test.run()
