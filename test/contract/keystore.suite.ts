/** What every KeyStore must do. */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { KeyStore } from '../../node/runtime/ports.ts'
import { within } from '../support/within.ts'

type Test = ReturnType<typeof suite>

/** @param open  opens the same keys again at every call */
export function keyStoreSuite(name: string, create: () => () => KeyStore): Test {
  const test = suite(`key store: ${name}`)

  test(
    'a key is made once and is the same after a restart',
    within(2_000, async () => {
      const open = create()
      const made = await open().load('node')
      assert.equal(await open().load('node'), made)
      assert.match(made.peer, /^cf1/)
    }),
  )

  test(
    'two names are two keys, listed in order',
    within(2_000, async () => {
      const store = create()()
      assert.equal(await store.list(), [])
      const [user, node] = [await store.load('user'), await store.load('node')]
      assert.is.not(user.peer, node.peer)
      assert.equal(await store.list(), ['node', 'user'])
    }),
  )

  test(
    'of many that create one name at once all get one key',
    within(2_000, async () => {
      const open = create()
      const keys = await Promise.all(Array.from({ length: 8 }, () => open().load('node')))
      assert.is(new Set(keys.map(({ peer }) => peer)).size, 1)
    }),
  )

  test(
    'a name that is no key name is a bug of the caller',
    within(2_000, async () => {
      const store = create()()
      for (const bad of ['', '../node', 'Node', 'a'.repeat(41)]) {
        const failure: unknown = await store.load(bad).catch((error: unknown) => error)
        assert.is(failure instanceof Error && failure.name, 'InvariantError')
      }
    }),
  )
  return test
}
